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
	// A planted bug that rapid finds is no news to keep in a file.
	_ = flag.Set("rapid.nofailfile", "true")
	os.Exit(m.Run())
}

// broken is a backend with overridable methods; what is nil is the lawful
// backend's.
type broken struct {
	driver.ModelExpirySupport
	get       func(ctx context.Context, now time.Time, id string) (model.Record, error)
	write     func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error)
	touch     func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error)
	delete    func(ctx context.Context, now time.Time, id string, c driver.Condition, prev model.Record) error
	page      func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error)
	sweep     func(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (driver.Swept, error)
	getMany   func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult
	writeMany func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult
	count     func(ctx context.Context, now time.Time, label, value string) (int, error)
	make      func(ctx context.Context) error
	raze      func(ctx context.Context) error
	describe  func() driver.Description
	shut      func() error
}

func (b *broken) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if b.get != nil {
		return b.get(ctx, now, g.ID)
	}
	return b.ModelExpirySupport.Get(ctx, now, g)
}

func (b *broken) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if b.write != nil {
		return b.write(ctx, now, w)
	}
	return b.ModelExpirySupport.Write(ctx, now, w)
}

func (b *broken) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if b.touch != nil {
		return b.touch(ctx, now, t)
	}
	return b.ModelExpirySupport.Touch(ctx, now, t)
}

func (b *broken) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if b.delete != nil {
		return b.delete(ctx, now, d.ID, d.Cond, d.Known)
	}
	return b.ModelExpirySupport.Delete(ctx, now, d)
}

func (b *broken) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	if b.page != nil {
		return b.page(ctx, now, q)
	}
	return b.ModelExpirySupport.Page(ctx, now, q)
}

func (b *broken) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	if b.sweep != nil {
		return b.sweep(ctx, s.Before, s.Limit, s.OnExpire)
	}
	return b.ModelExpirySupport.DeleteExpired(ctx, s)
}

func (b *broken) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	if b.getMany != nil {
		return b.getMany(ctx, now, driverkit.IDs(gets))
	}
	return driver.GetMany(ctx, b.ModelExpirySupport, now, gets)
}

func (b *broken) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	if b.writeMany != nil {
		return b.writeMany(ctx, now, ops)
	}
	return driver.WriteMany(ctx, b.ModelExpirySupport, now, ops)
}

func (b *broken) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if b.count != nil {
		return b.count(ctx, now, q.Label, q.Value)
	}
	return driver.Count(ctx, b.ModelExpirySupport, now, q)
}

func (b *broken) CreateStorage(ctx context.Context) error {
	if b.make != nil {
		return b.make(ctx)
	}
	return driver.CreateStorage(ctx, b.ModelExpirySupport)
}

func (b *broken) DeleteStorage(ctx context.Context) error {
	if b.raze != nil {
		return b.raze(ctx)
	}
	return driver.DeleteStorage(ctx, b.ModelExpirySupport)
}

func (b *broken) Describe() driver.Description {
	if b.describe != nil {
		return b.describe()
	}
	return b.ModelExpirySupport.Describe()
}

func (b *broken) Close() error {
	if b.shut != nil {
		return b.shut()
	}
	return b.ModelExpirySupport.Close()
}

func (b *broken) Unwrap() driver.ModelExpirySupport { return b.ModelExpirySupport }

// bug breaks a node of a store. What the nodes of one harness share is in the
// closure that made it.
type bug func(b driver.ModelExpirySupport, store string) *broken

// plant is how one bug gets into a harness: below the suite, as a driver's, or
// above what a Store stands on, as a front's.
type plant struct {
	driver func() bug
	front  func() bug
	opens  func(t testing.TB, w *world, name string) driver.ModelExpirySupport // the node itself
}

// without state.
func simply(b bug) plant { return plant{driver: func() bug { return b }} }

// sharing is for bugs whose nodes share state.
func sharing(f func() bug) plant { return plant{driver: f} }

func inFront(f func() bug) plant { return plant{front: f} }

