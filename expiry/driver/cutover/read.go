package cutover

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// DualRead is a DualWrite that also reads twice: it answers from the backend
// main, asks the other one too, and compares. It is a backend, with the contract
// of main.
//
// If the other one differs, the call copies the record from main and
// Options.OnDifference says which it was. So the reads of a running site prove
// that the other one would have answered the same, and fix what lags behind.
// Listings and counts are read from main alone.
type DualRead struct{ *DualWrite }

var _ driver.ModelExpirySupport = (*DualRead)(nil)

// NewDualRead returns a DualRead of main and the other backend. It does no I/O.
// Its errors and options are those of NewDualWrite.
func NewDualRead(main, other driver.ModelExpirySupport, opts *Options) (*DualRead, error) {
	d, err := NewDualWrite(main, other, opts)
	if err != nil {
		return nil, err
	}
	return &DualRead{d}, nil
}

// Get gets from main and compares.
func (d *DualRead) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	r, err := d.ModelExpirySupport.Get(ctx, now, g)
	d.compare(ctx, now, g.ID, &r, err, func(ctx context.Context) (model.Record, error) { return d.other.Get(ctx, now, g) }, same)
	return r, err
}

// Stat does Get without the value, which it does not compare.
func (d *DualRead) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	s, err := d.Wrapper.Stat(ctx, now, g)
	d.compare(ctx, now, g.ID, &s.Record, err, func(ctx context.Context) (model.Record, error) {
		theirs, err := driver.GetStat(ctx, d.other, now, g)
		return theirs.Record, err
	}, sameHead)
	return s, err
}

// GetMany does Get for each request.
func (d *DualRead) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := d.Wrapper.GetMany(ctx, now, gets)
	after, cancel := d.after(ctx)
	defer cancel()
	theirs := driver.GetMany(after, d.other, now, gets)
	for i := range out {
		d.compare(ctx, now, gets[i].ID, &out[i].Record, out[i].Err, func(context.Context) (model.Record, error) { return theirs[i].Record, theirs[i].Err }, same)
	}
	return out
}

// sameHead reports whether two records are equal but for their values.
func sameHead(a, b *model.Record) bool {
	return a.Revision == b.Revision && a.ExpiresAt.Equal(b.ExpiresAt)
}

// compare asks the other side for a record that main has answered. If it
// differs, it is settled. A change that was under way is then settled already, and
// no difference.
func (d *DualRead) compare(ctx context.Context, now time.Time, id string, r *model.Record, err error, ask func(context.Context) (model.Record, error), equal func(a, b *model.Record) bool) {
	if ctx.Err() != nil || err != nil && !errors.Is(err, model.ErrNotFound) {
		return
	}
	after, cancel := d.after(ctx)
	defer cancel()
	theirs, theirErr := ask(after)
	if err != nil && errors.Is(theirErr, model.ErrNotFound) || err == nil && theirErr == nil && equal(r, &theirs) {
		return
	}
	changed, err := settle(after, d.ModelExpirySupport, d.other, now, id, true)
	switch {
	case err != nil:
		d.lag(ctx, id, err)
	case changed && d.opts.OnDifference != nil:
		d.opts.OnDifference(ctx, id)
	case changed:
		d.opts.Logger.WarnContext(ctx, "cutover: a record of the other store differed and was copied", "backend", d.other.Describe().Backend, "id", id)
	}
}
