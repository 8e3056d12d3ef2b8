package elasticsearch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record: one _mget, in real time.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	docs, err := b.mget(ctx, []string{g.ID}, false)
	if err != nil {
		return model.Record{}, err
	}
	switch s := &docs[0]; {
	case s.err != nil:
		return model.Record{}, s.err
	case s.rec.Expired(now):
		return model.Record{}, model.ErrNotFound
	default:
		return s.rec, nil
	}
}

// Write stores the record under its condition: one _bulk for a create, an
// upsert and a compare-and-set whose Prev has a hint. An update of any revision
// reads the record first, and so does what finds another version than it was
// told of.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	t := b.writeTask(now, &w)
	b.run(ctx, now, []*task{t})
	return t.rec, t.err
}

// Delete removes a live record: one _bulk where prev has a hint, else the
// record is read first.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	t := deleteTask(now, d.ID, d.Cond, &d.Known)
	b.run(ctx, now, []*task{t})
	return t.err
}

// step is what a task does next.
type step int

const (
	done step = iota
	look
	send
)

// task is one write under way. It looks at what is stored and sends what
// follows from it, at the version that it saw, until one or the other decides.
type task struct {
	id    string
	cond  driver.Condition
	prev  model.Revision
	write *driver.Write // or
	touch *driver.Touch // or, with neither, a delete

	step  step
	cur   *model.Record // what the next request stands on; nil: nothing
	at    position      // of cur
	tries int
	lost  string // an epoch whose alias is not there

	rec model.Record
	err error
}

// tries bounds how often a task begins anew while others keep writing the
// record: some two seconds.
const maxTries = 40

func (t *task) end(rec model.Record, err error) { t.step, t.rec, t.err = done, rec, err }

func (t *task) fail(err error) { t.end(model.Record{}, err) }

// begin lets a task stand on prev, where prev is surely what was stored at its
// position and not expired; else it looks.
func (t *task) begin(now time.Time, prev *model.Record) {
	t.step = look
	p := *prev
	p.ID = t.id
	at, ok := positionOf(&p)
	if !ok || driver.Judge(now, &p, t.cond, t.prev) != nil {
		return
	}
	p.Value = nil
	t.cur, t.at, t.step = &p, at, send
}

func (b *Backend) writeTask(now time.Time, w *driver.Write) *task {
	t := &task{id: w.Record.ID, cond: w.Cond, prev: w.Known.Revision, write: w}
	if err := w.Check(); err != nil {
		t.fail(err)
		return t
	}
	if err := driverkit.CheckRecord(&w.Record, b.labels, b.maxValue); err != nil {
		t.fail(err)
		return t
	}
	switch w.Cond {
	case driver.IfMatch:
		t.begin(now, &w.Known)
	case driver.IfPresent:
		t.step = look
	default:
		t.step = send
	}
	return t
}

func deleteTask(now time.Time, id string, c driver.Condition, prev *model.Record) *task {
	t := &task{id: id, cond: c, prev: prev.Revision}
	if err := (&driver.Delete{ID: id, Cond: c, Known: *prev}).Check(); err != nil {
		t.fail(err)
		return t
	}
	t.begin(now, prev)
	return t
}

// run carries the tasks out, all those that look with one request and all those
// that send with another.
func (b *Backend) run(ctx context.Context, now time.Time, tasks []*task) {
	open := pick(tasks, look, send)
	for round := 0; len(open) > 0; round++ {
		err := b.enter(ctx)
		if err == nil && round > 1 { // the first time it is most often its own stale version
			err = driverkit.Pause(ctx, round)
		}
		if err != nil {
			for _, t := range open {
				t.fail(err)
			}
			return
		}
		b.lookAt(ctx, now, pick(open, look))
		b.sendAll(ctx, pick(open, send))
		open = pick(open, look, send)
	}
}

// pick are the tasks whose next step is one of these.
func pick(tasks []*task, steps ...step) []*task {
	var out []*task
	for _, t := range tasks {
		if slices.Contains(steps, t.step) {
			out = append(out, t)
		}
	}
	return out
}

// lookAt reads what the tasks are about, without values where none is needed.
func (b *Backend) lookAt(ctx context.Context, now time.Time, tasks []*task) {
	for from := 0; from < len(tasks); from += getBatch {
		batch := tasks[from:min(from+getBatch, len(tasks))]
		ids, head := make([]string, len(batch)), true
		for i, t := range batch {
			ids[i] = t.id
			// A compare-and-set that lost returns the winner.
			head = head && (t.write == nil || t.cond != driver.IfMatch)
		}
		docs, err := b.mget(ctx, ids, head)
		for i, t := range batch {
			if err != nil {
				t.fail(err)
				continue
			}
			b.judge(now, t, &docs[i])
		}
	}
}

// judge decides what becomes of a task, given what is stored.
func (b *Backend) judge(now time.Time, t *task, s *stored) {
	cur := &s.rec
	switch {
	case errors.Is(s.err, model.ErrNotFound):
		cur = nil
	case s.err != nil:
		t.fail(s.err)
		return
	case t.write != nil && cur.Revision == t.write.Record.Revision:
		// The write was applied and then refused, as when a node sends it again
		// after it has lost another one.
		t.end(cur.Head(), nil)
		return
	}
	if err := driver.Judge(now, cur, t.cond, t.prev); err != nil {
		t.fail(err)
		if t.write != nil && errors.Is(err, model.ErrConflict) {
			t.rec = *cur
		}
		return
	}
	t.cur, t.step = cur, send
	switch {
	case cur == nil:
	case s.at.epoch == "":
		t.fail(model.NewError(model.ErrUnavailable, "the alias "+b.name+" leads to an index that CreateStorage did not make", nil))
	case s.at.epoch == t.lost:
		t.fail(model.NewError(model.ErrUnavailable, "the index lacks the alias "+b.epochAlias(t.lost)+": CreateStorage makes it", nil))
	case t.touch != nil && t.touch.Result(cur.ExpiresAt).Equal(cur.ExpiresAt):
		t.end(cur.Head(), nil)
	default:
		t.at = s.at
	}
}

// action is what the task sends.
func (b *Backend) action(t *task) action {
	a := action{verb: "index", id: t.id}
	if t.cur != nil {
		a.at = &t.at
	}
	switch {
	case t.write != nil:
		if t.cond == driver.IfAbsent && t.cur == nil {
			a.verb = "create"
		}
		rec := t.write.Result(t.cur)
		a.source = b.encode(&rec)
	case t.touch != nil:
		var d expiryOnly
		d.Doc.Expires = millis(t.touch.Result(t.cur.ExpiresAt))
		a.verb, a.source = "update", &d
	default:
		a.verb = "delete"
	}
	return a
}

// sendAll sends what the tasks are about, each at the version that it saw. One
// that finds another version looks again.
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
		conditional := actions[i].at != nil || actions[i].verb == "create"
		switch {
		case r.ok():
			t.end(b.outcome(t, &r), nil)
		case r.noIndex() && actions[i].at == nil, !conditional, !r.conflict():
			t.fail(b.itemFault(&r))
		default:
			if r.noIndex() {
				t.lost = t.at.epoch // another process has made the store anew
			}
			if t.tries++; t.tries >= maxTries {
				t.fail(model.NewError(model.ErrUnavailable, "others keep changing the record", nil))
				continue
			}
			t.step, t.cur = look, nil
		}
	}
}

// outcome is the record in force after the task's success, without its value.
func (b *Backend) outcome(t *task, r *result) model.Record {
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
	rec.ServerVersion = b.position(r).hint(&rec)
	return rec
}
