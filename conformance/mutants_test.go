package conformance_test

import (
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) {
	// rapid must not write files for the mutants that it catches.
	_ = flag.Set("rapid.nofailfile", "true")
	os.Exit(m.Run())
}

// mutant is a backend with some methods replaced. A nil function leaves the
// method as it is.
type mutant struct {
	driverkit.Wrapper
	get           func(ctx context.Context, now time.Time, id string) (model.Record, error)
	write         func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error)
	touch         func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error)
	delete        func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error
	page          func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error)
	sweep         func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error)
	getMany       func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult
	writeMany     func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult
	count         func(ctx context.Context, now time.Time, label, value string) (int, error)
	stat          func(ctx context.Context, now time.Time, id string) (driver.Stat, error)
	createStorage func(ctx context.Context) error
	deleteStorage func(ctx context.Context) error
	describe      func() driver.Description
	close         func() error
}

func (m *mutant) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if m.get != nil {
		return m.get(ctx, now, g.ID)
	}
	return m.Wrapper.Get(ctx, now, g)
}

func (m *mutant) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if m.write != nil {
		return m.write(ctx, now, w)
	}
	return m.Wrapper.Write(ctx, now, w)
}

func (m *mutant) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if m.touch != nil {
		return m.touch(ctx, now, t)
	}
	return m.Wrapper.Touch(ctx, now, t)
}

func (m *mutant) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if m.delete != nil {
		return m.delete(ctx, now, d.ID, d.Cond, d.Known)
	}
	return m.Wrapper.Delete(ctx, now, d)
}

func (m *mutant) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	if m.page != nil {
		return m.page(ctx, now, q)
	}
	return m.Wrapper.Page(ctx, now, q)
}

func (m *mutant) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	if m.sweep != nil {
		return m.sweep(ctx, s.Before, s.Limit, s.OnExpire)
	}
	return m.Wrapper.DeleteExpired(ctx, s)
}

func (m *mutant) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	if m.getMany != nil {
		return m.getMany(ctx, now, driverkit.IDs(gets))
	}
	return m.Wrapper.GetMany(ctx, now, gets)
}

func (m *mutant) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	if m.writeMany != nil {
		return m.writeMany(ctx, now, ops)
	}
	return m.Wrapper.WriteMany(ctx, now, ops)
}

func (m *mutant) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if m.count != nil {
		return m.count(ctx, now, q.Label, q.Value)
	}
	return m.Wrapper.Count(ctx, now, q)
}

func (m *mutant) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	if m.stat != nil {
		return m.stat(ctx, now, g.ID)
	}
	return m.Wrapper.Stat(ctx, now, g)
}

func (m *mutant) CreateStorage(ctx context.Context) error {
	if m.createStorage != nil {
		return m.createStorage(ctx)
	}
	return m.Wrapper.CreateStorage(ctx)
}

func (m *mutant) DeleteStorage(ctx context.Context) error {
	if m.deleteStorage != nil {
		return m.deleteStorage(ctx)
	}
	return m.Wrapper.DeleteStorage(ctx)
}

func (m *mutant) Describe() driver.Description {
	if m.describe != nil {
		return m.describe()
	}
	return m.Wrapper.Describe()
}

func (m *mutant) Close() error {
	if m.close != nil {
		return m.close()
	}
	return m.Wrapper.Close()
}

// bug makes a mutant of a node of the store. The closure that made the bug
// holds what the nodes of one harness share.
type bug func(b driver.ModelExpirySupport, store string) *mutant

// mutation says where a mistake is: in the backend, in a Store above it, or in
// a node that opens makes.
type mutation struct {
	driver func() bug
	store  func() bug
	maps   fault                                                                 // of a map backend
	opens  func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport // replaces Harness.Open
	shelf  *shelfFaults                                                          // a backend of its own
	steps  *stepFault                                                            // another one
}

// simply returns a mutation whose nodes share nothing.
func simply(b bug) mutation { return mutation{driver: func() bug { return b }} }

// sharing returns a mutation whose nodes share state.
func sharing(f func() bug) mutation { return mutation{driver: f} }

// inStore returns a mutation of a Store.
func inStore(f func() bug) mutation { return mutation{store: f} }

// twin returns the harness without the mutation.
func (p mutation) twin() conformance.Harness {
	if p.shelf != nil {
		return shelfHarness(shelfFaults{})
	}
	if p.steps != nil {
		return steppedHarness(stepFault{})
	}
	return newCluster().harness()
}

// harness returns a harness with the mutation.
func (p mutation) harness() conformance.Harness {
	if p.shelf != nil {
		return shelfHarness(*p.shelf)
	}
	if p.steps != nil {
		return steppedHarness(*p.steps)
	}
	if p.maps != right {
		return mapHarness("", p.maps)
	}
	w := newCluster()
	h := w.harness().LeakWait(100 * time.Millisecond)
	if p.driver != nil {
		breaks := p.driver()
		h.Open = func(t testing.TB, name string) driver.ModelExpirySupport { return breaks(w.node(t, name), name) }
	}
	if p.opens != nil {
		h.Open = func(t testing.TB, name string) driver.ModelExpirySupport { return p.opens(t, w, name) }
	}
	if p.store != nil {
		breaks := p.store()
		h = h.Above(func(b driver.ModelExpirySupport) driver.ModelExpirySupport { return breaks(b, "") })
	}
	return h
}

