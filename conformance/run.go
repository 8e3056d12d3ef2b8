package conformance

import (
	"cmp"
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
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Report is the result of a run. Attach writes most of it into a test attribute
// with the name sojourn.run.
type Report struct {
	Suite     string `json:"suite"`
	Backend   string `json:"backend"`
	Server    string `json:"server"`
	Cases     int    `json:"cases"`
	NotProven int    `json:"notProven"`
	// Groups is the number of cases that ran, by group: the part of a case's
	// name before the slash.
	Groups map[string]int `json:"groups,omitempty"`
	// Unproven has the cases that did not run, by rule, because the harness
	// lacks something.
	Unproven map[string][]string `json:"unproven,omitempty"`
	// Loose has the parts of a stored record that no checksum covers, each with
	// what of the record it can change.
	Loose []string `json:"loose,omitempty"`
}

// Attach writes the report into the attributes and the log of the test. Unproven and
// Loose are in the log alone: go test -json ends a line at some 4,000 bytes, and does
// not read a longer attribute.
func (r Report) Attach(t testing.TB) {
	t.Helper()
	short := r
	short.Unproven, short.Loose = nil, nil
	data, err := json.Marshal(short)
	if err != nil {
		t.Fatal(err)
	}
	t.Attr("sojourn.run", string(data))
	t.Logf("%s on %s (%s): %d cases, %d not proven", r.Suite, r.Backend, r.Server, r.Cases, r.NotProven)
	for _, rule := range slices.SortedFunc(maps.Keys(r.Unproven), byNumber) {
		t.Logf("not proven of %s: %s", rule, strings.Join(r.Unproven[rule], ", "))
	}
	for _, part := range r.Loose {
		t.Log("not covered by a checksum: " + part)
	}
}

// byNumber compares two rules: R9 comes before R10.
func byNumber(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// gaps collects what was not proven, by rule.
type gaps struct {
	mu sync.Mutex
	of map[string][]string
}

// add notes that the case did not run.
func (g *gaps) add(cs *Case, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[string][]string{}
	}
	for _, rule := range cs.Rules {
		g.of[rule] = append(g.of[rule], cs.Name+" ("+why+")")
	}
}

// all returns what was not proven, in order.
func (g *gaps) all() map[string][]string {
	for _, names := range g.of {
		slices.Sort(names)
	}
	return g.of
}

// looseParts returns what was collected, in order.
func looseParts(parts *sync.Map) []string {
	var out []string
	parts.Range(func(part, _ any) bool { out = append(out, part.(string)); return true })
	slices.Sort(out)
	return out
}

// Tally counts cases by group. It is safe for concurrent use.
type Tally struct {
	mu     sync.Mutex
	groups map[string]int
}

// Add counts the case with the name, such as "Group/BehaviourInWords".
func (t *Tally) Add(name string) {
	group, _, _ := strings.Cut(name, "/")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups == nil {
		t.groups = map[string]int{}
	}
	t.groups[group]++
}

// Result returns the number of all cases counted, and the number for each
// group.
func (t *Tally) Result() (all int, groups map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.groups {
		all += n
	}
	return all, maps.Clone(t.groups)
}

// Run runs every case as a subtest. The parallel cases come first, those that
// must run alone last. It fails t if a case fails, if the backend declares a
// feature absent that Harness.Allow does not list, or if another number of
// cases ran than Harness.Cases says.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal(errNoOpen)
	}
	desc := describe(t, &h)
	for _, err := range notAllowed(&h, desc) {
		t.Error(err)
	}
	var begun, unproven atomic.Int64
	var ran Tally
	var missed gaps
	h.loose = new(sync.Map)
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
				if missing := runCase(t, &h, &cs, desc); missing != "" {
					unproven.Add(1)
					missed.add(&cs, missing)
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
	report.Unproven, report.Loose = missed.all(), looseParts(h.loose)
	report.Attach(t)
	if h.LoseNext != nil && wrapsLossy(t, &h) {
		t.Log("conformance.Lossy makes the lost answers: the cases on them prove expiry.Store. Not proven: which of the backend's own errors mean that an answer was lost (R11)")
	}
	switch {
	case t.Failed():
	case int(begun.Load()) != report.Cases+report.NotProven:
		t.Errorf("conformance: %d cases began and %d ended; a case must not skip itself", begun.Load(), report.Cases+report.NotProven)
	case int(begun.Load()) < len(Cases()): // -run left some out
	default:
		if err := wrongNumber(h.Cases, report); err != nil {
			t.Error(err)
		}
	}
}

// wrongNumber returns an error unless as many cases ran as Harness.Cases says.
func wrongNumber(want int, r Report) error {
	switch {
	case want == All && r.NotProven > 0:
		return fmt.Errorf("conformance: %d cases were not proven, but Harness.Cases is All: their logs say what the harness lacks", r.NotProven)
	case want > 0 && r.Cases != want:
		return fmt.Errorf("conformance: %d cases ran, want %d as Harness.Cases says", r.Cases, want)
	}
	return nil
}

var errNoOpen = errors.New("conformance: Harness.Open is missing")

// describe returns the description of a backend that it opens and closes.
func describe(t testing.TB, h *Harness) driver.Description {
	b := h.Open(t, freshName())
	if b == nil {
		t.Fatal("conformance: Harness.Open returned nil")
	}
	desc := b.Describe()
	if err := b.Close(); err != nil {
		t.Errorf("conformance: Close of an unused backend returned %v, want nil", err)
	}
	return desc
}

