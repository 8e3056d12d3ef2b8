package conformance_test

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func batchMutants() map[string]mutation {
	return map[string]mutation{
		"a get of many returns only the records found": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), getMany: func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult {
				var found []driver.BatchResult
				for _, o := range driver.GetMany(ctx, b, now, driver.Gets(ids...)) {
					if o.Err == nil {
						found = append(found, o)
					}
				}
				return found
			}}
		}),
		"a record that the server left undone is not found": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), getMany: func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult {
				size := 0
				out := driver.GetMany(ctx, b, now, driver.Gets(ids...))
				for i := range out {
					if size += len(out[i].Record.Value); size > 16<<20 {
						out[i] = driver.BatchResult{Err: model.ErrNotFound}
					}
				}
				return out
			}}
		}),
		"a batch ends at the first failure": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
				out := make([]driver.BatchResult, 0, len(ops))
				for i := range ops {
					o := driver.WriteMany(ctx, b, now, ops[i:i+1])[0]
					out = append(out, o)
					for o.Err != nil && len(out) < len(ops) {
						out = append(out, o)
					}
					if o.Err != nil {
						break
					}
				}
				return out
			}}
		}),
		"a batch ignores its conditions": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
				for i := range ops {
					if w := ops[i].Write; w != nil && w.Cond == driver.IfMatch && w.Known.Revision.IsZero() {
						w.Cond = driver.IfAny
					}
				}
				return driver.WriteMany(ctx, b, now, ops)
			}}
		}),
		"two batches create the same records": sharing(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					out := make([]driver.BatchResult, len(ops))
					missing := make([]bool, len(ops))
					for i, op := range ops {
						_, err := b.Get(ctx, now, driver.Get{ID: op.ID()})
						missing[i] = err != nil
					}
					m.at("looked")
					for i, op := range ops {
						if !missing[i] {
							out[i].Err = model.ErrExists
							continue
						}
						op.Write.Cond = driver.IfAny
						out[i].Record, out[i].Err = b.Write(ctx, now, *op.Write)
					}
					return out
				}}
			}
		}),
	}
}
