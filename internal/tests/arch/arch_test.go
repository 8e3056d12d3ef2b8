// Package arch holds no code: its tests prove the shape of the module, which
// packages may compile which, and what files the backends have.
package arch

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sojourn-go/sojourn"

var update = flag.Bool("update", false, "rewrite the golden lists")

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// TestDependencies compares what each importable package compiles, by module,
// with a golden list: a program that imports one backend compiles no other's
// client.
func TestDependencies(t *testing.T) {
	pkgs := goList(t, "./model", "./expiry", "./backends/...", "./session/...", "./conformance/...")
	pkgs = slices.DeleteFunc(pkgs, func(p string) bool {
		// Only tests import the first, and what it compiles depends on the
		// system; the second cannot be imported.
		return strings.Contains(p, "/containers") || strings.Contains(p, "/internal/")
	})
	var have strings.Builder
	for _, p := range pkgs {
		mods := map[string]bool{}
		for _, dep := range goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}:{{.ImportPath}}", p) {
			mod, path, _ := strings.Cut(dep, ":")
			switch {
			case mod == "" && path == "testing":
				mods["testing"] = true
			case mod == module && path != p:
				mods["."+strings.TrimPrefix(path, module)] = true
			case mod != "" && mod != module:
				mods[mod] = true
			}
		}
		have.WriteString("." + strings.TrimPrefix(p, module) + "\n")
		for _, m := range slices.Sorted(maps.Keys(mods)) {
			have.WriteString("\t" + m + "\n")
		}
	}
	golden := filepath.Join("testdata", "deps.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(have.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if have.String() != string(want) {
		t.Errorf("the packages compile\n%s\nthe golden list has\n%s\ngo test ./internal/tests/arch -update rewrites it", have.String(), want)
	}
}

// backendFiles are the names that a file of a backend may have: one concern
// has one name everywhere. A system's name may follow it.
var backendFiles = []string{
	"doc.go", "backend.go", "options.go", "crud.go", "expiry.go", "list.go", "bulk.go", "codec.go", "layout.go", "errors.go", "url.go", "lock.go",
	"conformance_test.go", "container_test.go", "codec_test.go", "errors_test.go", "layout_test.go", "url_test.go",
	"native_test.go", "example_test.go", "bench_test.go", "trips_test.go", "faults_test.go", "export_test.go", "second_test.go",
}

var system = regexp.MustCompile(`_(unix|windows|other|linux|darwin)(_test)?\.go$`)

func TestBackendsHaveTheSameFiles(t *testing.T) {
	files, err := filepath.Glob("../../../backends/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no backends: %v", err)
	}
	for _, f := range files {
		name := system.ReplaceAllString(filepath.Base(f), "$2.go")
		if !slices.Contains(backendFiles, name) {
			t.Errorf("%s has a name outside the map in docs/adr", f)
		}
	}
	for _, dir := range goList(t, "-f", "{{.Dir}}", "./backends/...") {
		if filepath.Base(dir) == "backends" || strings.Contains(filepath.ToSlash(dir), "/internal/") {
			continue
		}
		for _, must := range []string{"doc.go", "backend.go", "options.go", "crud.go", "expiry.go", "list.go", "layout.go", "url.go", "conformance_test.go", "example_test.go"} {
			if _, err := os.Stat(filepath.Join(dir, must)); err != nil {
				t.Errorf("%s lacks %s", dir, must)
			}
		}
	}
}

// TestFilesAreOfOneConcern holds the limits on length: 700 lines, 1000 for
// tests.
func TestFilesAreOfOneConcern(t *testing.T) {
	err := filepath.WalkDir("../../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		limit := 700
		if strings.HasSuffix(path, "_test.go") {
			limit = 1000
		}
		if n := strings.Count(string(data), "\n"); n > limit && !strings.HasPrefix(string(data), "// Code generated") {
			t.Errorf("%s has %d lines, %d at most", path, n, limit)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
