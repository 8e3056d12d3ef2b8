package elasticsearch

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record: one _mget, in real time.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	docs, err := b.mget(ctx, []string{g.ID}, whole)
	if err != nil {
		return model.Record{}, err
	}
	return docs[0].live(now)
}

// Stat returns the live record without its value, and the value's size: one
// _mget. Of a record from before the field size it reads the value.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return driver.Stat{}, err
	}
	docs, err := b.mget(ctx, []string{g.ID}, noMore)
	if err == nil && docs[0].err == nil && docs[0].size < 0 {
		waited := docs[0].waited
		if docs, err = b.mget(ctx, []string{g.ID}, whole); err == nil {
			docs[0].waited += waited
		}
	}
	if err != nil {
		return driver.Stat{}, err
	}
	rec, err := docs[0].live(now)
	if err != nil {
		return driver.Stat{}, err
	}
	return driver.Stat{Record: rec.Head(), Size: docs[0].size}, nil
}

// Write stores the record if its condition holds: one _bulk for a create, an
// upsert, and a compare-and-set with a server version in Known. Other updates
// read the record first, as does a write that finds a newer version.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	t := newWriteTask(now, &w)
	b.run(ctx, now, t)
	return t.rec, t.err
}

// Delete removes a live record: one _bulk if Known has a server version, else
// it reads the record first.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	t := newDeleteTask(now, &d)
	b.run(ctx, now, t)
	return t.err
}

// step is what a task does next.
type step int

const (
	stepDone step = iota
	stepRead
	stepSend
)

// task is a write in progress. It reads what is stored and sends the change on
// condition of that version, until one of the two decides.
type task struct {
	id    string
	cond  driver.Condition
	known model.Revision
	write *driver.Write // or
	touch *driver.Touch // or, if both are nil, a delete

	call      *call
	turn      // of the task
	step      step
	cur       *model.Record // what the next change is based on; nil: nothing
	version   docVersion    // of cur
	tries     int
	lostEpoch string // an epoch whose alias the server does not have

	rec model.Record
	err error
}

// maxTries bounds how often a task starts again while others keep writing the
// record: for one to two seconds.
const maxTries = 40

func (t *task) end(rec model.Record, err error) { t.step, t.rec, t.err = stepDone, rec, err }

func (t *task) fail(err error) { t.end(model.Record{}, err) }

// useKnown bases the change on what the caller knows, without a read, if that
// was stored at its version and meets the condition.
func (t *task) useKnown(now time.Time, known *model.Record) {
	k := *known
	k.ID = t.id
	version, ok := versionOf(&k)
	if !ok || driver.Judge(now, &k, t.cond, t.known) != nil || t.write != nil && !t.write.Replaces(k.Encoding) {
		return
	}
	k.Value = nil
	t.cur, t.version, t.step = &k, version, stepSend
}

func newWriteTask(now time.Time, w *driver.Write) *task {
	t := &task{id: w.Record.ID, cond: w.Cond, known: w.Known.Revision, write: w, step: stepSend}
	switch w.Cond {
	case driver.IfMatch:
		t.step = stepRead
		t.useKnown(now, &w.Known)
	case driver.IfPresent:
		t.step = stepRead
	}
	return t
}

func newDeleteTask(now time.Time, d *driver.Delete) *task {
	t := &task{id: d.ID, cond: d.Cond, known: d.Known.Revision, step: stepRead}
	t.useKnown(now, &d.Known)
	return t
}

func newTouchTask(now time.Time, touch *driver.Touch) *task {
	t := &task{id: touch.ID, cond: driver.IfPresent, touch: touch, step: stepRead}
	if touch.Cond == driver.IfMatch {
		t.cond, t.known = driver.IfMatch, touch.Known.Revision
	}
	t.useKnown(now, &touch.Known)
	if t.step == stepSend && t.changesNothing() {
		t.step, t.cur = stepRead, nil // the record may have changed since
	}
	return t
}

// changesNothing reports whether a touch would leave cur as it is.
func (t *task) changesNothing() bool {
	return t.touch != nil && t.touch.Result(t.cur.ExpiresAt).Equal(t.cur.ExpiresAt)
}

// asOf returns the time as of which the task decides.
func (t *task) asOf() time.Time { return t.waited.Now(t.call.now) }

// lapsed reports whether the change is based on a record that expired while the
// task waited.
func (t *task) lapsed() bool {
	return t.cur != nil && driver.Judge(t.asOf(), t.cur, t.cond, t.known) != nil
}

// left returns how long the task may still wait before it lapses, or zero for any
// time.
func (t *task) left() time.Duration {
	if t.cur == nil || t.cur.ExpiresAt.IsZero() || t.cond != driver.IfPresent && t.cond != driver.IfMatch {
		return 0
	}
	return t.cur.ExpiresAt.Sub(t.asOf())
}

