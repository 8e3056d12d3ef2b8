package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parsed returns the package with one file that has the text.
func parsed(t *testing.T, text string) *source {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, map[string]string{"p/p.go": text})
	s, err := parse("p", "example.com/m/p", []string{"p.go"}, noImports)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write writes files below the working directory.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func noImports(string) (io.ReadCloser, error) { return nil, errors.New("no imports") }

// TestOperators checks which mistakes each operator makes in a function.
func TestOperators(t *testing.T) {
	for _, tt := range []struct {
		operator, body string
		want           []string
	}{
		{"comparison", "return a < b", []string{"a < b → a <= b", "a < b → a >= b"}},
		{"comparison", "return a >= b", []string{"a >= b → a > b", "a >= b → a < b"}},
		{"comparison", "return e != nil", []string{"e != nil → e == nil"}},
		{"logic", "return ok && a == b", []string{"ok && a == b → ok || a == b", "ok && a == b → (ok)", "ok && a == b → (a == b)"}},
		{"negation", "return !ok", []string{"!ok → ok"}},
		{"negation", "if ok { a++ }; return f(a) || ok", []string{"ok → !ok", "f(a) → !f(a)", "ok → !ok #2"}},
		{"negation", "switch { case ok: a++; case a < b: b++ }; return true", []string{"ok → !ok"}},
		{"arithmetic", "a = b*2 - 1; return true", []string{"b*2 - 1 → b*2 + 1", "b*2 → b/2"}},
		{"arithmetic", "s += s; a += b; b--; return s+s == s", []string{"a += b → a -= b", "b-- → b++"}},
		{"arithmetic", "return min(a, b) == 0", []string{"min(a, b) → max(a, b)"}},
		{"constant", "a = 7; s = \"\"; s = \"x\"; s = \"for people\"; return true",
			[]string{"7 → (7+1)", `"" → "?"`, `"x" → ""`, "true → false"}},
		{"constant", "return a == limit && s == name && s != why", []string{"limit → (limit+1)", `name → (name+"?")`}},
		{"argument", "return g(a, b, ok, s)", []string{"g(a, b, ok, s) → g(b, a, ok, s)"}},
		{"argument", "return g(a, a, ok, s)", nil},
		{"statement", "x := 1; a = x; f(a); defer f(b); for ok { if a > b { break }; continue }; return true",
			[]string{"without a = x", "without f(a)", "without defer f(b)", "without continue"}},
		{"branch", "if a == b { f(a); f(b) } else { f(1) }; switch a { case 1: f(2); default: f(3) }; return true",
			[]string{"without a == b { f(a); f(b) }", "without f(1)", "without 1 { f(2) }", "without f(3)"}},
		{"error", "_ = func() error { return e }; _ = func() (int, error) { return 1, nil }; _ = func() int { return a }; return true",
			[]string{"return e → return nil", "return 1, nil → return 1, errMutant"}},
		{"sentinel", "var model struct{ ErrNotFound, ErrExists error }; return model.ErrNotFound != model.ErrExists",
			[]string{"model.ErrNotFound → model.ErrConflict", "model.ErrExists → model.ErrNotFound"}},
		{"lock", "mu.Lock(); a++; mu.Unlock(); mu.RLock(); defer mu.RUnlock(); mu.Lock(); return true",
			[]string{"without mu.Lock() … mu.Unlock()", "without mu.RLock() … defer mu.RUnlock()"}},
	} {
		s := parsed(t, `package p
const limit = 3
const name = "n"
const why = "for people"
type mutex struct{}
func (mutex) Lock() {}
func (mutex) Unlock() {}
func (mutex) RLock() {}
func (mutex) RUnlock() {}
func f(int) bool { return limit > 0 }
func g(int, int, bool, string) bool { return name != "" }
func tried(a, b int, ok bool, s string, e error, mu mutex) bool {
`+tt.body+"\n}\n")
		var have []string
		for _, f := range s.functions() {
			for _, m := range f.mutants() {
				if m.Function == "tried" && m.Operator == tt.operator {
					have = append(have, m.Change)
				}
			}
		}
		if !slices.Equal(have, tt.want) {
			t.Errorf("%s in %q:\n%q, want\n%q", tt.operator, tt.body, have, tt.want)
		}
	}
}

func TestEveryOperatorIsTested(t *testing.T) {
	text, err := os.ReadFile("operators_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operators {
		if !strings.Contains(string(text), `{"`+op.name+`", "`) {
			t.Errorf("no test has the operator %s", op.name)
		}
	}
}

func TestShownSidesDiffer(t *testing.T) {
	long := strings.Repeat("same ", 60)
	if got := shown(long+"a < b "+long, long+"a <= b "+long); !strings.Contains(got, "a < b") || !strings.Contains(got, "a <= b") || len(got) > 3*maxShown {
		t.Errorf("shown as %q", got)
	}
	if got := shown("f(\n\ta,\n)", ""); got != "without f( a, )" {
		t.Errorf("shown as %q", got)
	}
}
