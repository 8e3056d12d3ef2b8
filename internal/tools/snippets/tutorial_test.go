package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTutorialInAnEmptyFolder runs the commands of docs/tutorial.md, with the
// program and the two changes that it shows. The module is this one, and go build
// takes the place of go run.
func TestTutorialInAnEmptyFolder(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "notes")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	program := ""
	built := 0
	for _, f := range fences(string(text)) {
		switch f.language {
		case "go":
			program = f.text
		case "diff":
			program = changed(t, program, f.text)
		case "sh":
			if program != "" {
				save(t, dir, "main.go", program)
			}
			for line := range strings.Lines(f.text) {
				if strings.HasPrefix(line, "go run ") {
					built++
				}
				runTutorial(t, dir, strings.Fields(line))
			}
		}
	}
	if built != 2 {
		t.Errorf("the page runs its program %d times, want 2", built)
	}
}

// changed returns the program with the lines of a diff replaced.
func changed(t *testing.T, program, diff string) string {
	t.Helper()
	old, after := "", ""
	for line := range strings.Lines(diff) {
		switch line[0] {
		case '-':
			old += line[1:]
		case '+':
			after += line[1:]
		}
	}
	if strings.Count(program, old) != 1 {
		t.Fatalf("the program has not the lines\n%s", old)
	}
	return strings.Replace(program, old, after, 1)
}

func runTutorial(t *testing.T, dir string, words []string) {
	t.Helper()
	switch {
	case words[0] == "mkdir", words[0] == "docker": // the folder is there, and nothing is run
		return
	case words[0] == "go" && words[1] == "get":
		words = []string{"go", "mod", "edit", "-require=" + strings.TrimSuffix(module, "/") + "@v0.0.0", "-replace=" + strings.TrimSuffix(module, "/") + "=" + mustAbs(t, root)}
		sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
		if err != nil {
			t.Fatal(err)
		}
		save(t, dir, "go.sum", string(sums))
	case words[0] == "go" && words[1] == "run":
		words = []string{"go", "build", "-o", os.DevNull, words[2]}
	}
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