// run carries out the tasks: in each round, one request for those that read and
// one for those that send.
func (b *Backend) run(ctx context.Context, now time.Time, tasks ...*task) {
	c := &call{now: now, clock: *b.waited()}
	for _, t := range tasks {
		t.call, t.ended = c, c.clock.Read()
	}
	for round := 0; len(tasks) > 0; round++ {
		err := b.gate.Enter(ctx)
		if err == nil && round > 1 { // the first conflict is usually with the caller's stale version
			err = c.pause(ctx, tasks, round)
		}
		if err != nil {
			for _, t := range tasks {
				t.fail(err)
			}
			return
		}
		b.readAll(ctx, c, pick(tasks, stepRead))
		b.sendAll(ctx, pick(tasks, stepSend))
		tasks = pick(tasks, stepRead)
	}
}

// pick returns the tasks at the step.
func pick(tasks []*task, s step) []*task {
	var out []*task
	for _, t := range tasks {
		if t.step == s {
			out = append(out, t)
		}
	}
	return out
}

// readAll reads the tasks' records, without their values if no task needs one.
func (b *Backend) readAll(ctx context.Context, c *call, tasks []*task) {
	for from := 0; from < len(tasks); from += getBatch {
		batch := tasks[from:min(from+getBatch, len(tasks))]
		ids, read := make([]string, len(batch)), noMore
		for i, t := range batch {
			ids[i] = t.id
			// A compare-and-set that fails returns the record that won, without
			// a long value if there are others.
			if t.write != nil && t.cond == driver.IfMatch {
				read = short
			}
		}
		if len(batch) == 1 && read == short {
			read = whole
		}
		c.begin(batch)
		docs, err := b.mgetShorter(ctx, ids, read)
		c.end(batch, 0)
		for i, t := range batch {
			if err != nil {
				t.fail(err)
				continue
			}
			t.waited.Add(docs[i].waited)
			b.judge(t, &docs[i])
		}
	}
}

// judge decides the task's condition against the stored record.
func (b *Backend) judge(t *task, s *stored) {
	if s.err == nil && t.write != nil && s.rec.Revision == t.write.Record.Revision {
		// The write was applied and then refused: a node sends it again after
		// it has lost another node.
		t.end(s.rec.Head(), nil)
		return
	}
	now := t.asOf()
	winner, err := driverkit.Judge(now, &s.rec, s.err, t.cond, t.known)
	if t.write != nil {
		winner, err = driverkit.JudgeWrite(now, &s.rec, s.err, t.write)
	}
	switch {
	case err != nil && t.write != nil:
		t.end(winner, err)
		return
	case err != nil:
		t.fail(err)
		return
	}
	t.step, t.cur = stepSend, nil
	if s.err != nil { // nothing is stored
		return
	}
	t.cur = &s.rec
	switch {
	case b.checkEpoch(s.version.epoch, t.lostEpoch) != nil:
		t.fail(b.checkEpoch(s.version.epoch, t.lostEpoch))
	case t.changesNothing():
		t.end(s.rec.Head(), nil)
	default:
		t.version = s.version
	}
}

// action returns what the task sends.
func (b *Backend) action(t *task) action {
	a := action{verb: "index", id: t.id, task: t}
	if t.cur != nil {
		a.version = &t.version
	}
	switch {
	case t.write != nil:
		if t.cond == driver.IfAbsent && t.cur == nil {
			a.verb = "create"
		}
		a.source = func() any {
			rec := t.write.Result(t.cur)
			return b.encode(&rec)
		}
	case t.touch != nil:
		var d expiryOnly
		d.Doc.Expires = millis(t.touch.Result(t.cur.ExpiresAt))
		a.verb, a.source = "update", func() any { return &d }
	default:
		a.verb = "delete"
	}
	return a
}

// sendAll sends the tasks' changes, each on condition of the version that it is
// based on. A task that finds another version reads again.
func (b *Backend) sendAll(ctx context.Context, tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	actions := make([]action, len(tasks))
	for i, t := range tasks {
		actions[i] = b.action(t)
	}
	for i, r := range b.bulk(ctx, actions) {
		t := tasks[i]
		conditional := actions[i].version != nil || actions[i].verb == "create"
		switch {
		case r.ok():
			t.end(b.inForce(t, &r), nil)
		case errors.Is(r.err, errLapsed): // of this task or of another in its request
			t.again()
		case r.noIndex() && actions[i].version != nil:
			t.lostEpoch = t.version.epoch // another process may have created the index again
			t.again()
		case !conditional, !r.conflict():
			t.fail(b.itemError(&r))
		default:
			t.again()
		}
	}
}

// again makes the task read its record once more.
func (t *task) again() {
	if t.tries++; t.tries >= maxTries {
		t.fail(driverkit.Contended())
		return
	}
	t.step, t.cur = stepRead, nil
}

// inForce returns the record in force after the task's success, without its
// value. After a delete it is empty.
func (b *Backend) inForce(t *task, r *itemResult) model.Record {
	var rec model.Record
	switch {
	case t.write != nil:
		rec = t.write.Result(t.cur).Head()
	case t.touch != nil:
		rec = t.cur.Head()
		rec.ExpiresAt = t.touch.Result(rec.ExpiresAt)
	default:
		return rec
	}
	rec.ServerVersion = b.version(r).serverVersion(&rec)
	return rec
}
