package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/internal/tools/mutants/outcome"
)

// backend is a package with a suite of its own, in the form of a backend's.
var backend = map[string]string{
	"go.mod": "module example.com/m\n\ngo 1.26\n",
	"p/p.go": `package p

func size(n int) int {
	if n > 3 {
		n = 3
	}
	return n
}

func must(ok bool) {
	if !ok {
		panic("must")
	}
}

func never(n int) int { return n + 1 }

func twice(n int) int { return n * 2 }
`,
	"p/p_test.go": `package p

import "testing"

func TestConformance(t *testing.T) {
	t.Run("cases", func(t *testing.T) {
		t.Run("Size/IsBounded", func(t *testing.T) {
			t.Parallel()
			if size(4) != 3 || size(2) != 2 {
				t.Fatal("another size")
			}
		})
		t.Run("Must/Holds", func(*testing.T) { must(true) })
	})
	t.Run("alone", func(t *testing.T) {
		t.Run("Twice/OfTwo", func(t *testing.T) {
			if twice(2) != 4 {
				t.Error("another number")
			}
		})
	})
}

// TestBeside would find what the suite does not.
func TestBeside(t *testing.T) {
	if never(1) != 2 || size(3) != 3 {
		t.Error("wrong")
	}
}
`,
}

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, backend)
	if err := os.Mkdir("out", 0o700); err != nil {
		t.Fatal(err)
	}
	o := options{state: "state", out: "out", workers: 2}
	if err := o.run(t.Context(), target{name: "p", dir: "p", judges: []string{"p"}}); err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, o := range read(t, "out/p.tsv") {
		have[o.Function+" "+o.Change] = string(o.State) + " " + o.By
	}
	for change, want := range map[string]string{
		"size n > 3 → n <= 3":                  "killed Size/IsBounded",
		"size n > 3 → n >= 3":                  "survived ",
		"size without n > 3 { n = 3 }":         "killed Size/IsBounded",
		"must !ok → ok":                        "killed Must/Holds",
		"never n + 1 → n - 1":                  "unreached ",
		"twice n * 2 → n / 2":                  "killed Twice/OfTwo",
		"must without !ok { panic(\"must\") }": "unreached ",
	} {
		if got := have[change]; got != want && !strings.HasPrefix(got, want+" [") {
			t.Errorf("%s is %q, want %q", change, got, want)
		}
	}
	if left, err := os.ReadDir("state"); err != nil || len(left) > 0 {
		t.Errorf("the run leaves %v, %v", left, err)
	}
}

// TestSampleIsChosenByTheSeed runs some mutants, and the outcomes say of how many.
func TestSampleIsChosenByTheSeed(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, backend)
	p := target{name: "p", dir: "p", judges: []string{"p"}}
	o := options{state: "state", out: ".", workers: 2, sample: 3, seed: 1}
	if err := o.run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	small := read(t, "p.tsv")
	text, err := os.ReadFile("p.tsv")
	if s, ok := outcome.ReadSample(string(text)); err != nil || !ok || s.Taken != 3 || s.Of <= 3 || len(small) != 3 {
		t.Fatalf("the outcomes say %v, and are %v", s, small)
	}
	o.sample = 5
	if err := o.run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	large := read(t, "p.tsv")
	for _, o := range small {
		if !slices.ContainsFunc(large, func(l outcome.Outcome) bool { return l.Mutant == o.Mutant }) {
			t.Errorf("%v is not in the larger sample", o)
		}
	}
	if o.seed = 2; len(large) != 5 {
		t.Errorf("the larger sample has %d mutants, want 5", len(large))
	}
	if err := o.run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if again := read(t, "p.tsv"); slices.EqualFunc(large, again, func(a, b outcome.Outcome) bool { return a.Mutant == b.Mutant }) {
		t.Error("another seed chose the same sample")
	}
}

func TestAPauseIsNoTimeAndIsSeen(t *testing.T) {
	p := &pulse{}
	if got := p.step(beat); got != beat || p.paused {
		t.Errorf("a beat counts %v, paused %v", got, p.paused)
	}
	if got := p.step(time.Hour); got != beat || !p.paused {
		t.Errorf("a pause counts %v, paused %v", got, p.paused)
	}
}

