package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// interruptible is a call that is interrupted at each of its steps.
type interruptible struct {
	name   string
	turn   int // of the calls
	needs  need
	sweeps bool // it removes what has expired
	unmade bool // the storage is deleted before
	whole  bool // it is about all records at once: some may be gone if it fails
	do     func(t *trial, b driver.ModelExpirySupport) ended
}

// ended is the end of a call: the records that it changes, and its errors.
type ended struct {
	after map[string]model.Record // of a removed one, the zero Record
	err   error
	errs  map[string]error // of each operation of a batch
	swept *driver.Swept
}

func (e *ended) of(id string) error {
	if e.errs != nil {
		return e.errs[id]
	}
	return e.err
}

// all returns the errors. Some may be nil.
func (e *ended) all() []error { return append(slices.Collect(maps.Values(e.errs)), e.err) }

// trial interrupts one call in one way. Its records are of an early time at which
// all are live. The call comes later, when "lapsed" has expired.
type trial struct {
	*C
	call *interruptible
	way  Way
	trialOf
	in          *Interrupt
	early, late time.Time
	empty       int // what an empty store holds
	before      map[string]model.Record
	open        []driver.ModelExpirySupport
}

// trialOf is what differs between the trials of a way.
type trialOf struct {
	nodes nodes
	seed  uint64
	// Once more the power is cut: after a call with a step that failed for long, or
	// when the next node has gone on after a kill.
	cut bool
}

// nodes says which nodes there are when the call begins.
type nodes string

const (
	used   nodes = "a node that was used"
	heir   nodes = "a new node, after one that was interrupted between two calls"
	beside nodes = "a new node beside another"
)

// trialIDs are the ids of a trial. No record has the last one before the call.
var trialIDs = []string{"old", "due", "lapsed", "still", "new"}

// node opens a node on the store. It makes no step.
func (t *trial) node() driver.ModelExpirySupport {
	t.Helper()
	open := t.in.Open
	if open == nil {
		open = t.h.Open
	}
	b := open(t.TB, t.name)
	if b == nil {
		t.Fatal("Interrupt.Open returned nil")
	}
	b = &watched{Wrapper: driverkit.Wrap(b), c: t.C, log: &t.log}
	t.open = append(t.open, b)
	return b
}

// closes closes all nodes but those.
func (t *trial) closes(but ...driver.ModelExpirySupport) {
	t.Helper()
	t.open = slices.DeleteFunc(t.open, func(b driver.ModelExpirySupport) bool {
		stays := slices.Contains(but, b)
		if !stays {
			t.ok(b.Close(), "Close")
		}
		return !stays
	})
}

// made returns a record of the early time. It has the values of the declared
// labels, in order.
func (t *trial) made(id string, life time.Duration, values ...string) model.Record {
	t.now = t.early
	r := t.shaped(id, shape{life: life, labels: values})
	r.Value = fmt.Appendf(nil, `{"name":%q,"n":1}`, id)
	return r
}

// interrupt interrupts the call at its steps.
func (t *trial) interrupt() {
	t.Helper()
	reached := false
	t.in.visit(t.call.turn, func(step int) bool {
		if step > mostSteps {
			t.fail("%s has more than %d steps: Interrupt.Arm must say when a step was not reached", t.call.name, mostSteps)
		}
		has := t.interruptAt(step)
		reached = reached || has
		return has
	})
	if !reached {
		t.fail("%s has no step: Interrupt.Arm must interrupt the first one", t.call.name)
	}
}

