package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	passed  = "pass"
	failed  = "fail"
	skipped = "skip"
	running = ""
)

// event is a line of go test -json; see go doc cmd/test2json.
type event struct {
	Time    time.Time `json:"Time"`
	Action  string    `json:"Action"`
	Package string    `json:"Package"`
	Test    string    `json:"Test"`
	Output  string    `json:"Output"`
	Elapsed float64   `json:"Elapsed"` // seconds
	Key     string    `json:"Key"`     // this and Value are of an attr
	Value   string    `json:"Value"`
}

// test is one run of a test.
type test struct {
	pkg, name string
	began     time.Time
	result    string
	elapsed   float64 // seconds
	children  []*test
	output    []string // of a skipped, failed or unfinished test
}

// line is one line of output of a test or of one of its subtests, in the order in which they came.
type line struct {
	test *test
	text string
}

// pkg is a package under test.
type pkg struct {
	name    string
	began   time.Time
	ended   bool
	result  string
	elapsed float64 // seconds
	roots   []*test
	lines   map[*test][]line // by top-level test, until that ends
	output  []string         // its own, of no test; after its end only if it failed
}

// report follows a run of go test, prints what a person wants to see, and keeps what the summary needs.
type report struct {
	out      io.Writer
	verbose  bool
	printed  bool
	heading  string
	began    time.Time
	packages []*pkg
	byName   map[string]*pkg
	tests    map[string]*test // the latest of a name: -count runs tests again
	runs     []suiteRun
	problems []string
}

func newReport(out io.Writer, verbose bool) *report {
	return &report{
		out: out, verbose: verbose, began: time.Now(),
		byName: map[string]*pkg{}, tests: map[string]*test{},
	}
}

// line takes one line of the stream, and tells whether it printed something.
func (r *report) line(text string) bool {
	r.printed = false
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Action == "" {
		r.print(text) // not of test2json: a person should see it
		return r.printed
	}
	switch {
	case e.Action == "build-output":
		r.print(e.Output)
	case e.Package == "":
	case e.Test == "":
		r.packageEvent(r.pkg(e.Package), e)
	default:
		r.testEvent(r.pkg(e.Package), e)
	}
	return r.printed
}

func (r *report) pkg(name string) *pkg {
	p := r.byName[name]
	if p == nil {
		p = &pkg{name: name, lines: map[*test][]line{}}
		r.byName[name] = p
		r.packages = append(r.packages, p)
	}
	return p
}

func (r *report) packageEvent(p *pkg, e event) {
	switch e.Action {
	case "output":
		switch {
		case r.verbose:
			r.print(e.Output)
		case isPackageLine(e.Output):
			r.print(e.Output)
		case strings.HasPrefix(e.Output, "FAIL\t"):
			r.failedPackage(p)
			r.print(e.Output)
		default:
			p.output = append(p.output, e.Output)
		}
	case "start":
		p.began = e.Time
	case passed, failed, skipped:
		p.ended, p.result, p.elapsed = true, e.Action, e.Elapsed
		if e.Action != failed {
			p.output = nil
		}
	}
}

// isPackageLine recognizes the line in which go test gives the result of a package that did not fail.
func isPackageLine(text string) bool {
	return strings.HasPrefix(text, "ok  \t") || strings.HasPrefix(text, "?   \t") ||
		strings.HasPrefix(text, "\t") && strings.Contains(text, "coverage: ")
}

// failedPackage prints what explains a failure and was not printed yet: the output of tests that never
// ended (a panic's or a time limit's trace is theirs), and that of no test.
func (r *report) failedPackage(p *pkg) {
	for _, root := range p.roots {
		if root.result == running {
			r.failedTest(p, root)
		}
	}
	if len(p.output) > 0 {
		r.head(p)
	}
	for _, text := range p.output {
		r.print(text)
	}
}

