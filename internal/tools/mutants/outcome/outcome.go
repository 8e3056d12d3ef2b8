// Package outcome has what a run of internal/tools/mutants found: each mutant,
// whether the suite kills it, and why those live that it does not kill.
package outcome

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Mutant names a mutant. The name has no line numbers, so it stays the same
// while the code around it changes.
type Mutant struct {
	File     string // relative to the module's root folder
	Function string
	Operator string
	Change   string // the source before and after, and a number if it is not the only one
}

// State says how the run of a mutant ended.
type State string

// The states of a mutant.
const (
	Killed   State = "killed"   // a case failed
	Crashed  State = "crashed"  // the program ended: a panic, a deadlock, too much memory
	Endless  State = "endless"  // the suite took far longer than without the mutant
	Survived State = "survived" // every case passed
	// Unreached means that no case comes to the mistake. Such a mutant does not run.
	Unreached State = "unreached"
)

// Outcome is a mutant and the end of its run.
type Outcome struct {
	Mutant
	State State
	By    string // the case that failed, or what the program said
}

// Read reads outcomes: a line for each, with tabs between the fields.
func Read(r io.Reader) ([]Outcome, error) {
	var out []Outcome
	err := lines(r, 6, func(f []string) {
		out = append(out, Outcome{Mutant{f[0], f[1], f[2], f[3]}, State(f[4]), f[5]})
	})
	return out, err
}

// Line returns the outcome as Read reads it.
func (o Outcome) Line() string {
	return strings.Join([]string{o.File, o.Function, o.Operator, o.Change, string(o.State), o.By}, "\t") + "\n"
}

// Sample says that outcomes are of some mutants alone, which a seed chose.
type Sample struct {
	Dir       string // of the mutants' package
	Taken, Of int
	Seed      uint64
}

const sampleLine = "# A sample of %d of %d mistakes, chosen by the seed %d.\n"

// Line returns the sample as ReadSample reads it.
func (s Sample) Line() string { return fmt.Sprintf(sampleLine, s.Taken, s.Of, s.Seed) }

// ReadSample looks for the line of a sample.
func ReadSample(text string) (Sample, bool) {
	for line := range strings.Lines(text) {
		var s Sample
		if n, err := fmt.Sscanf(line, sampleLine, &s.Taken, &s.Of, &s.Seed); n == 3 && err == nil {
			return s, true
		}
	}
	return Sample{}, false
}

// Reason says why a mutant lives.
type Reason struct {
	Mutant        // Operator and Change are * for all unreached mutants of a function, Function too for those of a file
	Class  string // one of Classes
	Text   string
}

type class struct {
	Name, Means string
	Silent      bool // no answer differs, so no case can find the mistake
}

// Classes says what each class of reasons means.
var Classes = []class{
	{Name: "equivalent", Means: "No call can tell the difference.", Silent: true},
	{Name: "speed", Means: "Time or memory differs, and no answer.", Silent: true},
	{Name: "elsewhere", Means: "No rule of the contract: a test beside the code tells the difference."},
	{Name: "chance", Means: "It shows only in some runs, by the order of concurrent calls."},
	{Name: "hole", Means: "A rule speaks of it, and no case of the suite shows it yet."},
}

// ReadReasons reads reasons: lines as those of Read, with # before a comment.
func ReadReasons(r io.Reader) ([]Reason, error) {
	var out []Reason
	err := lines(r, 6, func(f []string) {
		out = append(out, Reason{Mutant{f[0], f[1], f[2], f[3]}, f[4], f[5]})
	})
	return out, err
}

// lines calls do with the fields of each line.
func lines(r io.Reader, fields int, do func([]string)) error {
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := s.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != fields {
			return fmt.Errorf("line %d has %d fields, want %d with tabs between them", n, len(f), fields)
		}
		do(f)
	}
	return s.Err()
}

// Explains reports whether the reason is about the outcome.
func (r Reason) Explains(o Outcome) bool {
	switch {
	case r.Mutant == o.Mutant:
		return true
	case o.State != Unreached || r.Operator != "*" || r.Change != "*" || r.File != o.File:
		return false
	}
	return r.Function == "*" || r.Function == o.Function
}
