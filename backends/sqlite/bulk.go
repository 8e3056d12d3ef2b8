package sqlite

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// getStep is the number of records that one SELECT of GetMany asks for.
const getStep = 500

// GetMany reads the records, 500 with each SELECT.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok || len(gets) == 0 {
		return out
	}
	ids := make([]any, len(gets))
	for i := range gets {
		ids[i] = []byte(gets[i].ID)
	}
	found, err := read(ctx, b, now, func(ctx context.Context, c conn, now time.Time) (map[string]driver.BatchResult, error) {
		found := make(map[string]driver.BatchResult, len(ids))
		for rest := ids; len(rest) > 0; rest = rest[min(getStep, len(rest)):] {
			part := rest[:min(getStep, len(rest))]
			s := stmt{"SELECT " + whole + " FROM " + b.place.name() + " WHERE id IN (?" + strings.Repeat(", ?", len(part)-1) + ")", part}
			err := rows(ctx, c, s, func(id string, rec model.Record, err error) bool {
				if err != nil || !rec.Expired(now) {
					found[id] = driver.BatchResult{Record: rec, Err: err}
				}
				return true
			})
			if err != nil {
				return nil, err
			}
		}
		return found, nil
	})
	for i := range out {
		one, ok := found[gets[i].ID]
		if !ok {
			one.Err = cmp.Or(err, model.ErrNotFound)
		}
		out[i] = one
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
	writes := make([]write, len(valid))
	for i, at := range valid {
		if op := ops[at]; op.Write != nil {
			writes[i] = b.put(*op.Write)
		} else {
			writes[i] = b.remove(*op.Delete)
		}
	}
	done, err := change(ctx, b, now, func(sent context.Context, c conn, now time.Time) ([]driver.BatchResult, error) {
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