// patience bounds every wait of a mutant for other callers. It is reached only
// if a case does not need the wait.
const patience = 10 * time.Second

// wait returns when the channel is closed or has a value, or after patience.
func wait[T any](ch <-chan T) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	}
}

// gate blocks until it is opened.
type gate struct {
	once sync.Once
	ch   chan struct{}
}

func newGate() *gate  { return &gate{ch: make(chan struct{})} }
func (g *gate) open() { g.once.Do(func() { close(g.ch) }) }
func (g *gate) wait() { wait(g.ch) }
func (g *gate) isOpen() bool {
	select {
	case <-g.ch:
		return true
	default:
		return false
	}
}

// meeting makes the first two callers with the same key wait for each other.
type meeting struct{ of sync.Map }

type meetingPoint struct {
	came atomic.Int32
	both *gate
}

func (m *meeting) at(key any) {
	v, _ := m.of.LoadOrStore(key, &meetingPoint{both: newGate()})
	p := v.(*meetingPoint)
	if p.came.Add(1) >= 2 {
		p.both.open()
	}
	p.both.wait()
}

// duet lets a second caller act between two steps of a first caller, each time
// that they meet.
type duet struct{ read, acted chan struct{} }

func newDuet() *duet { return &duet{make(chan struct{}), make(chan struct{})} }

func send(ch chan<- struct{}) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case ch <- struct{}{}:
	case <-t.C:
	}
}

// between is called by the first caller between its steps.
func (d *duet) between() { send(d.read); wait(d.acted) }

// act is called by the second caller.
func (d *duet) act(do func()) { wait(d.read); do(); send(d.acted) }

// due returns the records that a sweep would remove. It removes none.
func due(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int) []model.Record {
	var out []model.Record
	_, _ = b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
		if len(out) < limit {
			out = append(out, r)
		}
		return errors.New("no record is removed")
	}})
	return out
}

// removeByID removes any revision of the record.
func removeByID(ctx context.Context, b driver.ModelExpirySupport, r model.Record) error {
	return b.Delete(ctx, time.Time{}, driver.Delete{ID: r.ID, Cond: driver.IfPresent})
}

func mutations() map[string]mutation {
	all := map[string]mutation{}
	for _, of := range []map[string]mutation{
		recordMutants(), touchMutants(), lifeMutants(), raceMutants(), sweepMutants(), lostMutants(), pageMutants(), batchMutants(), orderMutants(), storeMutants(), placeMutants(), leftMutants(), mapMutants(), moreMutants(), exactMutants(), largeMutants(), announcingMutants(), interruptedMutants(), meetMutants(), unreadableMutants(),
	} {
		maps.Copy(all, of)
	}
	return all
}

func TestMutantsAreCaughtByName(t *testing.T) {
	cases := map[string]conformance.Case{}
	for _, c := range conformance.Cases() {
		cases[c.Name] = c
	}
	all := mutations()
	for _, bug := range conformance.Mutants() {
		t.Run(bug.Name, func(t *testing.T) {
			t.Parallel()
			cs, ok := cases[bug.Case]
			if !ok {
				t.Fatalf("no case has the name %q", bug.Case)
			}
			if !slices.Contains(cs.Rules, bug.Rule) {
				t.Errorf("the case %q does not test the rule %s", bug.Case, bug.Rule)
			}
			p, ok := all[bug.Name]
			if !ok {
				t.Fatal("the mutant is on the list, but no test makes it")
			}
			if err := conformance.Check(t.Context(), p.twin(), bug.Case); err != nil {
				t.Errorf("the case fails without the mistake: %v", err)
			}
			err := conformance.Check(t.Context(), p.harness(), bug.Case)
			var f *conformance.CaseError
			if !errors.As(err, &f) || f.Case != bug.Case {
				t.Errorf("%s does not catch the mutant: got %v", bug.Case, err)
			}
		})
	}
}

func TestMutantsAreThoseOfTheList(t *testing.T) {
	all := mutations()
	rules := map[string]bool{}
	behind := 0
	for _, bug := range conformance.Mutants() {
		if _, ok := all[bug.Name]; !ok {
			t.Errorf("%q is on the list, but no test makes it, or it is there twice", bug.Name)
		}
		delete(all, bug.Name)
		if bug.Behind != "" {
			behind++
		}
		rules[bug.Rule] = true
	}
	for name := range all {
		t.Errorf("%q is not on the list", name)
	}
	n := len(conformance.Mutants())
	if n < 160 || behind < 80 {
		t.Errorf("%d of %d mutants are hidden by concurrency, lost answers or paging, want at least 80 of 160", behind, n)
	}
	t.Logf("%d mutants for %d rules; %d are hidden by concurrency, lost answers or paging", n, len(rules), behind)
}

func TestTheDamageableBackendIsCorrect(t *testing.T) {
	if err := conformance.Check(t.Context(), newCluster().harness()); err != nil {
		t.Error(err)
	}
}
