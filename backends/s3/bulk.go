package s3

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// GetMany reads the records as Get does, 16 at a time: S3 has no request for
// many objects.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	parallel(len(gets), func(i int) {
		out[i].Record, out[i].Err = b.Get(ctx, now, gets[i])
	})
	return out
}

// WriteMany carries out the operations as Write and Delete do, 16 at a time.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	parallel(len(ops), func(i int) {
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.Write(ctx, now, *w)
			return
		}
		d := ops[i].Delete
		out[i].Err = b.Delete(ctx, now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known})
	})
	return out
}

// fetched is what was read of one record.
type fetched struct {
	cur *stored
	err error
}

// fetch reads what is stored at the places, or the heads, 16 at a time. It
// returns the first error that is not about one record alone.
func (b *Backend) fetch(ctx context.Context, places []place, headsOnly bool) ([]fetched, error) {
	out := make([]fetched, len(places))
	parallel(len(places), func(i int) {
		out[i].cur, out[i].err = b.look(ctx, &places[i], headsOnly)
	})
	for _, f := range out {
		if f.err != nil && model.Kind(f.err) != model.ErrCorrupt {
			return nil, f.err
		}
	}
	return out, nil
}
