package expiry

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// outcome is what a read after a lost answer proves.
type outcome uint8

const (
	outcomeUnknown outcome = iota
	outcomeApplied
	outcomeNotApplied // yet: it may be sent once more
)

// judgeWrite says what the stored record proves about a write.
func judgeWrite(w *driver.Write, cur *model.Record) outcome {
	switch {
	case cur.Revision == w.Record.Revision:
		return outcomeApplied
	case w.Cond == driver.IfMatch && cur.Revision == w.Known.Revision:
		return outcomeNotApplied
	}
	return outcomeUnknown
}

// judgeDelete says what the stored record proves about a delete at a revision.
func judgeDelete(d *driver.Delete, cur *model.Record) outcome {
	if cur.Revision == d.Known.Revision {
		return outcomeNotApplied
	}
	return outcomeUnknown
}

// settleWrite reads the record once to learn the outcome of a write whose
// answer was lost. It takes a copy, so that other writes stay off the heap.
func (c *call) settleWrite(w driver.Write, lost error) (model.Record, error) {
	if driver.IsUndecidable(lost) {
		return model.Record{}, lost
	}
	cur, res := c.readOutcome(w.Record.ID, func(cur *model.Record) outcome { return judgeWrite(&w, cur) })
	switch res {
	case outcomeApplied:
		return cur.Head(), nil
	case outcomeNotApplied:
		// The known revision is still stored, so the write was not applied
		// yet. If it arrives late, at most one of the two matches.
		if c.enter(c.ctx) == nil && !w.Record.Expired(c.now) {
			rec, err := c.f.b.Write(c.ctx, c.now, w)
			if appliedAgain(&w, rec, err) {
				return rec.Head(), nil
			}
		}
	}
	return model.Record{}, lost
}

// appliedAgain reports whether the result of a write that was sent again proves
// that one of the two was applied.
func appliedAgain(w *driver.Write, rec model.Record, err error) bool {
	return err == nil || errors.Is(err, model.ErrConflict) && rec.Revision == w.Record.Revision
}

// settleTouch reads the record once to learn the outcome of a touch whose
// answer was lost.
func (c *call) settleTouch(t driver.Touch, lost error) (model.Record, error) {
	cur, res := c.readOutcome(t.ID, func(cur *model.Record) outcome {
		if !t.Known.Revision.IsZero() && cur.Revision != t.Known.Revision {
			return outcomeUnknown
		}
		if !t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt) {
			return outcomeUnknown
		}
		return outcomeApplied
	})
	if res == outcomeApplied {
		return cur.Head(), nil
	}
	return model.Record{}, lost
}

// settleDelete reads the record once to learn the outcome of a delete whose
// answer was lost.
func (c *call) settleDelete(d *driver.Delete, lost error) error {
	if d.Cond != driver.IfMatch || driver.IsUndecidable(lost) {
		return lost
	}
	_, res := c.readOutcome(d.ID, func(cur *model.Record) outcome { return judgeDelete(d, cur) })
	if res == outcomeNotApplied && c.enter(c.ctx) == nil {
		if again := c.f.b.Delete(c.ctx, c.now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known}); again == nil {
			return nil
		}
	}
	return lost
}

// settleBatch reads all records of lost answers together, and sends together
// what was not applied yet.
func (c *call) settleBatch(ops []driver.BatchOp, out []driver.BatchResult) {
	var at []int // of the lost operations
	var ids []string
	for i := range out {
		if !errors.Is(out[i].Err, model.ErrUnknown) || driver.IsUndecidable(out[i].Err) {
			continue
		}
		if d := ops[i].Delete; d != nil && d.Cond != driver.IfMatch {
			continue // no read can tell who deleted the record
		}
		at, ids = append(at, i), append(ids, ops[i].ID())
	}
	if len(at) == 0 {
		return
	}
	ctx, stop := c.lookContext()
	defer stop()
	var again []driver.BatchOp
	var of []int
	for k, found := range c.getMany(ctx, ids) {
		i := at[k]
		if found.Err != nil {
			continue
		}
		var res outcome
		if w := ops[i].Write; w != nil {
			res = judgeWrite(w, &found.Record)
		} else {
			res = judgeDelete(ops[i].Delete, &found.Record)
		}
		switch res {
		case outcomeApplied:
			out[i] = driver.BatchResult{Record: found.Record.Head()}
		case outcomeNotApplied:
			if c.tick(); ops[i].Write != nil && ops[i].Write.Record.Expired(c.now) {
				continue
			}
			again, of = append(again, ops[i]), append(of, i)
		}
	}
	if len(again) == 0 || c.enter(c.ctx) != nil {
		return
	}
	for k, o := range driver.WriteMany(c.ctx, c.f.b, c.now, again) {
		w := again[k].Write
		if o.Err == nil || w != nil && appliedAgain(w, o.Record, o.Err) {
			out[of[k]] = driver.BatchResult{Record: o.Record.Head()}
		}
	}
}

// lookAfterEnd is how long a read after a lost answer may go on after the
// caller's context has ended. A caller who has given up still learns the outcome
// from a server that answers. If the server does not, the error comes soon.
const lookAfterEnd = 50 * time.Millisecond

// lookContext returns the context of a read after a lost answer. All such reads
// of a call share one time limit. They may go on for a short time after the end
// of the caller's context.
func (c *call) lookContext() (context.Context, context.CancelFunc) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.f.look-c.looked)
	stop := context.AfterFunc(c.ctx, func() {
		t := time.AfterFunc(lookAfterEnd, cancel)
		context.AfterFunc(ctx, func() { t.Stop() })
	})
	return ctx, func() { stop(); cancel(); c.looked += time.Since(began) }
}

// readOutcome reads the record once and lets judge decide. If the caller's
// context has ended, nothing is sent again.
func (c *call) readOutcome(id string, judge func(*model.Record) outcome) (model.Record, outcome) {
	ctx, stop := c.lookContext()
	defer stop()
	cur, err := c.get(ctx, id)
	if err != nil {
		return model.Record{}, outcomeUnknown
	}
	res := judge(&cur)
	if res == outcomeNotApplied && c.ctx.Err() != nil {
		res = outcomeUnknown
	}
	return cur, res
}
