package expiry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// front does once, without generics, what every Store needs around its
// backend: validation, the clock, lost answers, errors and observation.
type front struct {
	b        driver.ModelExpirySupport
	desc     driver.Description
	clock    Clock
	observe  Observer
	look     time.Duration
	attempts int
}

// call is one method call of a Store under way.
type call struct {
	f     *front
	ctx   context.Context
	op    string
	id    string
	start time.Time
	calls int
	clock time.Time // the clock's time, from which lifetimes count
	now   time.Time // the same in whole milliseconds
}

func (f *front) begin(ctx context.Context, op, id string) call {
	c := call{f: f, ctx: ctx, op: op, id: id, clock: f.clock.Now()}
	c.now = floorMillis(c.clock)
	if f.observe != nil {
		c.start = time.Now()
	}
	return c
}

// floorMillis rounds down to whole milliseconds, where expiries round up, so
// that both agree on the instant of an expiry.
func floorMillis(t time.Time) time.Time {
	ns := t.Nanosecond()
	return time.Unix(t.Unix(), int64(ns-ns%1e6)).UTC()
}

// later moves the call's time on, for one that takes many driver calls.
func (c *call) later() { c.now = floorMillis(c.f.clock.Now()) }

// end wraps the error exactly once and tells the observer.
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

// classified makes sure that a driver's error has a kind: one without is taken
// for the given kind, unless it is the context's own.
func classified(err, kind error) error {
	if err == nil || model.Kind(err) != nil || isContext(err) {
		return err
	}
	return model.NewError(kind, "the backend gave no reason", err)
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

// checked is what the front makes of a driver's answer to a Get.
func (c *call) checked(id string, rec model.Record, err error) (model.Record, error) {
	switch {
	case err != nil:
		return model.Record{}, classified(err, model.ErrUnavailable)
	case rec.ID != id:
		return model.Record{}, model.NewError(model.ErrCorrupt, "the record of another id", nil)
	case rec.Expired(c.now):
		return model.Record{}, model.ErrNotFound
	}
	return rec, nil
}

// write mints the revision, sends the write once, and looks once where the
// answer was lost.
func (c *call) write(w *driver.Write) (model.Record, error) {
	if err := c.ctx.Err(); err != nil {
		return model.Record{}, err
	}
	if err := c.checkWrite(w); err != nil {
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

// settleWrite looks once at what became of a write whose answer was lost.
//
// It takes a copy, so that a write does not move to the heap for the rare case.
func (c *call) settleWrite(w driver.Write, lost error) (model.Record, error) {
	if driver.IsUndecidable(lost) {
		return model.Record{}, lost
	}
	cur, res := c.lookFor(w.Record.ID, func(cur *model.Record) lookResult {
		switch {
		case cur.Revision == w.Record.Revision:
			return lookDone
		case w.Cond == driver.IfMatch && cur.Revision == w.Known.Revision:
			return lookAgain
		}
		return lookUnknown
	})
	switch res {
	case lookDone:
		return cur.Head(), nil
	case lookAgain:
		// The revision before is still there, so the write was not applied
		// yet; should it arrive late, at most one of the two matches.
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

// touch moves an expiry, and looks once where the answer was lost.
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

// settleTouch looks once at what became of a touch whose answer was lost.
func (c *call) settleTouch(t driver.Touch, lost error) (model.Record, error) {
	cur, res := c.lookFor(t.ID, func(cur *model.Record) lookResult {
		if !t.Known.Revision.IsZero() && cur.Revision != t.Known.Revision {
			return lookUnknown
		}
		if !t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt) {
			return lookUnknown
		}
		return lookDone
	})
	if res == lookDone {
		return cur.Head(), nil
	}
	return model.Record{}, lost
}

// remove deletes, and looks once where the answer was lost. A record that is
// gone may have been deleted by another: only one that is still at the
// revision tells anything.
func (c *call) remove(id string, cond driver.Condition, prev model.Record) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.calls++
	err := classified(c.f.b.Delete(c.ctx, c.now, driver.Delete{ID: id, Cond: cond, Known: prev}), model.ErrUnknown)
	if !errors.Is(err, model.ErrUnknown) {
		return err
	}
	return c.settleDelete(&driver.Delete{ID: id, Cond: cond, Known: prev}, err)
}

// settleDelete looks once at what became of a delete whose answer was lost.
func (c *call) settleDelete(d *driver.Delete, lost error) error {
	if d.Cond != driver.IfMatch || driver.IsUndecidable(lost) {
		return lost
	}
	_, res := c.lookFor(d.ID, func(cur *model.Record) lookResult {
		if cur.Revision == d.Known.Revision {
			return lookAgain
		}
		return lookUnknown
	})
	if res == lookAgain {
		c.calls++
		if again := c.f.b.Delete(c.ctx, c.now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known}); again == nil {
			return nil
		}
	}
	return lost
}

type lookResult uint8

const (
	lookUnknown lookResult = iota
	lookDone
	lookAgain
)

// lookFor reads the record once, under a limit of its own even if the caller's
// context has ended, and lets judge say what it means. Nothing is sent again
// for a caller who has gone.
func (c *call) lookFor(id string, judge func(*model.Record) lookResult) (model.Record, lookResult) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.f.look)
	defer cancel()
	cur, err := c.get(ctx, id)
	if err != nil {
		return model.Record{}, lookUnknown
	}
	res := judge(&cur)
	if res == lookAgain && c.ctx.Err() != nil {
		res = lookUnknown
	}
	return cur, res
}

// checkWrite is all that can be known to be wrong before any I/O.
func (c *call) checkWrite(w *driver.Write) error {
	if !w.Keep.Expiry {
		if err := model.CheckExpiry(c.now, w.Record.ExpiresAt); err != nil {
			return err
		}
		if limit := c.f.desc.MaxTTL; limit > 0 && (w.Record.ExpiresAt.IsZero() || w.Record.ExpiresAt.Sub(c.now) > limit) {
			return model.NewError(model.ErrInvalid, "the expiry is further away than the backend's limit of "+limit.String(), nil)
		}
	}
	for name, value := range w.Record.Labels {
		if err := c.checkLabel(name, value); err != nil {
			return err
		}
	}
	if limit := c.f.desc.MaxValue; limit > 0 && len(w.Record.Value) > limit {
		return model.ErrTooLarge
	}
	return nil
}

func (c *call) checkLabel(name, value string) error {
	if reason, absent := c.f.desc.Lacks(driver.FeatureLabels); absent {
		return model.NewError(model.ErrUnsupported, reason, nil)
	}
	if !c.f.desc.HasLabel(name) {
		return model.NewError(model.ErrInvalid, "the label is not declared in the backend's Options.Labels", nil)
	}
	return model.CheckLabelValue(value)
}

// pause waits between two rounds of a compare-and-set loop: not at all before
// the second try, then a random time that grows to some 30 ms.
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
