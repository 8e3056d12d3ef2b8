package sqlite

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// WriteMany carries out all operations in one transaction, each under its own
// condition. If the transaction fails, all of them have its error.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	if len(valid) == 0 {
		return out
	}
	writes := make([]write, len(valid))
	for i, at := range valid {
		if op := ops[at]; op.Write != nil {
			writes[i] = b.put(*op.Write)
		} else {
			writes[i] = b.remove(*op.Delete)
		}
	}
	done, err := run(ctx, b, true, now, func(sent context.Context, c conn, now time.Time) ([]driver.BatchResult, error) {
		done := make([]driver.BatchResult, len(writes))
		return done, b.inTx(sent, c, func() error {
			for i := range writes {
				if err := ctx.Err(); err != nil && b.tx == nil {
					return err
				}
				rec, err := writes[i].on(sent, b, c, now)
				if err != nil && model.Kind(err) == nil && !isRefused(err) {
					return err
				}
				done[i] = driver.BatchResult{Record: rec, Err: failed(ctx, err, true)}
			}
			return nil
		})
	})
	for i, at := range valid {
		if out[at].Err = err; err == nil {
			out[at] = done[i]
		}
		if ops[at].Delete != nil {
			out[at].Record = model.Record{}
		}
	}
	return out
}
