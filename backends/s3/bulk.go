package s3

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// GetMany reads the records as Get does, 16 at a time: S3 has no request for
// many objects.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok {
		return out
	}
	b.turns(len(gets), *b.waited(), func(i int, w *driverkit.Waited) {
		if out[i].Err = b.gate.Enter(ctx); out[i].Err == nil {
			out[i].Record, out[i].Err = b.getOne(ctx, now, w, gets[i].ID)
		}
	})
	return out
}

// WriteMany carries out the operations as Write and Delete do, 16 at a time. A
// conflict returns the record that won without its value.
// Operations that were not begun when the context ends return its error.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	b.turns(len(valid), *b.waited(), func(n int, waits *driverkit.Waited) {
		i := valid[n]
		if out[i].Err = b.gate.Enter(ctx); out[i].Err != nil {
			return
		}
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.write(ctx, now, waits, w, true)
		} else {
			out[i].Err = b.delete(ctx, now, waits, ops[i].Delete)
		}
	})
	return out
}

// fetched is the result of reading one record.
type fetched struct {
	cur *stored
	err error
	at  time.Time // as of which the call judges it
}

func (f *fetched) live() bool { return f.err == nil && f.cur.live(f.at) }

// fetch reads the records at the places, or only their heads, 16 at a time. A
// record that is ErrCorrupt, or that the server refuses to read, has that error
// in its result. Any other error ends the whole call. With most it reads values
// until their objects have that many bytes, and returns the results so far.
//
// The call began at now and has waited as long as before.
func (b *Backend) fetch(ctx context.Context, now time.Time, before driverkit.Waited, places []place, headsOnly bool, most int64) ([]fetched, error) {
	out := make([]fetched, len(places))
	var shared *budget
	if most > 0 && !headsOnly {
		shared = newBudget(len(places), most)
	}
	b.turns(len(places), before, func(i int, w *driverkit.Waited) {
		t := shared.turn(i)
		t.waits = w
		defer t.end()
		if t.full() {
			out[i].err = errNoTurn
			return
		}
		out[i].cur, out[i].err = b.read(ctx, &places[i], headsOnly, t)
		out[i].at = w.Now(now)
	})
	var one oneObject
	for i := range out {
		switch err := out[i].err; {
		case err == nil, errors.Is(err, model.ErrCorrupt):
		case errors.Is(err, errNoTurn):
			return out[:i], nil
		case !one.refused(ctx, b, err):
			return nil, err
		}
	}
	return out, nil
}
