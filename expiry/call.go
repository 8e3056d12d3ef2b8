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
	ttl      time.Duration
	look     time.Duration
	attempts int
}

// call is one method call of a Store.
type call struct {
	f      *core
	ctx    context.Context
	op     string
	id     string // as the backend knows it
	start  time.Time
	calls  int
	clock  time.Time     // the clock's time: lifetimes start here
	now    time.Time     // the same in whole milliseconds
	unused bool          // no driver call has used the time yet
	looked time.Duration // spent on reads after lost answers
	items  items
}

func (f *core) begin(ctx context.Context, op, id string) call {
	c := call{f: f, ctx: ctx, op: op, id: id}
	if f.observe != nil {
		c.start = time.Now()
	}
	return c
}

// made returns ErrInvalid for a Store that NewStore did not make.
func (f *core) made() error {
	if f.b == nil {
		return model.NewError(model.ErrInvalid, "the Store has no backend: make it with NewStore", nil)
	}
	return nil
}

// floorMillis rounds down to whole milliseconds. Expiries are rounded up, so
// that both agree on the instant of an expiry.
func floorMillis(t time.Time) time.Time {
	ns := t.Nanosecond()
	return time.Unix(t.Unix(), int64(ns-ns%1e6)).UTC()
}

// tick reads the clock, once for each driver call: what takes long between two
// of them, such as the caller's own functions, must not stop the time.
func (c *call) tick() {
	if c.unused || c.f.clock == nil {
		return
	}
	c.clock, c.unused = c.f.clock.Now(), true
	c.now = floorMillis(c.clock)
}

// enter is called right before each driver call. It returns the error of an
// ended context, and ErrInvalid for a Store that NewStore did not make.
func (c *call) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.f.made(); err != nil {
		return err
	}
	c.tick()
	c.unused = false
	c.calls++
	return nil
}

// end wraps the error exactly once and calls the observer.
func (c *call) end(err error) error {
	if err != nil {
		err = &model.Error{Op: c.op, Backend: c.f.desc.Backend, ID: c.id, Err: err}
	}
	c.report(err)
	return err
}

func (c *call) report(err error) {
	if c.f.observe == nil {
		return
	}
	c.f.observe(c.ctx, Observation{
		Op: c.op, Backend: c.f.desc.Backend, ID: c.id,
		Duration: time.Since(c.start), Calls: c.calls, Err: err,
		Items: c.items.outcomes, ItemErr: c.items.worst,
	})
}

// classified gives a driver's error the kind if it has none and is not the
// context's own.
func classified(err, kind error) error {
	if err == nil || model.Kind(err) != nil || isContext(err) {
		return err
	}
	return model.NewError(kind, "the backend returned an error of no kind", err)
}

// named wraps the error of one item of a call, and notes the item's outcome.
func (c *call) named(id string, err error) error {
	if err != nil {
		err = &model.Error{Op: c.op, Backend: c.f.desc.Backend, ID: id, Err: err}
	}
	c.note(err)
	return err
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// get returns a live record.
func (c *call) get(ctx context.Context, id string) (model.Record, error) {
	if err := c.enter(ctx); err != nil {
		return model.Record{}, err
	}
	rec, err := c.f.b.Get(ctx, c.now, driver.Get{ID: id})
	return c.checked(id, rec, err)
}

// getMany returns a result for each id.
func (c *call) getMany(ctx context.Context, ids []string) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ids))
	if _, batched := c.f.b.(driver.BatchGetter); batched {
		err := c.enter(ctx)
		if err == nil {
			out = driver.GetMany(ctx, c.f.b, c.now, driver.Gets(ids...))
		}
		for i := range out {
			if err == nil {
				out[i].Record, out[i].Err = c.checked(ids[i], out[i].Record, out[i].Err)
			} else {
				out[i].Err = err
			}
		}
		return out
	}
	for i, id := range ids {
		out[i].Record, out[i].Err = c.get(ctx, id)
	}
	return out
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

// pending is a write whose expiry is resolved when it is sent.
type pending struct {
	driver.Write
	expiry Expiry
}

// updates reports whether the write needs a live record.
func (p *pending) updates() bool {
	return p.Cond == driver.IfPresent || p.Cond == driver.IfMatch
}

// resolve sets the expiry by the time of the coming driver call, and returns
// the errors that are known before any I/O.
func (c *call) resolve(p *pending) (err error) {
	c.tick()
	if p.Record.ExpiresAt, p.Keep.Expiry, err = p.expiry.resolve(c.clock, c.f.ttl, p.updates()); err != nil {
		return err
	}
	if !p.Keep.Expiry {
		if err := c.checkExpiry(p.Record.ExpiresAt); err != nil {
			return err
		}
	}
	for name, value := range p.Record.Labels {
		if err := c.checkLabel(name, value); err != nil {
			return err
		}
	}
	return driver.CheckValue(p.Record.Value, c.f.desc.MaxValue)
}

