package expiry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// core does what every Store needs around its backend, without generics:
// validation, the clock, lost answers, errors and observation.
type core struct {
	b        driver.ModelExpirySupport
	desc     driver.Description
	clock    Clock
	observe  Observer
	look     time.Duration
	attempts int
}

// call is one method call of a Store.
type call struct {
	f     *core
	ctx   context.Context
	op    string
	id    string
	start time.Time
	calls int
	clock time.Time // the clock's time: lifetimes start here
	now   time.Time // the same in whole milliseconds
}

func (f *core) begin(ctx context.Context, op, id string) call {
	c := call{f: f, ctx: ctx, op: op, id: id, clock: f.clock.Now()}
	c.now = floorMillis(c.clock)
	if f.observe != nil {
		c.start = time.Now()
	}
	return c
}

// floorMillis rounds down to whole milliseconds. Expiries are rounded up, so
// that both agree on the instant of an expiry.
func floorMillis(t time.Time) time.Time {
	ns := t.Nanosecond()
	return time.Unix(t.Unix(), int64(ns-ns%1e6)).UTC()
}

// later reads the clock again, for a call that takes many driver calls.
func (c *call) later() { c.now = floorMillis(c.f.clock.Now()) }

// end wraps the error exactly once and calls the observer.
func (c *call) end(err error) error {
	if err != nil {
		err = &model.Error{Op: c.op, Backend: c.f.desc.Backend, ID: c.id, Err: err}
	}
	if c.f.observe != nil {
		c.f.observe(c.ctx, Observation{
			Op: c.op, Backend: c.f.desc.Backend, ID: c.id,
			Duration: time.Since(c.start), Calls: c.calls, Err: err,
		})
	}
	return err
}

// classified gives a driver's error the kind if it has none and is not the
// context's own.
func classified(err, kind error) error {
	if err == nil || model.Kind(err) != nil || isContext(err) {
		return err
	}
	return model.NewError(kind, "the backend returned an error of no kind", err)
}

// named wraps the error of one item of a call.
func (c *call) named(id string, err error) error {
	if err == nil {
		return nil
	}
	return &model.Error{Op: c.op, Backend: c.f.desc.Backend, ID: id, Err: err}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// get returns a live record.
func (c *call) get(ctx context.Context, id string) (model.Record, error) {
	if err := ctx.Err(); err != nil {
		return model.Record{}, err
	}
	c.calls++
	rec, err := c.f.b.Get(ctx, c.now, driver.Get{ID: id})
	return c.checked(id, rec, err)
}

// checked checks a driver's result of a Get.
func (c *call) checked(id string, rec model.Record, err error) (model.Record, error) {
	switch {
	case err != nil:
		return model.Record{}, classified(err, model.ErrUnavailable)
	case rec.ID != id:
		return model.Record{}, model.NewError(model.ErrCorrupt, "the stored record has another id", nil)
	case rec.Expired(c.now):
		return model.Record{}, model.ErrNotFound
	}
	return rec, nil
}

// write mints the revision and sends the write once. After a lost answer it
// reads the record once.
func (c *call) write(w *driver.Write) (model.Record, error) {
	if err := c.checkWrite(w); err != nil {
		return model.Record{}, err
	}
	if err := c.ctx.Err(); err != nil {
		return model.Record{}, err
	}
	w.Record.Revision = model.NewRevision()
	c.calls++
	rec, err := c.f.b.Write(c.ctx, c.now, *w)
	if err = classified(err, model.ErrUnknown); !errors.Is(err, model.ErrUnknown) {
		return rec, err
	}
	return c.settleWrite(*w, err)
}

// settleWrite reads the record once to learn the outcome of a write whose
// answer was lost. It takes a copy, so that other writes stay off the heap.
func (c *call) settleWrite(w driver.Write, lost error) (model.Record, error) {
	if driver.IsUndecidable(lost) {
		return model.Record{}, lost
	}
	cur, res := c.readOutcome(w.Record.ID, func(cur *model.Record) outcome {
		switch {
		case cur.Revision == w.Record.Revision:
			return outcomeApplied
		case w.Cond == driver.IfMatch && cur.Revision == w.Known.Revision:
			return outcomeNotApplied
		}
		return outcomeUnknown
	})
	switch res {
	case outcomeApplied:
		return cur.Head(), nil
	case outcomeNotApplied:
		// The known revision is still stored, so the write was not applied
		// yet. If it arrives late, at most one of the two matches.
		c.calls++
		rec, err := c.f.b.Write(c.ctx, c.now, w)
		if err == nil {
			return rec, nil
		}
		if errors.Is(err, model.ErrConflict) && rec.Revision == w.Record.Revision {
			return rec.Head(), nil
		}
	}
	return model.Record{}, lost
}

// touch changes an expiry. After a lost answer it reads the record once.
func (c *call) touch(t *driver.Touch) (model.Record, error) {
	if err := c.ctx.Err(); err != nil {
		return model.Record{}, err
	}
	c.calls++
	rec, err := c.f.b.Touch(c.ctx, c.now, *t)
	if err = classified(err, model.ErrUnknown); !errors.Is(err, model.ErrUnknown) || driver.IsUndecidable(err) {
		return rec, err
	}
	return c.settleTouch(*t, err)
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

// remove deletes a record. After a lost answer it reads the record once: only
// a record that still has the revision proves anything, since another caller
// may have deleted one that is gone.
func (c *call) remove(d driver.Delete) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.calls++
	err := classified(c.f.b.Delete(c.ctx, c.now, d), model.ErrUnknown)
	if !errors.Is(err, model.ErrUnknown) {
		return err
	}
	return c.settleDelete(&d, err)
}

// settleDelete reads the record once to learn the outcome of a delete whose
// answer was lost.
func (c *call) settleDelete(d *driver.Delete, lost error) error {
	if d.Cond != driver.IfMatch || driver.IsUndecidable(lost) {
		return lost
	}
	_, res := c.readOutcome(d.ID, func(cur *model.Record) outcome {
		if cur.Revision == d.Known.Revision {
			return outcomeNotApplied
		}
		return outcomeUnknown
	})
	if res == outcomeNotApplied {
		c.calls++
		if again := c.f.b.Delete(c.ctx, c.now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known}); again == nil {
			return nil
		}
	}
	return lost
}

