package bbolt

import (
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// GetMany reads all records in one transaction.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok {
		return out
	}
	ids := make([]string, len(gets))
	for i := range gets {
		ids[i] = strings.Clone(gets[i].ID)
	}
	found, err := view(ctx, b, func(s *store) ([]driver.BatchResult, error) {
		found := make([]driver.BatchResult, len(ids))
		for i, id := range ids {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			found[i].Record, found[i].Err = s.get(s.waited.Now(now), id)
		}
		return found, nil
	})
	for i := range out {
		if out[i].Err = err; err == nil {
			out[i] = found[i]
		}
	}
	return out
}

// WriteMany carries out all operations in one transaction, each under its own
// condition. If the transaction fails, all of them have its error.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	if len(valid) == 0 {
		return out
	}
	owned := make([]driver.BatchOp, len(valid))
	for i, at := range valid {
		owned[i] = ownOp(ops[at])
	}
	done, err := update(ctx, b, func(s *store) ([]driver.BatchResult, error) {
		done := make([]driver.BatchResult, len(owned))
		for i := range owned {
			before := s.changes
			if op := owned[i]; op.Write != nil {
				done[i].Record, done[i].Err = s.write(s.waited.Now(now), op.Write)
			} else {
				done[i].Err = s.delete(s.waited.Now(now), op.Delete)
			}
			if done[i].Err != nil && s.changes > before {
				return nil, done[i].Err
			}
		}
		return done, nil
	})
	for i, at := range valid {
		if out[at].Err = err; err == nil {
			out[at] = done[i]
		}
	}
	return out
}

func ownOp(op driver.BatchOp) driver.BatchOp {
	if op.Write != nil {
		w := own(*op.Write)
		return driver.BatchOp{Write: &w}
	}
	d := *op.Delete
	d.ID = strings.Clone(d.ID)
	return driver.BatchOp{Delete: &d}
}