// notAllowed returns an error for each feature that is declared absent without
// a reason, or that the harness does not allow to be absent.
func notAllowed(h *Harness, desc driver.Description) []error {
	var out []error
	for _, a := range desc.Absent {
		switch {
		case a.Reason == "":
			out = append(out, fmt.Errorf("conformance: %s declares the feature %q absent without a reason", desc.Backend, a.Feature))
		case !slices.Contains(h.Allow, a.Feature):
			out = append(out, fmt.Errorf("conformance: %s declares the feature %q absent (%s), but Harness.Allow does not list it", desc.Backend, a.Feature, a.Reason))
		}
	}
	return out
}

// runCase runs the case. If the backend declares a needed feature absent, it
// checks instead that the backend returns ErrUnsupported. If the harness lacks
// a function that the case needs, nothing runs and the result says what is
// missing.
func runCase(t testing.TB, h *Harness, cs *Case, desc driver.Description) (missing string) {
	t.Helper()
	supported := true
	for _, f := range cs.needs.features() {
		if _, absent := desc.Lacks(f); absent {
			supported = false
			assertUnsupported(newC(t, h, cs), f)
		}
	}
	switch {
	case !supported:
	case cs.needs&needLoss != 0 && h.LoseNext == nil:
		return "the harness has no LoseNext"
	case cs.needs&needDamage != 0 && h.Damage == nil:
		return "the harness has no Damage"
	case cs.needs&needUnreadable != 0 && h.Unreadable == nil:
		return "the harness has no Unreadable"
	case cs.needs&needStored != 0 && h.Stored == nil:
		return "the harness has no Stored"
	case cs.needs&needLeft != 0 && h.Left == nil:
		return "the harness has no Left"
	case cs.needs&needWhole != 0 && h.Stepwise:
		return "DeleteStorage works step by step"
	case cs.needs&needPlace != 0 && h.Occupy == nil:
		return "the harness has no Occupy"
	case cs.needs&needStall != 0 && h.Stall == nil:
		return "the harness has no Stall"
	case cs.needs&needDelay != 0 && h.Delay == nil:
		return "the harness has no Delay"
	case cs.needs&(needFail|needKill|needCut) != 0 && h.Interrupt == nil:
		return "the harness has no Interrupt"
	case cs.needs&needFail != 0 && !h.Interrupt.has(Fail):
		return "the harness interrupts no call by " + string(Fail)
	case cs.needs&needKill != 0 && !h.Interrupt.has(Kill):
		return "the harness interrupts no call by " + string(Kill)
	case cs.needs&needCut != 0 && !h.Interrupt.has(PowerCut):
		return "the harness interrupts no call by " + string(PowerCut)
	case cs.needs&needCreate != 0 && !manages(t, h):
		return "the backend is not a driver.StorageManager"
	case cs.needs&needTwo != 0 && len(desc.Labels) < 2:
		return "the backend was opened with less than two labels"
	default:
		c := newC(t, h, cs)
		if cs.needs&needLoss != 0 {
			c.warmUp()
		}
		cs.run(c)
	}
	return ""
}

// manages reports whether the harness opens a driver.StorageManager.
func manages(t testing.TB, h *Harness) bool {
	t.Helper()
	b := h.Open(t, freshName())
	defer func() { _ = b.Close() }()
	_, ok := storageManager(b)
	return ok
}

// wrapsLossy reports whether the harness opens a Lossy, or a wrapper around one.
func wrapsLossy(t testing.TB, h *Harness) bool {
	t.Helper()
	b := h.Open(t, freshName())
	defer func() { _ = b.Close() }()
	for {
		if _, ok := b.(*Lossy); ok {
			return true
		}
		w, ok := b.(driver.Unwrapper)
		if !ok {
			return false
		}
		b = w.Unwrap()
	}
}

// assertUnsupported fails the case unless the methods that need the absent
// feature return ErrUnsupported.
func assertUnsupported(c *C, f driver.Feature) {
	c.Helper()
	switch f {
	case driver.FeatureLabels:
		_, err := c.b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 1})
		c.is(err, model.ErrUnsupported, "Page by label without the feature")
		_, err = driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "principal", Value: "ann"})
		c.is(err, model.ErrUnsupported, "Count by label without the feature")
		r := c.rec("a", "1", time.Hour)
		r.Labels = map[string]string{"principal": "ann"}
		_, err = c.write(r, driver.IfAbsent, model.Record{})
		c.is(err, model.ErrUnsupported, "Write with a label without the feature")
		c.gone("a")
	case driver.FeaturePaging:
		_, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 1})
		c.is(err, model.ErrUnsupported, "Page without the feature")
	case driver.FeatureSweep:
		_, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 1})
		c.is(err, model.ErrUnsupported, "DeleteExpired without the feature")
	default:
		c.fail("the backend declares the unknown feature %q absent", f)
	}
}

// CaseError is the error of a case that failed in Check.
type CaseError struct {
	Case string // the name of the case
	Log  string // what the case logged
}

func (e *CaseError) Error() string { return e.Case + ": " + e.Log }

// Check runs the cases one after the other, without a *testing.T. It returns
// the failures joined, each a *CaseError, and nil if there are none. With
// names, it runs only the cases with those names. The functions of the harness
// get a testing.TB that records.
func Check(ctx context.Context, h Harness, names ...string) error {
	if h.Open == nil {
		return errNoOpen
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
			failures = append(failures, fmt.Errorf("conformance: no case has the name %q", n))
		}
	}
	return errors.Join(failures...)
}

func checkOne(ctx context.Context, h *Harness, cs *Case) error {
	r := newRecorder(ctx, cs.Name)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer r.recoverPanic()
		desc := describe(r, h)
		for _, err := range notAllowed(h, desc) {
			r.Error(err)
		}
		runCase(r, h, cs, desc)
	})
	wg.Wait()
	r.runCleanups()
	if r.Failed() {
		return &CaseError{Case: cs.Name, Log: strings.TrimSpace(r.text())}
	}
	return nil
}
