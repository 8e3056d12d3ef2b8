package outcome

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed *.tsv
var stored embed.FS

// reasonsFile has the reasons, written by hand; the other files are outcomes.
const reasonsFile = "reasons.tsv"

// Results are the outcomes of the last runs, and what belongs to them.
type Results struct {
	Outcomes []Outcome
	Samples  []Sample // of packages whose outcomes are those of a sample
	Reasons  []Reason
}

// Stored returns what is stored beside this package.
func Stored() (Results, error) {
	var out Results
	names, err := stored.ReadDir(".")
	if err != nil {
		return out, err
	}
	for _, entry := range names {
		text, err := stored.ReadFile(entry.Name())
		if err != nil {
			return out, err
		}
		if entry.Name() == reasonsFile {
			out.Reasons, err = ReadReasons(bytes.NewReader(text))
		} else {
			var more []Outcome
			more, err = Read(bytes.NewReader(text))
			out.Outcomes = append(out.Outcomes, more...)
			if s, ok := ReadSample(string(text)); ok && len(more) > 0 {
				s.Dir = path.Dir(more[0].File)
				out.Samples = append(out.Samples, s)
			}
		}
		if err != nil {
			return out, fmt.Errorf("%s: %w", entry.Name(), err)
		}
	}
	return out, nil
}

// count has the numbers of mutants by state.
type count struct{ all, failed, ended, survived, silent, unreached int }

func (c *count) add(o Outcome, reasons []Reason) {
	c.all++
	switch o.State {
	case Killed:
		c.failed++
	case Crashed, Endless:
		c.ended++
	case Survived:
		r, _ := reasonFor(o, reasons)
		for _, class := range Classes {
			if class.Name == r.Class && class.Silent {
				c.silent++
				return
			}
		}
		c.survived++
	case Unreached:
		c.unreached++
	}
}

// Score returns the killed mutants of those that the suite reaches and that
// change an answer, in percent, rounded down.
func Score(all []Outcome, reasons []Reason) int {
	var c count
	for _, o := range all {
		c.add(o, reasons)
	}
	return c.score()
}

func (c *count) found() int { return c.failed + c.ended }

func (c *count) score() int { return 100 * c.found() / max(1, c.found()+c.survived) }

// reasonFor returns the reason for an outcome.
func reasonFor(o Outcome, reasons []Reason) (Reason, bool) {
	// One of its own comes before one of the whole function or file.
	for _, whole := range []bool{false, true} {
		for _, r := range reasons {
			if r.Explains(o) && (r.Mutant != o.Mutant) == whole {
				return r, true
			}
		}
	}
	return Reason{}, false
}

// Section returns the outcomes in Markdown, for the page on the suite.
func Section(r Results) string {
	all, reasons := r.Outcomes, r.Reasons
	var b strings.Builder
	var total count
	for _, o := range all {
		total.add(o, reasons)
	}
	fmt.Fprintf(&b, `## Mistakes in backends

`+"`make mutants`"+` makes %d mistakes in two backends and in the kit below them, one at a time. The suite alone judges
each: no test beside the code runs. It comes to %d of the mistakes, and finds %d of these, %d of 100. Another %d change
only time or memory, or nothing at all. Of all others it finds %d of 100. What it does not find is listed with the reasons.

A mistake is found if a case fails. It is also found if the program ends, or the suite takes five times as long and
10 s more. Text with a space in it, such as that of an error, is not changed: the contract has no words.

`, total.all, total.all-total.unreached, total.found(), 100*total.found()/max(1, total.all-total.unreached), total.silent, total.score())
	for _, s := range r.Samples {
		fmt.Fprintf(&b, "Of %s this is a sample: %d of %d mistakes, which the seed %d chose.\n", "`"+s.Dir+"`", s.Taken, s.Of, s.Seed)
	}
	if len(r.Samples) > 0 {
		b.WriteString("\n")
	}
	tally(&b, "operator", all, reasons, func(o Outcome) string { return "`" + o.Operator + "`" })
	b.WriteString("Comparison moves a bound or inverts a comparison. Logic exchanges \"and\" and \"or\", or leaves out one side. Argument swaps two\n" +
		"arguments of one type. Statement leaves out a statement, branch all that an `if` or a case does. Error returns nil for\n" +
		"an error, or an error for nil. Sentinel returns or expects another sentinel error. Lock leaves out a lock and its release.\n\n")
	tally(&b, "file", all, reasons, func(o Outcome) string { return "[" + o.File + "](../" + o.File + ")" })
	b.WriteString("### Mistakes that the suite does not find\n\n")
	for _, c := range Classes {
		fmt.Fprintf(&b, "- %s: %s\n", c.Name, c.Means)
	}
	b.WriteString("\n")
	list(&b, all, reasons, Survived)
	b.WriteString("### Code that the suite does not reach\n\n")
	list(&b, all, reasons, Unreached)
	return b.String()
}

// tally writes a table of the outcomes by key.
func tally(b *strings.Builder, title string, all []Outcome, reasons []Reason, key func(Outcome) string) {
	counts := map[string]*count{}
	var keys []string
	for _, o := range all {
		k := key(o)
		if counts[k] == nil {
			counts[k] = &count{}
			keys = append(keys, k)
		}
		counts[k].add(o, reasons)
	}
	slices.Sort(keys)
	fmt.Fprintf(b, "| %s | mistakes | a case fails | the program ends | not found | no answer differs | not reached | found of 100 |\n|---|--:|--:|--:|--:|--:|--:|--:|\n", title)
	for _, k := range keys {
		c := counts[k]
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d | %d |\n", k, c.all, c.failed, c.ended, c.survived, c.silent, c.unreached, c.score())
	}
	b.WriteString("\n")
}

// list writes the mutants in a state, by file and reason.
func list(b *strings.Builder, all []Outcome, reasons []Reason, state State) {
	file := ""
	whole := map[Reason]int{}
	for _, o := range all {
		if r, ok := reasonFor(o, reasons); ok && o.State == state && r.Mutant != o.Mutant {
			whole[r]++
		}
	}
	for _, o := range all {
		if o.State != state {
			continue
		}
		r, ok := reasonFor(o, reasons)
		n := whole[r]
		if ok && r.Mutant != o.Mutant && n == 0 {
			continue // it is in the list already
		}
		if o.File != file {
			if file != "" {
				b.WriteString("\n")
			}
			file = o.File
			fmt.Fprintf(b, "[%s](../%s):\n\n", path.Base(path.Dir(file))+"/"+path.Base(file), file)
		}
		switch {
		case !ok:
			fmt.Fprintf(b, "- `%s`, %s: %s. No reason is known.\n", o.Function, o.Operator, code(o.Change))
		case r.Mutant == o.Mutant:
			fmt.Fprintf(b, "- `%s`, %s: %s. %s: %s\n", o.Function, o.Operator, code(o.Change), r.Class, r.Text)
		default:
			name := "`" + r.Function + "`"
			if r.Function == "*" {
				name = "The rest of the file"
			}
			fmt.Fprintf(b, "- %s, %d mistakes. %s: %s\n", name, n, r.Class, r.Text)
			whole[r] = 0
		}
	}
	b.WriteString("\n")
}

// code returns a text as code in Markdown.
func code(text string) string {
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if fence != "`" {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}
