package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAModuleThatRunsTheSuiteNeedsFewOthers tidies a module that only runs the
// suite: its go.mod names at most three modules beside this one.
func TestAModuleThatRunsTheSuiteNeedsFewOthers(t *testing.T) {
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":     "module example.com/outside\n\ngo 1.26.0\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + here + "\n",
		"go.sum":     string(sums),
		"outside.go": "// Package outside is another author's.\npackage outside\n",
		"outside_test.go": `package outside

import (
	"testing"

	"` + module + `/conformance"
	"` + module + `/conformance/faultnet"
	"` + module + `/conformance/sessions"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{})
	sessions.Run(t, conformance.Harness{})
	_ = faultnet.Dialer{}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	tidy.Dir = dir
	tidy.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	n := strings.Count(string(text), "// indirect")
	if n == 0 || n > 3 {
		t.Errorf("an outside module needs %d modules beside this one, want 1 to 3:\n%s", n, text)
	}
}
