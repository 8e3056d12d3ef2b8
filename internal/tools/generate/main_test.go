package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needShell skips the test on systems without a shell.
func needShell(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
}

// echo is a generator that writes text to the file.
func echo(file, text string) generator {
	return generator{
		files: []string{file},
		command: func(root string) []string {
			return []string{"sh", "-c", `printf %s "$1" >"$2"`, "sh", text, filepath.Join(root, file)}
		},
	}
}

func TestCheckNamesStaleFilesAndChangesNone(t *testing.T) {
	needShell(t)
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"fresh": "new", "stale": "old"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := []generator{echo("fresh", "new"), echo("stale", "new"), echo("missing", "new")}

	err := generate(t.Context(), true, all)
	if err == nil || !strings.Contains(err.Error(), "make generate") || !strings.HasSuffix(err.Error(), ": stale, missing") {
		t.Errorf("check returned %v", err)
	}
	if text, err := os.ReadFile("stale"); err != nil || string(text) != "old" {
		t.Errorf("check left %q, %v", text, err)
	}

	if err := generate(t.Context(), false, all); err != nil {
		t.Fatal(err)
	}
	if err := generate(t.Context(), true, all); err != nil {
		t.Errorf("after generating, check returned %v", err)
	}
}

func TestAFailingGeneratorIsReportedWithItsOutput(t *testing.T) {
	needShell(t)
	t.Chdir(t.TempDir())
	bad := generator{command: func(string) []string { return []string{"sh", "-c", "echo no rules; exit 3"} }}
	if err := generate(t.Context(), true, []generator{bad}); err == nil || !strings.Contains(err.Error(), "no rules") {
		t.Errorf("got %v", err)
	}
}
