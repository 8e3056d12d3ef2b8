package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/backends"
)

// module is the path of the root module.
const module = "github.com/sojourn-go/sojourn"

// registry has the parameters of URLs by scheme.
type registry map[string][]backends.Param

func (r registry) add(schemes []string, params func(scheme string) []backends.Param) {
	for _, scheme := range schemes {
		r[scheme] = params(scheme)
	}
}

// modules returns the folders below backends that are modules of their own.
func modules(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "backends", "*", "go.mod"))
	for i := range files {
		files[i] = filepath.Base(filepath.Dir(files[i]))
	}
	return files, err
}

// asker is a program that prints what a backend registers.
//
//go:embed asker.go.txt
var asker string

// ask adds what the backend in the folder registers. It runs a program in that
// folder, with the dependencies of its module.
func (r registry) ask(ctx context.Context, backendsFolder, folder string) error {
	temporary, err := os.MkdirTemp("", "urldoc-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	file := filepath.Join(temporary, "main.go")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(asker, "BACKEND", module+"/backends/"+folder)), 0o600); err != nil {
		return err
	}
	run := exec.CommandContext(ctx, "go", "run", file) //nolint:gosec // the file was written above
	run.Dir = filepath.Join(backendsFolder, folder)
	var failed bytes.Buffer
	run.Stderr = &failed
	out, err := run.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, failed.Bytes())
	}
	found := registry{}
	if err := json.Unmarshal(out, &found); err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("the package %s registers no scheme", folder)
	}
	for scheme, params := range found {
		if _, taken := r[scheme]; taken {
			return fmt.Errorf("the scheme %s is registered by another backend too", scheme)
		}
		r[scheme] = slices.Clone(params)
	}
	return nil
}