// outcome is what a read after a lost answer proves.
type outcome uint8

const (
	outcomeUnknown outcome = iota
	outcomeApplied
	outcomeNotApplied // yet: it may be sent once more
)

// readOutcome reads the record once and lets judge decide. It has a time limit
// of its own, since the caller's context may have ended. Then nothing is sent
// again.
func (c *call) readOutcome(id string, judge func(*model.Record) outcome) (model.Record, outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.f.look)
	defer cancel()
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

// checkWrite returns the errors that are known before any I/O.
func (c *call) checkWrite(w *driver.Write) error {
	if !w.Keep.Expiry {
		if err := c.checkExpiry(w.Record.ExpiresAt); err != nil {
			return err
		}
	}
	for name, value := range w.Record.Labels {
		if err := c.checkLabel(name, value); err != nil {
			return err
		}
	}
	return driver.CheckValue(w.Record.Value, c.f.desc.MaxValue)
}

// checkExpiry returns ErrInvalid for an expiry that is not in the future, or
// further away than the backend's MaxTTL.
func (c *call) checkExpiry(at time.Time) error {
	if err := model.CheckExpiry(c.now, at); err != nil {
		return err
	}
	if limit := c.f.desc.MaxTTL; limit > 0 && (at.IsZero() || at.Sub(c.now) > limit) {
		return model.NewError(model.ErrInvalid, "the lifetime is longer than the backend's limit of "+limit.String(), nil)
	}
	return nil
}

func (c *call) checkLabel(name, value string) error {
	if err := c.f.desc.CheckLabel(name); err != nil {
		return err
	}
	return model.CheckLabelValue(value)
}

// pause waits between two attempts of a compare-and-set loop: not at all before
// the second, then for a random time that grows to about 30 milliseconds.
func (c *call) pause(attempt int) error {
	if attempt == 0 {
		return c.ctx.Err()
	}
	limit := time.Millisecond << min(attempt-1, 5)
	t := time.NewTimer(rand.N(limit)) //nolint:gosec // jitter, not a secret
	defer t.Stop()
	select {
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-t.C:
		return nil
	}
}
