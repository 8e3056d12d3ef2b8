package outcome

import (
	"slices"
	"strings"
	"testing"
)

// TestStored checks the outcomes of the last runs: the suite finds what it must,
// and each mistake that it does not find has a reason.
func TestStored(t *testing.T) {
	r, err := Stored()
	if err != nil {
		t.Fatal(err)
	}
	all, reasons := r.Outcomes, r.Reasons
	byTarget := map[string][]Outcome{}
	used := map[Reason]bool{}
	for _, o := range all {
		dir := o.File[:strings.LastIndexByte(o.File, '/')]
		byTarget[dir] = append(byTarget[dir], o)
		if o.State != Survived && o.State != Unreached {
			continue
		}
		r, ok := reasonFor(o, reasons)
		if !ok {
			t.Errorf("no reason says why this is %s:\n%s\t%s\t%s\t%s", o.State, o.File, o.Function, o.Operator, o.Change)
		}
		used[r] = true
	}
	for _, r := range reasons {
		if !used[r] {
			t.Errorf("%v explains nothing: remove it", r)
		}
		if !slices.ContainsFunc(Classes, func(c class) bool { return c.Name == r.Class }) || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("%v has no class that exists, or a text without its full stop", r)
		}
	}
	for dir, part := range byTarget {
		if n := Score(part, reasons); n < 90 {
			t.Errorf("%s: the suite finds %d of 100 mistakes, want 90", dir, n)
		}
	}
}

func TestLinesAreReadAsWritten(t *testing.T) {
	o := Outcome{Mutant{"a/b.go", "T.f", "logic", "a && b → a"}, Killed, "Get/Whole"}
	got, err := Read(strings.NewReader("# a comment\n" + o.Line()))
	if err != nil || len(got) != 1 || got[0] != o {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Read(strings.NewReader("a\tb\n")); err == nil {
		t.Error("a line with two fields is accepted")
	}
}

func TestASampleIsReadAsWritten(t *testing.T) {
	s := Sample{Taken: 3, Of: 70, Seed: 5}
	if got, ok := ReadSample("# Written.\n" + s.Line() + "a\tb\n"); !ok || got != s {
		t.Errorf("got %v, %v, want %v", got, ok, s)
	}
	if got, ok := ReadSample("# Written.\n"); ok {
		t.Errorf("got %v without the line of a sample", got)
	}
}

func TestReasonsOfAWholeFunctionAreOfTheUnreachedAlone(t *testing.T) {
	m := Mutant{"a/b.go", "f", "logic", "a → b"}
	whole := Reason{Mutant{"a/b.go", "f", "*", "*"}, "elsewhere", "Why."}
	rest := Reason{Mutant{"a/b.go", "*", "*", "*"}, "elsewhere", "Why."}
	own := Reason{m, "speed", "Why."}
	for state, want := range map[State]bool{Survived: false, Unreached: true} {
		o := Outcome{Mutant: m, State: state}
		if whole.Explains(o) != want || rest.Explains(o) != want || !own.Explains(o) {
			t.Errorf("%s: %v, %v, %v", state, whole.Explains(o), rest.Explains(o), own.Explains(o))
		}
	}
	if r, _ := reasonFor(Outcome{Mutant: m, State: Unreached}, []Reason{rest, own}); r != own {
		t.Errorf("got %v, want the reason of its own", r)
	}
}

func TestSection(t *testing.T) {
	m := func(function, change string) Mutant { return Mutant{"a/b.go", function, "logic", change} }
	page := Section(Results{[]Outcome{
		{m("f", "1"), Killed, "Get/Whole"}, {m("f", "2"), Crashed, "panic: x"}, {m("f", "3"), Endless, ""},
		{m("f", "x → `y`"), Survived, ""}, {m("f", "5"), Survived, ""}, {m("g", "6"), Unreached, ""}, {m("g", "7"), Unreached, ""},
	}, []Sample{{"a", 7, 90, 3}}, []Reason{{m("f", "x → `y`"), "speed", "It is slow."}, {Mutant{"a/b.go", "g", "*", "*"}, "elsewhere", "A test has it."}}})
	for _, want := range []string{
		"makes 7 mistakes", "Of `a` this is a sample: 7 of 90 mistakes, which the seed 3 chose.", "It comes to 5 of the mistakes, and finds 3 of these, 60 of 100. Another 1 change", "finds 75 of 100",
		"| `logic` | 7 | 1 | 2 | 1 | 1 | 2 | 75 |", "| [a/b.go](../a/b.go) | 7 |",
		"- `f`, logic: `` x → `y` ``. speed: It is slow.", "- `f`, logic: `5`. No reason is known.",
		"- `g`, 2 mistakes. elsewhere: A test has it.",
	} {
		if !strings.Contains(strings.Join(strings.Fields(page), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q is not on the page:\n%s", want, page)
		}
	}
}
