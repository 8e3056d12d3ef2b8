package cutover

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// DualWrite answers from the backend old and copies every change to another
// one, new. It is a backend, with the contract of old.
//
// A change takes effect in old. Then the call copies it to new, looks whether
// old changed meanwhile, and returns what old answered. If new fails, the call
// succeeds all the same, and Options.OnLag says which record lags behind.
type DualWrite struct{ pair }

var _ driver.ModelExpirySupport = (*DualWrite)(nil)

// NewDualWrite returns a DualWrite from old to new. It does no I/O. It returns
// ErrInvalid if new lacks a label of old. Close closes both. Nil options are the
// defaults.
func NewDualWrite(old, new driver.ModelExpirySupport, opts *Options) (*DualWrite, error) { //nolint:predeclared // the other side of old
	p, err := newPair(old, new, opts)
	if err != nil {
		return nil, err
	}
	return &DualWrite{p}, nil
}

func isUnknown(err error) bool { return errors.Is(err, model.ErrUnknown) }

// Write writes to old and copies the record in force to new.
func (d *DualWrite) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := d.fits(&w); err != nil {
		return model.Record{}, err
	}
	r, err := d.ModelExpirySupport.Write(ctx, now, w)
	if changedPerhaps(err) {
		d.copied(ctx, now, w.Record.ID, inForce(&w, r, err))
	}
	return r, err
}

// inForce returns the record that a write left, with its value, or nil if that is
// not certain.
func inForce(w *driver.Write, r model.Record, err error) *model.Record {
	if err != nil {
		return nil
	}
	r.Value, r.Encoding = w.Record.Value, w.Record.Encoding
	return &r
}

// Touch touches in old and copies the expiry to new.
func (d *DualWrite) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	r, err := d.ModelExpirySupport.Touch(ctx, now, t)
	switch {
	case err == nil:
		d.touched(ctx, now, r)
	case isUnknown(err):
		d.copied(ctx, now, t.ID, nil)
	}
	return r, err
}

// touched copies an expiry, if the other side has the record at that revision.
func (d *DualWrite) touched(ctx context.Context, now time.Time, r model.Record) {
	after, cancel := d.after(ctx)
	defer cancel()
	t := driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: r.ExpiresAt, Cond: driver.IfMatch, Known: model.Record{ID: r.ID, Revision: r.Revision}}
	if r.ExpiresAt.IsZero() {
		t.Mode = driver.TouchClear
	}
	if _, err := d.other.Touch(after, now, t); err == nil {
		if s, err := driver.GetStat(after, d.ModelExpirySupport, now, driver.Get{ID: r.ID}); err == nil && s.Record.Revision == r.Revision && s.Record.ExpiresAt.Equal(r.ExpiresAt) {
			return
		}
	}
	d.copied(ctx, now, r.ID, nil)
}

// Delete deletes in old and then in new.
func (d *DualWrite) Delete(ctx context.Context, now time.Time, del driver.Delete) error {
	err := d.ModelExpirySupport.Delete(ctx, now, del)
	if changedPerhaps(err) {
		d.copied(ctx, now, del.ID, nil)
	}
	return err
}

// WriteMany writes to old and copies what succeeded to new.
func (d *DualWrite) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	var sent []driver.BatchOp
	var at []int
	for i, op := range ops {
		if out[i].Err = op.Check(); out[i].Err == nil && op.Write != nil {
			out[i].Err = d.fits(op.Write)
		}
		if out[i].Err == nil {
			sent, at = append(sent, op), append(at, i)
		}
	}
	if len(sent) == 0 {
		return out
	}
	for i, res := range driver.WriteMany(ctx, d.ModelExpirySupport, now, sent) {
		out[at[i]] = res
	}
	d.copiedMany(ctx, now, ops, out)
	return out
}

// copiedMany copies what a batch changed, in one batch, and settles each record
// that the batch did not bring in order.
func (d *DualWrite) copiedMany(ctx context.Context, now time.Time, ops []driver.BatchOp, out []driver.BatchResult) {
	ctx, cancel := d.after(ctx)
	defer cancel()
	var batch []driver.BatchOp
	var gets []driver.Get
	var want []*model.Record // nil: deleted
	failed := map[string]bool{}
	for i, op := range ops {
		if !changedPerhaps(out[i].Err) {
			continue
		}
		var r *model.Record
		if op.Write != nil {
			r = inForce(op.Write, out[i].Record, out[i].Err)
		}
		switch {
		case r != nil:
			batch = append(batch, driver.BatchOp{Write: &driver.Write{Record: foreign(r), Cond: driver.IfAny}})
		case out[i].Err == nil:
			batch = append(batch, driver.BatchOp{Delete: &driver.Delete{ID: op.ID(), Cond: driver.IfPresent}})
		default:
			failed[op.ID()] = true // its outcome is unknown
		}
		gets, want = append(gets, driver.Get{ID: op.ID()}), append(want, r)
	}
	if len(gets) == 0 {
		return
	}
	for i, res := range driver.WriteMany(ctx, d.other, now, batch) {
		if res.Err != nil && (batch[i].Delete == nil || !errors.Is(res.Err, model.ErrNotFound)) {
			failed[batch[i].ID()] = true
		}
	}
	for i, res := range driver.GetMany(ctx, d.ModelExpirySupport, now, gets) {
		id, r := gets[i].ID, want[i]
		fine := r == nil && errors.Is(res.Err, model.ErrNotFound) ||
			r != nil && res.Err == nil && r.Revision == res.Record.Revision && r.ExpiresAt.Equal(res.Record.ExpiresAt)
		if fine && !failed[id] {
			continue
		}
		if _, err := settle(ctx, d.ModelExpirySupport, d.other, now, id, true); err != nil {
			d.lag(ctx, id, err)
		}
	}
}

// DeleteExpired sweeps both. The counts are those of the one that decides.
func (d *DualWrite) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	out, err := d.ModelExpirySupport.DeleteExpired(ctx, s)
	if err != nil {
		return out, err
	}
	after, cancel := d.after(ctx)
	defer cancel()
	theirs, err := d.other.DeleteExpired(after, driver.Sweep{Before: s.Before, Limit: s.Limit})
	if err != nil {
		d.lag(ctx, "", err)
		return out, nil
	}
	out.More = out.More || theirs.More
	return out, nil
}