func (r *report) testEvent(p *pkg, e event) {
	if e.Action == "run" {
		r.startTest(p, e)
		return
	}
	t := r.tests[key(p, e.Test)]
	if t == nil {
		t = r.startTest(p, e)
	}
	switch e.Action {
	case "output":
		if isLongAttr(e.Output) {
			r.problems = append(r.problems, fmt.Sprintf("%s %s: %s is longer than go test reads", t.pkg, t.name, attribute))
		}
		t.output = append(t.output, e.Output)
		if r.verbose {
			r.print(e.Output)
			return
		}
		root := r.root(p, t)
		p.lines[root] = append(p.lines[root], line{t, e.Output})
	case "attr":
		if e.Key == attribute {
			r.attr(t, e.Value)
		}
	case passed, failed, skipped:
		t.result, t.elapsed = e.Action, e.Elapsed
		if e.Action == passed {
			t.output = nil // of the others the reports need it
		}
		if root := r.root(p, t); root == t {
			if e.Action == failed && !r.verbose {
				r.failedTest(p, t)
			}
			delete(p.lines, t)
		}
	}
}

// isLongAttr recognizes the first part of a report that is longer than a line that go test -json
// reads. It passes that on as output.
func isLongAttr(text string) bool {
	marked, ok := strings.CutPrefix(text, "\x16=== ATTR ")
	return ok && strings.Contains(marked, " "+attribute+" ")
}

func (r *report) startTest(p *pkg, e event) *test {
	t := &test{pkg: p.name, name: e.Test, began: e.Time}
	r.tests[key(p, e.Test)] = t
	if slash := strings.LastIndexByte(e.Test, '/'); slash > 0 {
		// A subtest's name may hold slashes of its own: its parent is the longest name there is.
		for ; slash > 0; slash = strings.LastIndexByte(e.Test[:slash], '/') {
			if parent := r.tests[key(p, e.Test[:slash])]; parent != nil {
				parent.children = append(parent.children, t)
				return t
			}
		}
	}
	p.roots = append(p.roots, t)
	return t
}

func (r *report) root(p *pkg, t *test) *test {
	name, _, _ := strings.Cut(t.name, "/")
	if root := r.tests[key(p, name)]; root != nil {
		return root
	}
	return t
}

func key(p *pkg, name string) string { return p.name + "\x00" + name }

// failedTest prints the output of a failed top-level test and of those of its subtests that failed.
func (r *report) failedTest(p *pkg, root *test) {
	r.head(p)
	for _, l := range p.lines[root] {
		if l.test.result != passed && l.test.result != skipped && !isProgress(l.text) {
			r.print(l.text)
		}
	}
	delete(p.lines, root)
}

// isProgress recognizes the lines by which a test run tells that a test starts, waits or goes on.
func isProgress(text string) bool { return strings.HasPrefix(text, "=== ") }

// head names the package of what follows: packages run side by side.
func (r *report) head(p *pkg) {
	if r.verbose || r.heading == p.name {
		return
	}
	r.print("# " + p.name + "\n")
	r.heading = p.name
}

func (r *report) print(text string) {
	r.printed = true
	if strings.HasPrefix(text, "ok  \t") || strings.HasPrefix(text, "FAIL\t") {
		r.heading = ""
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, _ = io.WriteString(r.out, text) // no one is left to tell that standard output is gone
}

func (r *report) printf(format string, arguments ...any) {
	r.print(fmt.Sprintf(format, arguments...))
}

// heartbeat says that the run is alive, and what it is busy with.
func (r *report) heartbeat(now time.Time) {
	var busy []string
	for _, p := range r.packages {
		if p.ended {
			continue
		}
		what := p.name
		if t := lastRunning(p.roots); t != nil {
			what += fmt.Sprintf(" %s (%v)", t.name, now.Sub(t.began).Round(time.Second))
		}
		busy = append(busy, what)
	}
	if len(busy) == 0 {
		busy = []string{"the compiler"}
	}
	c := r.count()
	r.printf("... %v: %d passed, %d failed, %d skipped; running: %s",
		now.Sub(r.began).Round(time.Second), c.passed, c.failed, c.skipped, strings.Join(busy, ", "))
}

func lastRunning(tests []*test) *test {
	for i := len(tests) - 1; i >= 0; i-- {
		if tests[i].result == running {
			if child := lastRunning(tests[i].children); child != nil {
				return child
			}
			return tests[i]
		}
	}
	return nil
}
