package main

import (
	"encoding/xml"
	"os"
	"strings"
	"time"
)

// What follows is the form of JUnit's reports that services and editors read. A suite is a package.
type junit struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       float64         `xml:"time,attr"` // seconds
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property,omitempty"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    float64       `xml:"time,attr"` // seconds
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes the run as JUnit XML. Its numbers are those of the last line that was printed.
func (r *report) writeJUnit(file string) error {
	text, err := xml.MarshalIndent(r.junit(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(text, '\n')...), 0o644) //nolint:gosec // a document
}

func (r *report) junit() junit {
	c := r.count()
	all := junit{Tests: c.passed + c.failed + c.skipped, Failures: c.failed, Skipped: c.skipped}
	for _, p := range r.packages {
		suite := junitSuite{Name: p.name, Time: p.elapsed}
		if !p.began.IsZero() {
			suite.Timestamp = p.began.UTC().Format(time.RFC3339)
		}
		for i := range r.runs {
			if run := &r.runs[i]; run.test.pkg == p.name {
				suite.Properties = append(suite.Properties, junitProperty{run.Suite + " on " + run.Backend, run.Server})
			}
		}
		var c counts
		r.leaves(p, func(t *test, result, remark string) {
			c.add(result)
			suite.Cases = append(suite.Cases, junitCaseOf(p, t, result, remark))
		})
		suite.Tests, suite.Failures, suite.Skipped = c.passed+c.failed+c.skipped, c.failed, c.skipped
		if suite.Tests > 0 {
			all.Suites = append(all.Suites, suite)
		}
	}
	return all
}

func junitCaseOf(p *pkg, t *test, result, remark string) junitCase {
	if t == nil {
		text := lastLines(p.output)
		return junitCase{Class: p.name, Name: "(package)", Failure: &junitMessage{Message: remark, Text: text}}
	}
	c := junitCase{Class: p.name, Name: t.name, Time: t.elapsed}
	switch result {
	case failed:
		if remark == "" {
			remark = "failed"
		}
		c.Failure = &junitMessage{Message: remark, Text: lastLines(t.output)}
	case skipped:
		c.Skipped = &junitMessage{Message: skipReason(t.output)}
	}
	return c
}

// outputLimit bounds what a report repeats of one test. The end says why it failed.
const outputLimit = 8 << 10

// lastLines returns the last lines of what a test or a package printed.
func lastLines(output []string) string {
	n, first := 0, len(output)
	for first > 0 && n+len(output[first-1]) <= outputLimit {
		first--
		n += len(output[first])
	}
	var b strings.Builder
	if first > 0 {
		b.WriteString("…\n")
	}
	for _, text := range output[first:] {
		if !isProgress(text) {
			b.WriteString(text)
		}
	}
	return b.String()
}
