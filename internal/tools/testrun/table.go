package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn/internal/tools/marks"
)

// The table stands between these lines of a file.
const (
	tableBegin = "<!-- table: make table -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// capability is a row: what the cases of some groups of a suite prove.
type capability struct {
	title, suite string
	groups       []string // nil: all
}

var capabilities = []capability{
	{"read, create, update, upsert, delete", "records", []string{"Get", "Create", "Update", "Upsert", "Delete", "Value"}},
	{"compare-and-set, known records", "records", []string{"CompareAndSet", "Known"}},
	{"partial updates, functions, take", "records", []string{"Partial", "Mutate", "Take"}},
	{"many at once", "records", []string{"Many", "Batch", "Scale"}},
	{"expiry, touch", "records", []string{"Expiry", "Touch"}},
	{"labels, listing, count", "records", []string{"Label", "Page", "Token", "Count"}},
	{"sweep", "records", []string{"Sweep"}},
	{"concurrency, histories, sequences", "records", []string{"Concurrency", "Contention", "Churn", "Overtaken", "History", "Sequence"}},
	{"lost answers", "records", []string{"Lost", "Delivery"}},
	{"interrupted calls", "records", []string{"Interrupted"}},
	{"damaged, foreign and unreadable records", "records", []string{"Corrupt", "Stored", "Unreadable"}},
	{"bad input, errors, contexts", "records", []string{"ID", "Input", "Order", "Error", "Context"}},
	{"sealed values", "records", []string{"Seal"}},
	{"storage, close, leaks, the store", "records", []string{"Storage", "Close", "Leak", "Left", "Store"}},
	{"web sessions", "sessions", nil},
}

// column is one backend on one server.
type column struct{ backend, server string }

// matrix is backend by capability by cases that ran in the tests of backends. An adapter, or an example,
// runs the suites on a backend too.
func (r *report) matrix() (string, error) {
	cells := map[column]map[string]map[string]int{} // by suite and group
	for _, run := range r.runs {
		if !strings.Contains(run.test.pkg, "/backends/") {
			continue
		}
		c := column{run.Backend, run.Server}
		if cells[c] == nil {
			cells[c] = map[string]map[string]int{}
		}
		if cells[c][run.Suite] == nil {
			cells[c][run.Suite] = map[string]int{}
		}
		for group, n := range run.Groups {
			if !placed(run.Suite, group) {
				return "", fmt.Errorf("the table has no row for %s/%s", run.Suite, group)
			}
			cells[c][run.Suite][group] = max(cells[c][run.Suite][group], n)
		}
	}
	var columns []column
	for c := range cells {
		columns = append(columns, c)
	}
	slices.SortFunc(columns, func(a, b column) int {
		return cmp.Or(strings.Compare(a.backend, b.backend), strings.Compare(a.server, b.server))
	})
	var b strings.Builder
	row := func(head string, cell func(column) string) {
		b.WriteString("| " + head)
		for _, c := range columns {
			b.WriteString(" | " + cell(c))
		}
		b.WriteString(" |\n")
	}
	row("cases", func(c column) string { return c.backend })
	b.WriteString("|---" + strings.Repeat("|--:", len(columns)) + "|\n")
	row("on", func(c column) string { return cmp.Or(stated(c.server), "–") })
	for _, k := range capabilities {
		row(k.title, func(c column) string {
			n := 0
			for group, ran := range cells[c][k.suite] {
				if k.groups == nil || slices.Contains(k.groups, group) {
					n += ran
				}
			}
			if n == 0 {
				return "–"
			}
			return strconv.Itoa(n)
		})
	}
	return b.String(), nil
}

func placed(suite, group string) bool {
	return slices.ContainsFunc(capabilities, func(k capability) bool {
		return k.suite == suite && (k.groups == nil || slices.Contains(k.groups, group))
	})
}

// origin is where a server came from, which a table for readers leaves out.
var origin = regexp.MustCompile(` \((container|endpoint) .*\)$`)

func stated(server string) string { return origin.ReplaceAllString(server, "") }

// ofSuites is what make table runs.
var ofSuites = regexp.MustCompile(`^[^/]*(Conformance|Sessions)`)

// proven reports whether nothing failed, and nothing of the suites was skipped.
func (r *report) proven() bool {
	ok := true
	for _, p := range r.packages {
		r.leaves(p, func(t *test, result, _ string) {
			if result == failed || result == skipped && ofSuites.MatchString(t.name) {
				ok = false
			}
		})
	}
	return ok
}

// writeTable puts the table between its marks in a file.
func (r *report) writeTable(file string) error {
	if !r.proven() {
		return errors.New("no table of a run in which something failed, or a case of a suite was skipped")
	}
	table, err := r.matrix()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err := marks.Put(string(text), tableBegin, tableEnd, table)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(page), 0o644) //nolint:gosec // a document
}