// interruptAt interrupts the call at the step, and reports whether it has that.
func (t *trial) interruptAt(step int) bool {
	t.Helper()
	t.log.clear(t.early)
	b := t.prepare()
	t.log.add(t.late, fmt.Sprintf("%s on %s, with %s at step %d (seed %d)", t.call.name, t.nodes, t.way, step, t.seed), "", "", nil)
	seed := t.seed + uint64(step)*min(t.seed, 1)
	disarm := t.in.Arm(t.TB, b, Interruption{Way: t.way, Step: step, Seed: seed, Lasts: t.cut && t.way == Fail})
	t.now = t.late
	end := t.call.do(t, b)
	reached := disarm()
	if !reached {
		for _, err := range end.all() {
			t.ok(err, "%s without an interruption", t.call.name)
		}
		if t.way != Fail { // what is acknowledged stays
			t.in.Arm(t.TB, b, Interruption{Way: t.way, Seed: t.seed})()
		}
	}
	t.now = t.early
	switch t.way {
	case Fail:
		if !t.cut {
			t.judge(b, &end)
			break
		}
		t.acknowledges(b, &end)
		t.cutsPower(b, seed)
	case Kill:
		t.closes(slices.DeleteFunc(slices.Clone(t.open), func(n driver.ModelExpirySupport) bool { return n == b })...)
	case PowerCut:
		t.closes()
	}
	var next driver.ModelExpirySupport
	if t.nodes == beside {
		next = t.open[0]
	} else {
		next = t.node()
	}
	t.judge(next, &end)
	t.goOn(next)
	return reached
}

// acknowledges makes one more change after a call with failed steps. It is durable,
// or refused: a node may be of no use after its disk has failed for long.
func (t *trial) acknowledges(b driver.ModelExpirySupport, end *ended) {
	t.Helper()
	const id = "still"
	if _, changed := end.after[id]; changed || t.call.unmade {
		return
	}
	r := t.before[id]
	r.ExpiresAt = t.at(40 * time.Hour)
	_, err := b.Touch(t.ctx(), t.early, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: r.ExpiresAt})
	if err != nil {
		t.is(err, model.ErrUnavailable, "touch of %q after steps that failed for long", id)
		return
	}
	t.before[id] = r
}

// cutsPower does so at once. No node is open afterwards.
func (t *trial) cutsPower(b driver.ModelExpirySupport, seed uint64) {
	t.Helper()
	t.log.add(t.now, "a power cut", "", "", nil)
	t.in.Arm(t.TB, b, Interruption{Way: PowerCut, Seed: seed})()
	t.closes()
}

// prepare makes the records and returns the node that is interrupted.
func (t *trial) prepare() driver.ModelExpirySupport {
	t.Helper()
	var b driver.ModelExpirySupport
	if len(t.open) > 0 {
		b = t.open[len(t.open)-1]
	} else {
		b = t.node()
	}
	t.closes(b)
	t.b, t.now = b, t.early
	t.before = map[string]model.Record{}
	if t.call.unmade {
		t.ok(driver.DeleteStorage(t.ctx(), b), "DeleteStorage")
	} else {
		for _, r := range []model.Record{
			t.made("old", time.Hour, "ann", "new"), t.made("due", time.Hour, "ann"),
			t.made("lapsed", time.Minute, "bob"), t.made("still", 0, "bob", "new"),
		} {
			t.before[r.ID] = t.put(r)
		}
	}
	if t.nodes == used {
		if !t.call.unmade {
			t.counts(driver.Query{}, len(t.before)) // a backend may keep count from now on
		}
		return b
	}
	if t.nodes == heir { // it takes over what the other one has left
		for _, way := range []Way{PowerCut, Kill} {
			if t.in.has(way) && (t.way == way || t.way == Fail) {
				t.in.Arm(t.TB, b, Interruption{Way: way, Seed: t.seed})()
				break
			}
		}
		t.closes()
	}
	return t.node()
}