func read(t *testing.T, name string) []outcome.Outcome {
	t.Helper()
	all, err := readOutcomes(name)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRunGoesOn ends a run at once, and then goes on from what it left.
func TestRunGoesOn(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, backend)
	p := target{name: "p", dir: "p", judges: []string{"p"}}
	o := options{state: "state", out: ".", workers: 1, bound: 1}
	if err := o.run(t.Context(), p); err == nil || !strings.Contains(err.Error(), errPart.Error()) {
		t.Fatalf("got %v, want %v", err, errPart)
	}
	names, err := os.ReadDir("state")
	if err != nil || len(names) != 1 {
		t.Fatalf("the state has %v, %v", names, err)
	}
	known := outcome.Outcome{
		Mutant: outcome.Mutant{File: "p/p.go", Function: "size", Operator: "comparison", Change: "n > 3 → n >= 3"},
		State:  outcome.Killed, By: "Known/FromBefore",
	}
	write(t, map[string]string{"state/" + names[0].Name(): known.Line()})
	o.bound = 0
	if err := o.run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if all := read(t, "p.tsv"); !slices.Contains(all, known) {
		t.Errorf("%v is not in %v", known, all)
	}
}

// TestEndless has a mutant whose loop never ends.
func TestEndless(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, map[string]string{"go.mod": backend["go.mod"], "p/p.go": "package p\n\nvar mutantOn = 0\n", "p/p_test.go": `package p

import "testing"

func TestConformance(t *testing.T) {
	for {
	}
}
`})
	j, err := build(t.Context(), "p", "p.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	j.limit = time.Millisecond
	if v, err := j.try(t.Context(), "p", 1, nil); err != nil || v.state != outcome.Endless {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct{ text, failed, said string }{
		{"=== RUN TestConformance\n    --- PASS: TestConformance/cases/Get/Whole (0.00s)\n--- PASS: TestConformance (0.1s)\nPASS\n", "", ""},
		{"\x16        --- FAIL: TestConformance/alone/Leak/Of (0.01s)\n    --- FAIL: TestConformance/alone (0.02s)\n", "Leak/Of", ""},
		{"--- FAIL: TestConformance (0.02s)\n", "before the first case", ""},
		{"fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1\npanic: later", "", "fatal error: all goroutines are asleep - deadlock!"},
	} {
		stopped := false
		failed, said := watch(io.LimitReader(strings.NewReader(tt.text), int64(len(tt.text))), func() { stopped = true })
		if failed != tt.failed || said != tt.said || stopped != (failed != "") {
			t.Errorf("%q: %q, %q, stopped %v", tt.text, failed, said, stopped)
		}
	}
}

func TestPattern(t *testing.T) {
	if got, want := pattern(nil), "^TestConformance(WithoutLog)?$"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got, want := pattern([]string{"Get/Whole", "Create/Once", "Get/Size"}), "^TestConformance(WithoutLog)?$/^(cases|alone)$/^(Create|Get)$/^(Whole|Once|Size)$"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCoverageIsOfTheInnermostPart(t *testing.T) {
	c := coverage{}
	for _, text := range []string{
		"mode: atomic\nexample.com/m/p/p.go:3.20,9.2 2 2\nexample.com/m/p/p.go:5.10,7.3 1 0\n",
		"mode: atomic\nexample.com/m/p/p.go:3.20,9.2 2 0\n",
	} {
		if err := c.read("p", text); err != nil {
			t.Fatal(err)
		}
	}
	for at, want := range map[[2]int]int{{4, 1}: 2, {5, 9}: 2, {5, 10}: 0, {6, 1}: 0, {7, 3}: 2, {20, 1}: -1} {
		got, found := c.times("p/p.go", at[0], at[1])
		if !found {
			got = -1
		}
		if got != want {
			t.Errorf("%v ran %d times, want %d; -1 means that no part has it", at, got, want)
		}
	}
	if err := c.read("p", "p.go:x\n"); err == nil {
		t.Error("a line that is no part is accepted")
	}
}

// TestConditionsOfCasesAreReachedOnlyIfTried has a switch that runs four times, and
// cases that run three times, once and never.
func TestConditionsOfCasesAreReachedOnlyIfTried(t *testing.T) {
	src := parsed(t, `package p

func f(n int) int {
	switch {
	case n > 5:
		return 1
	case n > 4:
		return 2
	case n > 3:
	}
	return 3
}
`)
	c := coverage{}
	if err := c.read("p", strings.Join([]string{
		"p.go:3.19,4.9 1 4", "p.go:5.13,6.11 1 3", "p.go:7.13,8.11 1 1", "p.go:9.13,9.13 0 0", "p.go:11.2,11.10 1 0", "",
	}, "\n")); err != nil {
		t.Fatal(err)
	}
	want := map[int]bool{5: true, 6: true, 7: true, 8: true, 9: false, 11: false}
	seen := map[int]bool{}
	for _, m := range src.functions()[0].mutants() {
		line := src.fset.Position(m.change.at).Line
		seen[line] = true
		if got := c.reached(m); got != want[line] {
			t.Errorf("line %d, %s: reached is %v, want %v", line, m.Change, got, want[line])
		}
	}
	if len(seen) != len(want) {
		t.Errorf("mutants are on the lines %v, want %v", seen, want)
	}
}
