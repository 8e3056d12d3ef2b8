package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	adrStatus     = regexp.MustCompile(`(?m)^Status: (.*)$`)
	adrAccepted   = regexp.MustCompile(`^Accepted, \d{4}-\d{2}-\d{2}\.$`)
	adrSuperseded = regexp.MustCompile(`^Superseded by \[(\d{4})\]\(([^)]+)\), \d{4}-\d{2}-\d{2}\.$`)
)

// TestDecisionsHaveAStatus checks that every decision record says whether it
// still holds, and that the index lists it.
func TestDecisionsHaveAStatus(t *testing.T) {
	dir := filepath.Join(root, "docs", "adr")
	files, err := filepath.Glob(filepath.Join(dir, "[0-9][0-9][0-9][0-9]-*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if problem := statusProblem(string(text), name, dir); problem != "" {
			t.Errorf("docs/adr/%s: %s", name, problem)
		}
		if !strings.Contains(string(index), "("+name+")") {
			t.Errorf("docs/adr/README.md does not list %s", name)
		}
	}
}

// statusProblem returns what is wrong with the status of a decision, or "".
func statusProblem(text, name, dir string) string {
	lines := adrStatus.FindAllStringSubmatch(text, -1)
	if len(lines) != 1 {
		return `needs one line "Status: Accepted, YYYY-MM-DD." or "Status: Superseded by [NNNN](NNNN-title.md), YYYY-MM-DD."`
	}
	status := lines[0][1]
	if adrAccepted.MatchString(status) {
		return ""
	}
	m := adrSuperseded.FindStringSubmatch(status)
	if m == nil {
		return "the status " + status + " has neither of the two forms"
	}
	if _, err := os.Stat(filepath.Join(dir, m[2])); err != nil || !strings.HasPrefix(m[2], m[1]+"-") || m[2] <= name {
		return "the status names " + m[2] + ", which is no later decision"
	}
	return ""
}

func TestAStatusOfAnotherFormIsFound(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"0001-a.md", "0002-b.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"# 1. A\n\nStatus: Accepted, 2026-11-28.\n", true},
		{"# 1. A\n\nStatus: Superseded by [0002](0002-b.md), 2026-12-01.\n", true},
		{"# 1. A\n", false},
		{"Status: Accepted\n", false},
		{"Status: Accepted, 2026-11-28.\nStatus: Accepted, 2026-11-28.\n", false},
		{"Status: Superseded by 0002.\n", false},
		{"Status: Superseded by [0003](0003-c.md), 2026-12-01.\n", false},
		{"Status: Superseded by [0002](0001-a.md), 2026-12-01.\n", false},
		{"Status: Superseded by [0001](0001-a.md), 2026-12-01.\n", false},
	} {
		if problem := statusProblem(c.text, "0001-a.md", dir); (problem == "") != c.ok {
			t.Errorf("%q: problem %q", c.text, problem)
		}
	}
}
