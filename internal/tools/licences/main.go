// Command licences writes the texts of the licences of all modules that are
// compiled into a program, and of Go itself. It fails if a module has none. Its
// output is the same on every machine.
//
//	go run ./internal/tools/licences -dir=cmd/sojourn -out=licences.txt linux/amd64 windows/amd64
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "the folder of the program")
	out := flag.String("out", "", "the file to write")
	flag.Parse()
	if err := run(context.Background(), *dir, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, out string, platforms []string) error {
	if out == "" || len(platforms) == 0 {
		return errors.New("want -out and systems such as linux/amd64")
	}
	found := modules{}
	for _, platform := range platforms {
		system, processor, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("%q is not a system such as linux/amd64", platform)
		}
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Dir,Standard,Module", ".")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0", "GOWORK=off")
		list, err := cmd.Output()
		if err == nil {
			err = found.add(bytes.NewReader(list))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	goHome := strings.TrimSpace(string(root))
	found["Go's standard library"] = &module{dir: goHome, folders: map[string]bool{goHome: true}}
	text, err := found.text()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644) //nolint:gosec // the user of the image reads it
}

// pkg is what go list says of a package.
type pkg struct {
	Dir      string `json:"Dir"`
	Standard bool   `json:"Standard"`
	Module   *struct {
		Path    string `json:"Path"`
		Version string `json:"Version"`
		Dir     string `json:"Dir"`
		Main    bool   `json:"Main"`
		Replace *struct {
			Version string `json:"Version"`
		} `json:"Replace"`
	} `json:"Module"`
}

// module is a module of which packages are compiled in.
type module struct {
	dir     string
	folders map[string]bool // of these packages, and those above them
}

// modules are modules by their path and version.
type modules map[string]*module

// add reads what go list says.
func (m modules) add(list io.Reader) error {
	for d := json.NewDecoder(list); ; {
		var p pkg
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		// The repository's own modules have the licence of the program.
		if p.Standard || p.Module == nil || p.Module.Main || p.Module.Replace != nil && p.Module.Replace.Version == "" {
			continue
		}
		name := p.Module.Path + " " + p.Module.Version
		one := m[name]
		if one == nil {
			one = &module{dir: p.Module.Dir, folders: map[string]bool{}}
			m[name] = one
		}
		for dir := p.Dir; !one.folders[dir]; dir = filepath.Dir(dir) {
			if one.folders[dir] = true; dir == one.dir {
				break
			}
			if !strings.HasPrefix(dir, one.dir) {
				return fmt.Errorf("the package %s is not in %s", p.Dir, one.dir)
			}
		}
	}
}

// text returns all texts, in order. Modules with the same text share it.
func (m modules) text() ([]byte, error) {
	users := map[string][]string{}
	for name, one := range m {
		licensed := false
		for dir := range one.folders {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if !e.Type().IsRegular() || !isNotice(e.Name()) {
					continue
				}
				text, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					return nil, err
				}
				licensed = licensed || dir == one.dir && !strings.HasPrefix(strings.ToUpper(e.Name()), "NOTICE")
				where := name
				if rel, err := filepath.Rel(one.dir, dir); err == nil && rel != "." {
					where = path.Join(name, filepath.ToSlash(rel))
				}
				body := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
				users[body] = append(users[body], where+": "+e.Name())
			}
		}
		if !licensed {
			return nil, fmt.Errorf("%s has no text of a licence in its folder", name)
		}
	}
	parts := make([]string, 0, len(users))
	for body, names := range users {
		slices.Sort(names)
		parts = append(parts, strings.Join(names, "\n")+"\n\n"+body+"\n")
	}
	slices.Sort(parts)
	rule := "\n" + strings.Repeat("=", 80) + "\n\n"
	return []byte("This program contains Go and the modules below, under these licences.\n" + rule + strings.Join(parts, rule)), nil
}

// isNotice reports whether a file has a licence or a notice that goes with it.
func isNotice(name string) bool {
	name = strings.ToUpper(name)
	base, ext, _ := strings.Cut(name, ".")
	if slices.Contains([]string{"GO", "C", "H", "S", "JSON", "YML", "YAML"}, ext) {
		return false
	}
	for _, begin := range []string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "PATENTS"} {
		if strings.HasPrefix(base, begin) {
			return true
		}
	}
	return false
}
