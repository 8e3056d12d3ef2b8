package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// failuresShown bounds the summary: a service refuses one of more than a megabyte.
const failuresShown = 50

// writeSummary appends the run as Markdown, which a CI service shows as a job's summary.
func (r *report) writeSummary(file string, now time.Time) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // a document
	if err != nil {
		return err
	}
	_, err = f.WriteString(r.markdown(now))
	return errors.Join(err, f.Close())
}

func (r *report) markdown(now time.Time) string {
	var b strings.Builder
	c := r.count()
	fmt.Fprintf(&b, "**%d passed, %d failed, %d skipped** in %v\n", c.passed, c.failed, c.skipped, now.Sub(r.began).Round(time.Second))
	if len(r.runs) > 0 {
		b.WriteString("\n" + r.suites())
	}
	shown := 0
	for _, p := range r.packages {
		r.leaves(p, func(t *test, result, remark string) {
			if result != failed {
				return
			}
			if shown++; shown > failuresShown {
				return
			}
			name, output := p.name, p.output
			if t != nil {
				name, output = p.name+" "+t.name, t.output
			}
			if remark != "" {
				name += " (" + remark + ")"
			}
			fmt.Fprintf(&b, "\nFailed: %s\n%s", code(name), fence(lastLines(output)))
		})
	}
	if shown > failuresShown {
		fmt.Fprintf(&b, "\nand %d more failures\n", shown-failuresShown)
	}
	reasons, names := r.skipsByReason()
	if len(reasons) > 0 {
		b.WriteString("\n| skipped | tests | the first |\n|---|--:|---|\n")
	}
	for _, reason := range reasons {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", cell(reason), len(names[reason]), cell(names[reason][0]))
	}
	for _, problem := range r.problems {
		b.WriteString("\n" + code(problem) + "\n")
	}
	return b.String() + "\n"
}

// code returns the text as code of one line, whatever it holds.
func code(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	marks := backticks(text, 1)
	return marks + " " + text + " " + marks
}

// fence returns the text as a block of code, whatever it holds.
func fence(text string) string {
	if text == "" {
		return ""
	}
	marks := backticks(text, 3)
	return marks + "text\n" + strings.TrimSuffix(text, "\n") + "\n" + marks + "\n"
}

// cell returns the text as code in a cell of a table.
func cell(text string) string { return strings.ReplaceAll(code(text), "|", "\\|") }

// backticks returns more of them than stand in a row in the text, and least at least.
func backticks(text string, least int) string {
	marks := strings.Repeat("`", least)
	for strings.Contains(text, marks) {
		marks += "`"
	}
	return marks
}
