package peers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// lines returns those of a program, and how many checks of errors were left out: the
// blocks after "if err". A call in such a line stays.
func lines(t *testing.T, file string) (rest []string, checks int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "\npackage main\n")
	inside := false
	for line := range strings.Lines(code) {
		line = strings.TrimSpace(line)
		switch check := strings.HasSuffix(line, "err != nil {"); {
		case check:
			inside = true
			checks++
			if line != "if err != nil {" {
				rest = append(rest, line)
			}
		case !inside:
			rest = append(rest, line)
		case line == "}":
			inside = false
		}
	}
	return rest, checks
}

// common returns the length of the longest list of lines that both have in order.
func common(a, b []string) int {
	row := make([]int, len(b)+1)
	for i := range a {
		before := 0
		for j := range b {
			above := row[j+1]
			if a[i] == b[j] {
				row[j+1] = before + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			before = above
		}
	}
	return row[len(b)]
}

// TestMovedProgram counts what a move from scs changes in the tutorial's program, as
// a diff does, and compares it with docs/moving.md.
func TestMovedProgram(t *testing.T) {
	before, checks := lines(t, "notes/scs/main.go")
	after, more := lines(t, "notes/sojourn/main.go")
	same := common(before, after)
	want := fmt.Sprintf("%d lines come and %d go, beside %d checks of errors.", len(after)-same, len(before)-same, more-checks)
	page, err := os.ReadFile("../../../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), want) {
		t.Errorf("docs/moving.md does not say: %s", want)
	}
}

func TestCommon(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a b c", "a b c", 3}, {"a b c", "a x c", 2}, {"a b", "b a", 1}, {"a a b", "a b b", 2}, {"x y", "z", 0}} {
		if got := common(strings.Fields(c.a), strings.Fields(c.b)); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
