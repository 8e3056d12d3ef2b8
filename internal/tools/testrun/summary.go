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

func (r *report) count() counts {
	var c counts
	for _, p := range r.packages {
		before := c.failed
		for _, t := range p.roots {
			c.add(t, p.ended)
		}
		if p.result == failed && c.failed == before {
			c.failed++ // it did not compile, or failed outside any test
		}
	}
	return c
}

// add counts the leaves of a test. It counts the test itself if they do not explain its result. A
// test that had not ended when its package ended has failed.
func (c *counts) add(t *test, ended bool) {
	before := *c
	for _, child := range t.children {
		c.add(child, ended)
	}
	switch {
	case t.result == failed, t.result == running && ended:
		if c.failed == before.failed {
			c.failed++
		}
	case t.result == skipped:
		if c.skipped == before.skipped {
			c.skipped++
		}
	case t.result == passed && len(t.children) == 0:
		c.passed++
	}
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
	if len(r.runs) == 0 {
		return
	}
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
	r.print("\n" + layOut(rows))
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
	var reasons []string
	names := map[string][]string{}
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
		before := len(list)
		r.eachOf(p, func(t *test) {
			switch {
			case anyFailed(t.children, p.ended): // they are listed
			case t.result == failed:
				list = append(list, p.name+" "+t.name)
			case t.result == running && p.ended:
				list = append(list, p.name+" "+t.name+" (did not end)")
			}
		})
		if p.result == failed && len(list) == before {
			list = append(list, p.name)
		}
	}
	if len(list) == 0 {
		return
	}
	r.print("\nFailed:")
	for _, name := range list {
		r.print("  " + name)
	}
}

func anyFailed(tests []*test, ended bool) bool {
	var c counts
	for _, t := range tests {
		c.add(t, ended)
	}
	return c.failed > 0
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
