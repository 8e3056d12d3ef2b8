package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shown finds a program in the README: a comment that names its file, then the
// code.
var shown = regexp.MustCompile("(?s)<!-- ([a-z/_]+\\.go) -->\n```go\n(.*?)```")

// TestReadmeShowsTheExamples keeps the programs in the README those that are
// compiled and tested, and short.
func TestReadmeShowsTheExamples(t *testing.T) {
	const path = "../../../README.md"
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	now := shown.ReplaceAllStringFunc(string(readme), func(block string) string {
		found++
		m := shown.FindStringSubmatch(block)
		code, err := os.ReadFile(filepath.Join("../../..", m[1]))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(code), "\n"); n > 25 {
			t.Errorf("%s has %d lines, which is too long for a first look", m[1], n)
		}
		return "<!-- " + m[1] + " -->\n```go\n" + string(code) + "```"
	})
	if found != 3 {
		t.Errorf("%d programs in the README, want 3", found)
	}
	if now == string(readme) {
		return
	}
	if !*update {
		t.Fatal("the README shows other code than the examples have; go test ./internal/tests/arch -update rewrites it")
	}
	if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
}
