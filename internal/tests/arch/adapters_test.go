package arch

import (
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pages returns the pages of the adapters and of the examples that show programs.
func pages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "adapters", "*", "README.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return append(files, filepath.Join(root, "examples", "frameworks", "README.md"), filepath.Join(root, "examples", "lease", "README.md"))
}

// TestPagesShowCompiledPrograms compares what the pages show with the files that
// the tests compile and run.
func TestPagesShowCompiledPrograms(t *testing.T) {
	for _, page := range pages(t) {
		name, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		now := shown.ReplaceAllStringFunc(string(text), func(block string) string {
			found++
			m := shown.FindStringSubmatch(block)
			code, err := os.ReadFile(filepath.Join(root, m[1]))
			if err != nil {
				t.Fatal(err)
			}
			return "<!-- " + m[1] + " -->\n```go\n" + string(code) + "```"
		})
		if found == 0 {
			t.Errorf("%s shows no program", name)
		}
		if *update != "" {
			write(t, name, now)
		} else if now != string(text) {
			t.Errorf("%s shows other code than its file has; make generate rewrites it", name)
		}
	}
}

// TestAdaptersAreSmall counts the lines with code of each adapter.
func TestAdaptersAreSmall(t *testing.T) {
	limits := map[string]int{"echo": 100, "gin": 100, "fiber": 100, "scsstore": 150, "fiberstorage": 107, "gorillastore": 107, "otel": 700}
	found, err := filepath.Glob(filepath.Join(root, "adapters", "*", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range found {
		dir := filepath.Dir(mod)
		name := filepath.Base(dir)
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				n += linesOfCode(t, file)
			}
		}
		if n == 0 || n > limits[name] {
			t.Errorf("adapters/%s has %d lines of code, %d at most", name, n, limits[name])
		}
		t.Logf("adapters/%s: %d lines of code", name, n)
	}
}

// linesOfCode counts lines that have more than a comment.
func linesOfCode(t *testing.T, file string) int {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f := fset.AddFile(file, fset.Base(), len(src))
	var s scanner.Scanner
	s.Init(f, src, nil, 0) // without comments
	lines := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		first := f.Line(pos)
		for i := range 1 + strings.Count(text, "\n") {
			lines[first+i] = true
		}
	}
}
