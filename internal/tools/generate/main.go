// Command generate runs the generators of this module. Run it in the module's root
// folder.
//
//	go run ./internal/tools/generate         # rewrites what is generated
//	go run ./internal/tools/generate -check  # fails if something generated is stale
//
// With -check the generators write into a temporary folder, so nothing in the
// module changes. The command names each stale file and exits with status 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// generator is a command that writes files.
type generator struct {
	files []string // what it writes, relative to the module's root folder
	// command returns the command's words. It writes below the folder root.
	command func(root string) []string
}

// generators are all of them: both modes of this command use this list.
var generators = []generator{
	{
		files: []string{"conformance/rules.go"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/rulegen", "-out", filepath.Join(root, "conformance/rules.go"), "expiry"}
		},
	},
	{
		files: []string{"docs/security.md"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/securitydoc", "-out", filepath.Join(root, "docs/security.md")}
		},
	},
	{
		files: []string{"docs/session-faults.md"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/faultdoc", "-out", filepath.Join(root, "docs/session-faults.md")}
		},
	},
	{
		files: []string{"docs/urls.md"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/urldoc", "-out", filepath.Join(root, "docs/urls.md")}
		},
	},
	{
		// After rulegen: the page quotes the rules in conformance/rules.go.
		files: []string{"docs/conformance.md"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/suitedoc", "-out", filepath.Join(root, "docs/conformance.md")}
		},
	},
	{
		files: []string{"docs/architecture.md"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/archdoc", "-out", filepath.Join(root, "docs/architecture.md")}
		},
	},
	{
		files: []string{"docs/write-a-backend.md"},
		command: func(root string) []string {
			return []string{"go", "run", "./internal/tools/backenddoc", "-out", filepath.Join(root, "docs/write-a-backend.md")}
		},
	},
	{
		files: []string{
			"internal/tests/arch/testdata/deps.golden", "README.md", "adapters/echo/README.md", "adapters/gin/README.md", "adapters/fiber/README.md",
			"adapters/scsstore/README.md", "adapters/fiberstorage/README.md", "adapters/gorillastore/README.md", "adapters/otel/README.md", "examples/frameworks/README.md",
			"examples/lease/README.md",
		},
		command: func(root string) []string {
			return []string{"go", "test", "-count=1", "-run=TestDependencies|TestReadmeShowsTheExamples|TestPagesShowCompiledPrograms", "./internal/tests/arch", "-update=" + root}
		},
	},
}

func main() {
	check := flag.Bool("check", false, "compare instead of rewriting")
	flag.Parse()
	err := generate(context.Background(), *check, generators)
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate runs the generators. If check is set, it returns an error that names
// every stale file.
func generate(ctx context.Context, check bool, all []generator) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if !check {
		for _, g := range all {
			if err := g.run(ctx, root); err != nil {
				return err
			}
		}
		return nil
	}
	fresh, err := os.MkdirTemp("", "generate-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	var stale []string
	for _, g := range all {
		found, err := g.stale(ctx, root, fresh)
		if err != nil {
			return err
		}
		stale = append(stale, found...)
	}
	if len(stale) > 0 {
		return errors.New("stale, run make generate to rewrite: " + strings.Join(stale, ", "))
	}
	return nil
}

// run has the generator write below root.
func (g generator) run(ctx context.Context, root string) error {
	words := g.command(root)
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput() //nolint:gosec // commands of the list above
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
	}
	return nil
}

// stale has the generator write below fresh and returns the files that differ
// from those below root. A missing file is stale.
func (g generator) stale(ctx context.Context, root, fresh string) ([]string, error) {
	for _, f := range g.files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(fresh, f)), 0o700); err != nil {
			return nil, err
		}
	}
	if err := g.run(ctx, fresh); err != nil {
		return nil, err
	}
	var stale []string
	for _, f := range g.files {
		want, err := os.ReadFile(filepath.Join(fresh, f))
		if err != nil {
			return nil, err
		}
		have, err := os.ReadFile(filepath.Join(root, f))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err != nil || !bytes.Equal(have, want) {
			stale = append(stale, f)
		}
	}
	return stale, nil
}