// goOn stops the case unless another node can go on with each record, and nothing
// is left after deletes, a sweep and listings.
func (t *trial) goOn(b driver.ModelExpirySupport) {
	t.Helper()
	t.b = b
	if t.call.unmade || t.call.name == deletesStorage {
		t.again()
	}
	stored := map[string]model.Record{}
	const kept = "still" // as the node left it that was killed
	for i, id := range trialIDs {
		cur, there := t.before[id]
		if id == kept && there && t.cut {
			stored[id] = cur
			continue
		}
		next := t.made(id, 2*time.Hour, []string{"bob", "ann"}[i%2], "old")
		next.Value = []byte("next")
		cond := driver.IfMatch
		if !there {
			cond = driver.IfAbsent
		}
		_, err := t.write(next, cond, cur)
		t.ok(err, "the next write of %q", id)
		at := t.at(90 * time.Minute)
		touched, err := b.Touch(t.ctx(), t.now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: at})
		t.ok(err, "the next touch of %q", id)
		next.ExpiresAt = at
		t.sameHead(touched, next)
		stored[id] = next
	}
	if t.cut && t.way == Kill {
		t.cutsPower(b, t.seed)
		b = t.node()
		t.b = b
	}
	t.lists(stored, t.queries()[1:]...)
	gone := trialIDs[:2:2]
	if stored[kept].ExpiresAt.IsZero() {
		gone = append(gone, kept)
	}
	for _, id := range gone {
		t.ok(b.Delete(t.ctx(), t.now, driver.Delete{ID: id, Cond: driver.IfPresent}), "the next delete of %q", id)
	}
	t.empties(len(trialIDs) - len(gone))
}

func (t *trial) at(d time.Duration) time.Time { return t.early.Add(d) }

// empties removes the last records by a sweep and checks what is left. Listings
// by a label may remove entries without a record.
func (t *trial) empties(due int) {
	t.Helper()
	t.now = t.at(100 * time.Hour) // what any interrupted call may have dated
	if n := t.sweep(2); n != due {
		t.fail("the next sweep removed %d records, want %d", n, due)
	}
	t.now = t.early
	t.lists(nil, t.queries()[1:]...)
	if t.h.Left != nil {
		t.leaves(t.empty, "after %s was interrupted, then deletes, a sweep and listings of all", t.call.name)
	}
}

// again repeats what an interrupted CreateStorage or DeleteStorage was to do.
func (t *trial) again() {
	t.Helper()
	if !t.call.unmade {
		t.ok(driver.DeleteStorage(t.ctx(), t.b), "DeleteStorage again")
		if t.h.Left != nil && implements[driver.StorageManager](t.b) {
			t.leaves(0, "after DeleteStorage was interrupted and repeated")
		}
		clear(t.before)
	}
	t.ok(driver.CreateStorage(t.ctx(), t.b), "CreateStorage after %s", t.call.name)
	t.agree(t.before)
}

// run makes the trials of a call.
func (call *interruptible) run(c *C, way Way) {
	c.Helper()
	c.name += "-i"
	t := &trial{C: c, call: call, way: way, in: c.h.Interrupt, early: c.now, late: c.in(2 * time.Minute)}
	c.Cleanup(func() {
		b := t.node()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), time.Minute)
		defer cancel()
		_ = driver.DeleteStorage(ctx, b)
		for _, b := range t.open {
			_ = b.Close()
		}
	})
	t.b = t.node()
	t.ok(driver.CreateStorage(t.ctx(), t.b), "CreateStorage")
	if c.h.Left != nil {
		t.empty = t.C.empty()
	}
	for _, of := range trials[way] {
		if of.cut && !t.in.has(PowerCut) {
			continue // it is like one before
		}
		t.trialOf = of
		t.interrupt()
	}
}

// trials are those of each way. A power cut ends the other node too.
var trials = map[Way][]trialOf{
	Fail:     {{nodes: used}, {nodes: heir, seed: 1}, {nodes: used, seed: 1, cut: true}, {nodes: heir, cut: true}},
	Kill:     {{nodes: used}, {nodes: heir, seed: 1}, {nodes: beside}, {nodes: beside, cut: true}},
	PowerCut: {{nodes: used}, {nodes: used, seed: 1}, {nodes: heir}, {nodes: heir, seed: 1}},
}