// ready resolves a write and mints its revision, right before it is sent.
func (c *call) ready(p *pending) error {
	if err := c.resolve(p); err != nil {
		return err
	}
	p.Record.Revision = model.NewRevision()
	return nil
}

// write sends the write once. After a lost answer it reads the record once.
func (c *call) write(p *pending) (model.Record, error) {
	if err := c.ready(p); err != nil {
		return model.Record{}, err
	}
	if err := c.enter(c.ctx); err != nil {
		return model.Record{}, err
	}
	rec, err := c.f.b.Write(c.ctx, c.now, p.Write)
	if err = classified(err, model.ErrUnknown); !errors.Is(err, model.ErrUnknown) {
		return rec, err
	}
	return c.settleWrite(p.Write, err)
}

// batchOp is an operation of a batch: either write or del is set.
type batchOp struct {
	write *pending
	del   *driver.Delete
}

// writeMany sends the operations that are valid in one batch and settles each
// outcome, also of lost answers.
func (c *call) writeMany(list []batchOp) []driver.BatchResult {
	if _, batched := c.f.b.(driver.BatchWriter); !batched {
		return c.writeEach(list)
	}
	out := make([]driver.BatchResult, len(list))
	ops := make([]driver.BatchOp, 0, len(list))
	of := make([]int, 0, len(list)) // the places of ops in the list
	for i, op := range list {
		send := driver.BatchOp{Delete: op.del}
		if op.write != nil {
			if out[i].Err = c.ready(op.write); out[i].Err != nil {
				continue
			}
			send.Write = &op.write.Write
		}
		ops, of = append(ops, send), append(of, i)
	}
	if len(ops) == 0 {
		return out
	}
	if err := c.enter(c.ctx); err != nil {
		for _, i := range of {
			out[i].Err = err
		}
		return out
	}
	results := driver.WriteMany(c.ctx, c.f.b, c.now, ops)
	for k := range results {
		results[k].Err = classified(results[k].Err, model.ErrUnknown)
	}
	c.settleBatch(ops, results)
	for k, i := range of {
		out[i] = results[k]
	}
	return out
}

// writeEach is writeMany for a backend without batches: each write has the time
// at which it is sent.
func (c *call) writeEach(list []batchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(list))
	for i, op := range list {
		if op.del != nil {
			out[i].Err = c.remove(*op.del)
		} else {
			out[i].Record, out[i].Err = c.write(op.write)
		}
	}
	return out
}

// touch changes an expiry. After a lost answer it reads the record once.
func (c *call) touch(t *driver.Touch) (model.Record, error) {
	if err := c.enter(c.ctx); err != nil {
		return model.Record{}, err
	}
	rec, err := c.f.b.Touch(c.ctx, c.now, *t)
	if err = classified(err, model.ErrUnknown); !errors.Is(err, model.ErrUnknown) || driver.IsUndecidable(err) {
		return rec, err
	}
	return c.settleTouch(*t, err)
}

// remove deletes a record. After a lost answer it reads the record once: only
// a record that still has the revision proves anything, since another caller
// may have deleted one that is gone.
func (c *call) remove(d driver.Delete) error {
	if err := c.enter(c.ctx); err != nil {
		return err
	}
	err := classified(c.f.b.Delete(c.ctx, c.now, d), model.ErrUnknown)
	if !errors.Is(err, model.ErrUnknown) {
		return err
	}
	return c.settleDelete(&d, err)
}

// checkExpiry returns ErrInvalid for an expiry that is not in the future, or
// further away than the backend's MaxTTL.
func (c *call) checkExpiry(at time.Time) error {
	if err := model.CheckExpiry(c.now, at); err != nil {
		return err
	}
	if limit := c.f.desc.MaxTTL; limit > 0 && (at.IsZero() || at.After(model.Millis(c.clock.Add(limit)))) {
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
// the second, then for a random time whose limit doubles with every second
// attempt, up to a quarter of a second. Then also hundreds of writers of one
// record all succeed.
func (c *call) pause(attempt int) error {
	if attempt == 0 {
		return c.ctx.Err()
	}
	limit := time.Millisecond << min((attempt-1)/2, 8)
	t := time.NewTimer(rand.N(limit)) //nolint:gosec // jitter, not a secret
	defer t.Stop()
	select {
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-t.C:
		return nil
	}
}