// harness has the bug in it.
func (p plant) harness() conformance.Harness {
	w := newWorld()
	h := w.harness().LeakWait(100 * time.Millisecond)
	if p.driver != nil {
		breaks := p.driver()
		h.Open = func(t testing.TB, name string) driver.ModelExpirySupport { return breaks(w.node(t, name), name) }
	}
	if p.opens != nil {
		h.Open = func(t testing.TB, name string) driver.ModelExpirySupport { return p.opens(t, w, name) }
	}
	if p.front != nil {
		breaks := p.front()
		h = h.Above(func(b driver.ModelExpirySupport) driver.ModelExpirySupport { return breaks(b, "") })
	}
	return h
}

// patience bounds every wait of a bug for its contenders. Where a bug waits,
// they are on their way: it is reached only where a case has no use for it.
const patience = 10 * time.Second

// wait returns once the channel is closed, has a value, or patience has ended.
func wait[T any](ch <-chan T) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	}
}

// gate opens once.
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

// meeting makes the first two that come with a key wait for each other.
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

// duet lets a second one act between the two steps of a first one, every time
// that the two meet.
type duet struct{ looked, acted chan struct{} }

func newDuet() *duet { return &duet{make(chan struct{}), make(chan struct{})} }

func send(ch chan<- struct{}) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case ch <- struct{}{}:
	case <-t.C:
	}
}

// between is called by the first one between its steps.
func (d *duet) between() { send(d.looked); wait(d.acted) }

// act is what the second one does.
func (d *duet) act(do func()) { wait(d.looked); do(); send(d.acted) }

// due returns what a sweep would remove, without removing it.
func due(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int) []model.Record {
	var out []model.Record
	_, _ = b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
		if len(out) < limit {
			out = append(out, r)
		}
		return errors.New("only looked at")
	}})
	return out
}

// removeByID removes whatever is there.
func removeByID(ctx context.Context, b driver.ModelExpirySupport, r model.Record) error {
	return b.Delete(ctx, time.Time{}, driver.Delete{ID: r.ID, Cond: driver.IfPresent})
}

func plants() map[string]plant {
	all := map[string]plant{}
	for _, of := range []map[string]plant{
		recordBugs(), touchBugs(), lifeBugs(), raceBugs(), sweepBugs(), lostBugs(), pageBugs(), batchBugs(), frontBugs(),
	} {
		maps.Copy(all, of)
	}
	return all
}

func TestPlantedBugsAreCaughtByName(t *testing.T) {
	cases := map[string]conformance.Case{}
	for _, c := range conformance.Cases() {
		cases[c.Name] = c
	}
	all := plants()
	for _, bug := range conformance.PlantedBugs() {
		t.Run(bug.Name, func(t *testing.T) {
			t.Parallel()
			cs, ok := cases[bug.Case]
			if !ok {
				t.Fatalf("no case is named %q", bug.Case)
			}
			if !slices.Contains(cs.Rules, bug.Rule) {
				t.Errorf("the case %q is not about %s", bug.Case, bug.Rule)
			}
			p, ok := all[bug.Name]
			if !ok {
				t.Fatal("it is on the list and not planted")
			}
			if err := conformance.Check(t.Context(), newWorld().harness(), bug.Case); err != nil {
				t.Errorf("the unbroken twin fails: %v", err)
			}
			err := conformance.Check(t.Context(), p.harness(), bug.Case)
			var f *conformance.CaseError
			if !errors.As(err, &f) || f.Case != bug.Case {
				t.Errorf("the bug was not caught by %s: %v", bug.Case, err)
			}
		})
	}
}

func TestPlantedBugsAreThoseOfTheList(t *testing.T) {
	all := plants()
	rules := map[string]bool{}
	behind := 0
	for _, bug := range conformance.PlantedBugs() {
		if _, ok := all[bug.Name]; !ok {
			t.Errorf("%q is on the list and not planted, or twice on the list", bug.Name)
		}
		delete(all, bug.Name)
		if bug.Behind != "" {
			behind++
		}
		rules[bug.Rule] = true
	}
	for name := range all {
		t.Errorf("%q is planted and not on the list", name)
	}
	n := len(conformance.PlantedBugs())
	if n < 40 || behind*2 < n {
		t.Errorf("%d bugs, %d of them behind concurrency, lost answers or paging: want 40, and half", n, behind)
	}
	t.Logf("%d bugs for %d rules, %d of them behind concurrency, lost answers or paging", n, len(rules), behind)
}

func TestTheVaultIsLawful(t *testing.T) {
	if err := conformance.Check(t.Context(), newWorld().harness()); err != nil {
		t.Error(err)
	}
}
