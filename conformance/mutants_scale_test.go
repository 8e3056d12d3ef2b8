package conformance_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var errKept = errors.New("the mutant does not remove it")

// sweepWithout returns a sweep that never removes the records for which lost
// returns true.
func sweepWithout(b driver.ModelExpirySupport, lost func(model.Record) bool) func(context.Context, time.Time, int, func(model.Record) error) (driver.Swept, error) {
	return func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
		return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
			switch {
			case lost(r):
				return errKept
			case onExpire != nil:
				return onExpire(r)
			}
			return nil
		}})
	}
}

// scaleMutants make their mistake only with some records in the store.
func scaleMutants() map[string]mutation {
	return map[string]mutation{
		"a count leaves out at most two expired records": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
				q := driver.Query{Label: label, Value: value}
				live, err := driver.Count(ctx, b, now, q)
				if err != nil {
					return 0, err
				}
				all, err := driver.Count(ctx, b, time.Time{}, q)
				return live + max(0, all-live-2), err
			}}
		}),
		"a delete hides the record beside it from sweeps": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			deletes, hidden := 0, ""
			return &mutant{Wrapper: driverkit.Wrap(b),
				writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					for _, op := range ops {
						if op.Delete != nil {
							deletes++
						}
					}
					return driver.WriteMany(ctx, b, now, ops)
				},
				sweep: sweepWithout(b, func(r model.Record) bool {
					if deletes > 20 && hidden == "" {
						hidden = r.ID
					}
					return hidden == r.ID
				}),
			}
		}),
		"a touch of one record hides another from sweeps": sharing(func() bug {
			var mu sync.Mutex
			touches, hidden := 0, map[string]bool{}
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
						mu.Lock()
						defer mu.Unlock()
						if touches++; touches > 40 && touches%20 == 0 {
							hidden[t.ID] = true
						}
						return b.Touch(ctx, now, t)
					},
					sweep: sweepWithout(b, func(r model.Record) bool {
						mu.Lock()
						defer mu.Unlock()
						return hidden[r.ID]
					}),
				}
			}
		}),
	}
}
