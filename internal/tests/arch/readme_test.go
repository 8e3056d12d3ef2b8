package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shown matches a program in the README: a comment that names its file, then the
// code.
var shown = regexp.MustCompile("(?s)<!-- ([a-z/_]+\\.go) -->\n```go\n(.*?)```")

// TestReadmeShowsTheExamples checks that the README's programs are short and equal
// to the compiled examples.
func TestReadmeShowsTheExamples(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	now := shown.ReplaceAllStringFunc(string(readme), func(block string) string {
		found++
		m := shown.FindStringSubmatch(block)
		code, err := os.ReadFile(filepath.Join(root, m[1]))
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(code), "\n)\n") // after the imports
		if n := strings.Count(body, "\n"); n > 30 {
			t.Errorf("%s has %d lines, which is too long for a first look", m[1], n)
		}
		return "<!-- " + m[1] + " -->\n```go\n" + string(code) + "```"
	})
	if found != 2 {
		t.Errorf("%d programs in the README, want 2", found)
	}
	if *update != "" {
		write(t, "README.md", now)
		return
	}
	if now != string(readme) {
		t.Error("the README shows other code than the examples have; make generate rewrites it")
	}
}
