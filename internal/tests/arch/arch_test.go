// Package arch holds only tests. They check the shape of the module: which
// packages may compile which, and which files the backends have.
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

const (
	module = "github.com/sojourn-go/sojourn"
	root   = "../../.." // the module's folder
)

// update makes two tests write instead of compare; internal/tools/generate sets it.
var update = flag.String("update", "", "write deps.golden and README.md below this folder, with the module's layout")

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestDependencies compares what each importable package compiles, by module,
// with a golden list. A program that imports one backend compiles no other
// backend's client.
func TestDependencies(t *testing.T) {
	roots := []string{"./model", "./expiry/...", "./backends/...", "./config/...", "./session/...", "./conformance/..."}
	pkgs := slices.DeleteFunc(goList(t, roots...), func(p string) bool {
		// Only tests import containers, and what it compiles depends on the
		// system. Programs cannot import internal packages.
		return strings.Contains(p, "/containers") || strings.Contains(p, "/internal/")
	})
	modules, deps := map[string]string{}, map[string]string{} // by import path
	args := append([]string{"-deps", "-f", "{{.ImportPath}}\t{{with .Module}}{{.Path}}{{end}}\t{{join .Deps \" \"}}"}, roots...)
	for _, line := range goList(t, args...) {
		fields := strings.Split(line, "\t")
		modules[fields[0]], deps[fields[0]] = fields[1], fields[2]
	}
	var have strings.Builder
	for _, p := range pkgs {
		compiled := map[string]bool{}
		for dep := range strings.FieldsSeq(deps[p]) {
			switch mod := modules[dep]; {
			case mod == module:
				compiled["."+strings.TrimPrefix(dep, module)] = true
			case mod != "":
				compiled[mod] = true
			case dep == "testing":
				compiled[dep] = true
			}
		}
		have.WriteString("." + strings.TrimPrefix(p, module) + "\n")
		for _, m := range slices.Sorted(maps.Keys(compiled)) {
			have.WriteString("\t" + m + "\n")
		}
	}
	const golden = "internal/tests/arch/testdata/deps.golden"
	if *update != "" {
		write(t, golden, have.String())
		return
	}
	want, err := os.ReadFile(filepath.Join(root, golden))
	if err != nil {
		t.Fatal(err)
	}
	if have.String() != string(want) {
		t.Errorf("the packages compile\n%s\nthe golden list has\n%s\nmake generate rewrites it", have.String(), want)
	}
}

// TestTheSuiteNeedsFewModules counts the modules that a test of another module
// gets for the suite, beyond those that its backend gets for the kit.
func TestTheSuiteNeedsFewModules(t *testing.T) {
	modules := func(pkgs ...string) []string {
		all := goList(t, append([]string{"-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, pkgs...)...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	kit := modules("./expiry/driver/driverkit", "./backends")
	more := slices.DeleteFunc(modules("./conformance", "./conformance/sessions", "./conformance/faultnet"), func(m string) bool {
		return slices.Contains(kit, m)
	})
	if len(more) > 3 {
		t.Errorf("the suite needs the modules %v, 3 at most", more)
	}
}

// write writes a file of the module below the folder that -update names.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(*update, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// backendFiles are the names that a file of a backend may have. One concern has
// the same name in every backend. The name of a system may follow.
var backendFiles = []string{
	"doc.go", "backend.go", "options.go", "crud.go", "expiry.go", "list.go", "bulk.go", "codec.go", "layout.go", "errors.go", "url.go", "lock.go",
	"storage.go", "place.go", "changes.go", "sweep.go", "count.go", "count_test.go", "send.go", "acl.go", "check.go", "probe.go",
	"checks.go", "waits.go", "waits_test.go", "lane.go", "lane_test.go", "kept.go",
	"conformance_test.go", "container_test.go", "codec_test.go", "errors_test.go", "layout_test.go", "url_test.go",
	"crud_test.go", "expiry_test.go", "list_test.go",
	"native_test.go", "example_test.go", "bench_test.go", "trips_test.go", "stopped_test.go", "scale_test.go", "faults_test.go", "export_test.go", "second_test.go", "random_test.go",
	"storage_test.go", "stall_test.go", "options_test.go", "acl_test.go", "rules_test.go", "bounded_test.go", "failover_test.go", "refused_test.go", "between_test.go", "check_test.go",
	"rebuild.go", "rebuild_test.go", "interrupt_test.go", "redo.go", "redo_test.go", "saved.go", "saved_test.go", "journal.go", "recover.go", "place_test.go", "topology_test.go",
	"answers.go", "fetch.go", "shares.go", "shares_test.go", "memory_test.go", "check.go", "lifecycle.go", "lifecycle_test.go", "fake_test.go", "messages_test.go", "clock_test.go",
}

var system = regexp.MustCompile(`_(unix|windows|other|linux|darwin)(_test)?\.go$`)

func TestBackendsHaveTheSameFiles(t *testing.T) {
	files, err := filepath.Glob(root + "/backends/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no backends: %v", err)
	}
	for _, f := range files {
		name := system.ReplaceAllString(filepath.Base(f), "$2.go")
		if !slices.Contains(backendFiles, name) {
			t.Errorf("%s has a name outside the map in docs/adr", f)
		}
	}
	// Folders and not packages: some backends are modules of their own.
	dirs := map[string]bool{}
	for _, f := range files {
		dirs[filepath.Dir(f)] = true
	}
	for dir := range dirs {
		for _, must := range []string{"doc.go", "backend.go", "options.go", "crud.go", "expiry.go", "list.go", "layout.go", "url.go", "conformance_test.go", "example_test.go"} {
			if _, err := os.Stat(filepath.Join(dir, must)); err != nil {
				t.Errorf("%s lacks %s", dir, must)
			}
		}
	}
}

// TestFilesAreOfOneConcern checks the limits on length: 700 lines, and 1,000 for
// tests.
func TestFilesAreOfOneConcern(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
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
