package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// attribute is the key under which a conformance suite reports what it ran.
const attribute = "sojourn.run"

// suiteRun is the value of that attribute.
type suiteRun struct {
	Suite     string `json:"suite"`
	Backend   string `json:"backend"`
	Server    string `json:"server"`
	Cases     int    `json:"cases"`
	NotProven int    `json:"notProven"`

	Groups map[string]int `json:"groups"` // cases by group

	test *test
}

func (r *report) attr(t *test, value string) {
	run := suiteRun{test: t}
	if err := json.Unmarshal([]byte(value), &run); err != nil || run.Suite == "" || run.Backend == "" {
		r.problems = append(r.problems, fmt.Sprintf("%s %s: %s is malformed: %s", t.pkg, t.name, attribute, value))
		return
	}
	r.runs = append(r.runs, run)
}

// counts are over leaves: a test that only holds subtests says nothing of its own.
type counts struct{ passed, failed, skipped int }

func (r *report) count() (c counts) {
	for _, p := range r.packages {
		r.leaves(p, func(_ *test, result string, _ string) { c.add(result) })
	}
	return c
}

func (c *counts) add(result string) {
	switch result {
	case failed:
		c.failed++
	case skipped:
		c.skipped++
	default:
		c.passed++
	}
}

// leaves visits what counts in a package, with its result. The test is nil if the package did not
// compile, or failed outside any test. The remark says what a result alone does not.
func (r *report) leaves(p *pkg, visit func(t *test, result, remark string)) {
	explained := false
	for _, t := range p.roots {
		if leavesOf(t, p.ended, visit).failed > 0 {
			explained = true
		}
	}
	if p.result == failed && !explained {
		visit(nil, failed, "the package failed outside any test")
	}
}

// leavesOf visits the leaves of a test, and the test itself if they do not explain its result. A test
// that had not ended when its package ended has failed.
func leavesOf(t *test, ended bool, visit func(t *test, result, remark string)) (c counts) {
	for _, child := range t.children {
		below := leavesOf(child, ended, visit)
		c.passed, c.failed, c.skipped = c.passed+below.passed, c.failed+below.failed, c.skipped+below.skipped
	}
	own := func(result, remark string) {
		visit(t, result, remark)
		c.add(result)
	}
	switch {
	case t.result == failed && c.failed == 0:
		own(failed, "")
	case t.result == running && ended && c.failed == 0:
		own(failed, "did not end")
	case t.result == skipped && c.skipped == 0:
		own(skipped, "")
	case t.result == passed && len(t.children) == 0:
		own(passed, "")
	}
	return c
}

// summarize prints what the run proved, and returns how many reports it could not read.
func (r *report) summarize() int {
	r.table()
	r.skips()
	r.failures()
	for _, problem := range r.problems {
		r.printf("\n%s", problem)
	}
	c := r.count()
	r.print("\n")
	if c == (counts{}) {
		r.print("no test ran")
	}
	r.printf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
	return len(r.problems)
}

func (r *report) table() {
	if len(r.runs) > 0 {
		r.print("\n" + r.suites())
	}
}

// suites is the table of the runs that suites reported.
func (r *report) suites() string {
	runs := slices.Clone(r.runs)
	slices.SortStableFunc(runs, func(a, b suiteRun) int {
		return strings.Compare(a.Backend+"\x00"+a.Server+"\x00"+a.Suite, b.Backend+"\x00"+b.Server+"\x00"+b.Suite)
	})
	rows := [][]string{{"backend", "server and version", "suite", "cases", "not proven"}}
	for len(runs) > 0 {
		end := 0
		var sum suiteRun
		for ; end < len(runs) && runs[end].Backend == runs[0].Backend; end++ {
			run := runs[end]
			sum.Cases += run.Cases
			sum.NotProven += run.NotProven
			suite := run.Suite
			if run.test.result != passed {
				suite += " (failed)"
			}
			rows = append(rows, []string{run.Backend, run.Server, suite, strconv.Itoa(run.Cases), strconv.Itoa(run.NotProven)})
		}
		if end > 1 {
			rows = append(rows, []string{runs[0].Backend, "", "all", strconv.Itoa(sum.Cases), strconv.Itoa(sum.NotProven)})
		}
		runs = runs[end:]
	}
	return layOut(rows)
}

// layOut writes rows as a table; the last two columns are numbers.
func layOut(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i >= len(row)-2 {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// skips lists every skipped test under its reason: one missing server skips many.
func (r *report) skips() {
	reasons, names := r.skipsByReason()
	if len(reasons) == 0 {
		return
	}
	r.print("\nSkipped:")
	for _, reason := range reasons {
		r.print("  " + reason)
		for _, name := range names[reason] {
			r.print("    " + name)
		}
	}
}

func (r *report) skipsByReason() (reasons []string, names map[string][]string) {
	names = map[string][]string{}
	r.each(func(p *pkg, t *test) {
		if t.result != skipped {
			return
		}
		reason := skipReason(t.output)
		if names[reason] == nil {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], p.name+" "+t.name)
	})
	return reasons, names
}

// logLine is how package testing writes what a test logs; a skip's reason is the last of them.
var logLine = regexp.MustCompile(`^\s+[^\s:]+\.go:\d+: (.*)`)

func skipReason(output []string) string {
	var reason []string
	for _, text := range output {
		switch match := logLine.FindStringSubmatch(text); {
		case match != nil:
			reason = []string{match[1]}
		case isProgress(text) || strings.HasPrefix(strings.TrimSpace(text), "--- SKIP"):
		case len(reason) > 0: // a reason of several lines
			reason = append(reason, strings.TrimSpace(text))
		}
	}
	if text := strings.TrimSpace(strings.Join(reason, " ")); text != "" {
		return text
	}
	return "no reason given"
}

func (r *report) failures() {
	var list []string
	for _, p := range r.packages {
		r.leaves(p, func(t *test, result, remark string) {
			switch {
			case result != failed:
			case t == nil:
				list = append(list, p.name)
			case remark != "":
				list = append(list, p.name+" "+t.name+" ("+remark+")")
			default:
				list = append(list, p.name+" "+t.name)
			}
		})
	}
	if len(list) == 0 {
		return
	}
	r.print("\nFailed:")
	for _, name := range list {
		r.print("  " + name)
	}
}

func (r *report) each(visit func(*pkg, *test)) {
	for _, p := range r.packages {
		r.eachOf(p, func(t *test) { visit(p, t) })
	}
}

func (r *report) eachOf(p *pkg, visit func(*test)) {
	var walk func([]*test)
	walk = func(tests []*test) {
		for _, t := range tests {
			visit(t)
			walk(t.children)
		}
	}
	walk(p.roots)
}
