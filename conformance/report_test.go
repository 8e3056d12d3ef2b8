package conformance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
)

// logged keeps what a report logs.
type logged struct {
	testing.TB
	lines []string
}

func (l *logged) Helper()              {}
func (l *logged) Attr(_, value string) { l.lines = append(l.lines, value) }
func (l *logged) Log(args ...any)      { l.lines = append(l.lines, fmt.Sprint(args...)) }
func (l *logged) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// TestReportNamesWhatWasNotProvenByRule checks what a reader of the report sees.
func TestReportNamesWhatWasNotProvenByRule(t *testing.T) {
	r := conformance.Gaps("the harness has no Left",
		conformance.Case{Name: "Left/B", Rules: []string{"R50", "R5"}}, conformance.Case{Name: "Left/A", Rules: []string{"R5"}})
	r.Loose = []string{"column val: value"}
	var l logged
	r.Attach(&l)
	want := []string{
		`{"suite":"records","backend":"","server":"","cases":0,"notProven":2}`,
		"records on  (): 0 cases, 2 not proven",
		"not proven of R5: Left/A (the harness has no Left), Left/B (the harness has no Left)",
		"not proven of R50: Left/B (the harness has no Left)",
		"not covered by a checksum: column val: value",
	}
	if !slices.Equal(l.lines, want) {
		t.Errorf("the report has\n%q\nwant\n%q", l.lines, want)
	}
}

// TestReportOfAnySizeIsRead has the longest report that there can be: go test -json
// must take its attribute for one.
func TestReportOfAnySizeIsRead(t *testing.T) {
	r := conformance.Gaps("the harness has none of what this case needs", conformance.Cases()...)
	r.Server, r.Groups = strings.Repeat("s", 250), map[string]int{}
	for _, c := range conformance.Cases() {
		group, _, _ := strings.Cut(c.Name, "/")
		r.Groups[group] += 100
	}
	var l logged
	r.Attach(&l)
	if n := len(l.lines[0]); n > 3000 {
		t.Errorf("the attribute has %d bytes, want at most 3,000 of some 4,000", n)
	}
}

// TestCasesNeedTheirFunction runs the cases on a harness without the functions
// that they need: none of them runs.
func TestCasesNeedTheirFunction(t *testing.T) {
	h := shelfHarness(shelfFaults{stays: true, renames: true})
	h.Stored, h.Left = nil, nil
	if err := conformance.Check(t.Context(), h, "Left/OfADeletedStorageIsNothing", "Stored/OfAnotherRecordIsCorrupt"); err != nil {
		t.Error(err)
	}
}
