package main

import (
	"strings"
	"testing"
)

// schemaOf returns the mutants of a package with one file, and that file with
// them.
func schemaOf(t *testing.T, text string) ([]*mutant, string) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, map[string]string{"go.mod": "module example.com/m\n\ngo 1.26\n", "p/p.go": text})
	s, path, open, err := load(t.Context(), target{dir: "p"})
	if err != nil {
		t.Fatal(err)
	}
	all, files, err := s.schema(path, open)
	if err != nil {
		t.Fatal(err)
	}
	return all, string(files["p/p.go"])
}

// TestSchemaOfEveryKindOfFunction checks that copies of methods, generic
// functions, unnamed and variadic parameters compile, and have their mistake.
func TestSchemaOfEveryKindOfFunction(t *testing.T) {
	all, text := schemaOf(t, `package p

// T has a comment that stays.
type T[K comparable] struct{ m map[K]int }

func (t *T[K]) put(k K, _ int, n ...int) { t.m[k] = len(n) }
func (T[K]) zero(int) (n int, err error) { return 0, nil }
func pair[K comparable, V any](k K, v V) map[K]V { return map[K]V{k: v} }
func last(n int) int {
loop:
	for {
		if n > 0 {
			break loop
		}
		n++
	}
	return n
}
func init() { _ = pair(1, 2) }
`)
	for _, want := range []string{
		"// T has a comment that stays.", "case 1: t.mutant1(k, mutantParam1, n...); return",
		"func (t *T[K]) mutant1(k K, _ int, n ...int) {", "mutantReceiver.mutant", "switch mutantOn {",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %q:\n%s", want, text)
		}
	}
	for _, m := range all {
		if m.Function == "init" {
			t.Errorf("init has the mutant %s", m.Change)
		}
		if n := strings.Count(text, m.function()+"("); n != 2 && !strings.Contains(text, m.function()+"[") {
			t.Errorf("%s is %d times in the file, want its call and its copy", m.function(), n)
		}
	}
}

// TestSchemaLeavesOutWhatDoesNotCompile has a mistake that leaves a function
// without its return.
func TestSchemaLeavesOutWhatDoesNotCompile(t *testing.T) {
	all, _ := schemaOf(t, "package p\n\nfunc f(a int) int {\n\tswitch a {\n\tcase 1:\n\t\treturn 2\n\tdefault:\n\t\treturn 3\n\t}\n}\n")
	for _, m := range all {
		if m.Operator == "branch" {
			t.Errorf("the mutant %q does not compile and is there", m.Change)
		}
	}
	if len(all) != 3 {
		t.Errorf("%d mutants, want those of 3 constants", len(all))
	}
}
