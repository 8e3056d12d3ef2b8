package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Report is what a run says of itself, in a test attribute named sojourn.run.
type Report struct {
	Suite     string `json:"suite"`
	Backend   string `json:"backend"`
	Server    string `json:"server"`
	Cases     int    `json:"cases"`
	NotProven int    `json:"notProven"`
	// Groups is how many of them ran, by the part of a case's name before the
	// slash.
	Groups map[string]int `json:"groups,omitempty"`
}

// Attach writes the report into the test's attributes and log.
func (r Report) Attach(t testing.TB) {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Attr("sojourn.run", string(data))
	t.Logf("%s on %s (%s): %d cases, %d not proven", r.Suite, r.Backend, r.Server, r.Cases, r.NotProven)
}

// Tally counts the cases that ran, by group. It is safe for concurrent use.
type Tally struct {
	mu     sync.Mutex
	groups map[string]int
}

// Add counts a case of that name: "Group/WhatItShows".
func (t *Tally) Add(name string) {
	group, _, _ := strings.Cut(name, "/")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups == nil {
		t.groups = map[string]int{}
	}
	t.groups[group]++
}

// Result is how many cases were counted, and how many of each group.
func (t *Tally) Result() (all int, groups map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.groups {
		all += n
	}
	return all, maps.Clone(t.groups)
}

// Run runs every case as a subtest: in parallel, and at the end those that
// must be alone.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("conformance: Harness.Open is missing")
	}
	desc := describe(t, &h)
	for _, a := range undeclared(&h, desc) {
		t.Errorf("conformance: %s declares %q absent (%s), and Harness.Allow does not list it", desc.Backend, a.Feature, a.Reason)
	}
	var begun, unproven atomic.Int64
	var ran Tally
	cases := func(t *testing.T, serial bool) {
		t.Helper()
		for _, cs := range Cases() {
			if cs.serial != serial {
				continue
			}
			t.Run(cs.Name, func(t *testing.T) {
				begun.Add(1)
				if !serial {
					t.Parallel()
				}
				switch missing := cs.missing(&h, desc); {
				case missing == "":
					cs.run(newC(t, &h, &cs))
				case cs.needs.feature() != "":
					assertUnsupported(newC(t, &h, &cs), cs.needs)
				default:
					unproven.Add(1)
					t.Log("not proven: " + missing)
					return
				}
				ran.Add(cs.Name)
			})
		}
	}
	t.Run("cases", func(t *testing.T) { cases(t, false) })
	t.Run("alone", func(t *testing.T) { cases(t, true) })
	report := Report{Suite: "records", Backend: desc.Backend, Server: h.Server, NotProven: int(unproven.Load())}
	report.Cases, report.Groups = ran.Result()
	report.Attach(t)
	switch {
	case t.Failed():
	case int(begun.Load()) != report.Cases+report.NotProven:
		t.Errorf("conformance: %d cases began and only %d ended: one has skipped itself", begun.Load(), report.Cases+report.NotProven)
	case int(begun.Load()) < len(Cases()): // -run left some out
	case h.Cases > 0 && report.Cases != h.Cases:
		t.Errorf("conformance: %d cases ran, the harness pins %d", report.Cases, h.Cases)
	}
}

func describe(t testing.TB, h *Harness) driver.Description {
	b := h.Open(t, freshName())
	desc := b.Describe()
	if err := b.Close(); err != nil {
		t.Errorf("conformance: Close of a store that was not used: %v", err)
	}
	return desc
}

func undeclared(h *Harness, desc driver.Description) []driver.Absence {
	var out []driver.Absence
	for _, a := range desc.Absent {
		if !slices.Contains(h.Allow, a.Feature) || a.Reason == "" {
			out = append(out, a)
		}
	}
	return out
}

// missing says why the case cannot run; empty where it can.
func (cs *Case) missing(h *Harness, desc driver.Description) string {
	if f := cs.needs.feature(); f != "" {
		if reason, absent := desc.Lacks(f); absent {
			return reason
		}
	}
	if cs.needs == needLoss && h.LoseNext == nil {
		return "the harness has no LoseNext"
	}
	if cs.needs == needDamage && h.Damage == nil {
		return "the harness has no Damage"
	}
	return ""
}

// assertUnsupported is what a case on an absent feature becomes.
func assertUnsupported(c *C, n need) {
	switch n {
	case needLabels:
		_, err := c.b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "p", Limit: 1})
		c.is(err, model.ErrUnsupported, "a listing by label")
	case needPaging:
		_, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 1})
		c.is(err, model.ErrUnsupported, "a listing")
	case needSweep:
		_, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 1})
		c.is(err, model.ErrUnsupported, "a sweep")
	}
}

// CaseError is a case that failed under Check.
type CaseError struct {
	Case string
	Log  string
}

func (e *CaseError) Error() string { return e.Case + ": " + e.Log }

// Check runs the cases without a *testing.T, one after the other, and returns
// the failures joined, each a *CaseError. With names, only the cases named. The
// harness's functions get a testing.TB that records.
func Check(ctx context.Context, h Harness, names ...string) error {
	if h.Open == nil {
		return errors.New("conformance: Harness.Open is missing")
	}
	var failures []error
	known := map[string]bool{}
	for _, cs := range Cases() {
		known[cs.Name] = true
		if len(names) > 0 && !slices.Contains(names, cs.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(append(failures, err)...)
		}
		if f := checkOne(ctx, &h, &cs); f != nil {
			failures = append(failures, f)
		}
	}
	for _, n := range names {
		if !known[n] {
			failures = append(failures, fmt.Errorf("conformance: no case is named %q", n))
		}
	}
	return errors.Join(failures...)
}

func checkOne(ctx context.Context, h *Harness, cs *Case) error {
	r := newRecorder(ctx, cs.Name)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer r.recoverPanic()
		b := h.Open(r, freshName())
		desc := b.Describe()
		_ = b.Close()
		switch missing := cs.missing(h, desc); {
		case missing == "":
			cs.run(newC(r, h, cs))
		case cs.needs.feature() != "":
			assertUnsupported(newC(r, h, cs), cs.needs)
		}
	})
	wg.Wait()
	r.runCleanups()
	if r.Failed() {
		return &CaseError{Case: cs.Name, Log: strings.TrimSpace(r.text())}
	}
	return nil
}
