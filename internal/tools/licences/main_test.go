package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes files below a folder, and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listed returns what go list would say of packages of a module.
func listed(t *testing.T, module, dir string, packages ...string) string {
	t.Helper()
	out := ""
	for _, p := range packages {
		text, err := json.Marshal(map[string]any{"Dir": filepath.Join(dir, p), "Module": map[string]any{"Path": module, "Version": "v1.0.0", "Dir": dir}})
		if err != nil {
			t.Fatal(err)
		}
		out += string(text) + "\n"
	}
	return out
}

func TestTextsOfPackagesThatAreCompiledIn(t *testing.T) {
	a := write(t, map[string]string{
		"LICENSE": "MIT of a\r\n", "NOTICE.txt": "notice of a", "license.go": "package a", "in/LICENSE-BSD": "BSD of in", "in/deep/x": "", "out/LICENSE": "GPL of out",
	})
	b := write(t, map[string]string{"COPYING.md": "MIT of a"})
	m := modules{}
	if err := m.add(strings.NewReader(listed(t, "example.org/a", a, "", "in/deep") + listed(t, "example.org/b", b, "") + `{"Standard": true}`)); err != nil {
		t.Fatal(err)
	}
	text, err := m.text()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"example.org/a v1.0.0: LICENSE\nexample.org/b v1.0.0: COPYING.md\n\nMIT of a\n", "example.org/a v1.0.0: NOTICE.txt\n\nnotice of a\n",
		"example.org/a v1.0.0/in: LICENSE-BSD\n\nBSD of in\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, other := range []string{"package a", "GPL"} {
		if strings.Contains(string(text), other) {
			t.Errorf("%q should not be in\n%s", other, text)
		}
	}
}

func TestAModuleWithoutALicence(t *testing.T) {
	dir := write(t, map[string]string{"NOTICE": "a notice alone", "in/LICENSE": "MIT of a package"})
	m := modules{}
	if err := m.add(strings.NewReader(listed(t, "example.org/none", dir, "in"))); err != nil {
		t.Fatal(err)
	}
	if text, err := m.text(); err == nil || !strings.Contains(err.Error(), "example.org/none") {
		t.Errorf("%v, want an error that names it:\n%s", err, text)
	}
}

// TestLicencesOfABackend has the modules of a package that is here.
func TestLicencesOfABackend(t *testing.T) {
	out := filepath.Join(t.TempDir(), "licences.txt")
	if err := run(t.Context(), filepath.FromSlash("../../../backends/redis"), out, []string{"linux/amd64", "windows/arm64"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Go's standard library: LICENSE", "github.com/redis/go-redis/v9 v"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(string(text), "github.com/sojourn-go") {
		t.Error("the repository's own modules are listed too")
	}
}
