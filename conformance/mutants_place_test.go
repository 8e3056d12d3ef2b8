package conformance_test

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// placeMutants are about a record's place in listings, and a store's place on
// its server.
func placeMutants() map[string]mutation {
	return map[string]mutation{
		"an update of one label moves the record in every listing":   moving(driver.IfMatch),
		"an update of labels moves the record in the listing of all": moving(driver.IfPresent),
		"a change of value or expiry moves the record":               reordered(func(w *driver.Write) bool { return w.Cond != driver.IfMatch }, true),
		"CreateStorage takes a place that another program uses": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), createStorage: func(context.Context) error { return nil }}
		}),
		"DeleteStorage hides what another program made": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), deleteStorage: func(ctx context.Context) error {
				_ = driver.DeleteStorage(ctx, b)
				return nil
			}}
		}),
		"a size is that of the value and its head": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), stat: func(ctx context.Context, now time.Time, id string) (driver.Stat, error) {
				st, err := driver.GetStat(ctx, b, now, driver.Get{ID: id})
				st.Size += len(st.Record.Labels)
				return st, err
			}}
		}),
		"a call ends only when the server answers": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				late := context.WithoutCancel(ctx)
				if at, ok := ctx.Deadline(); ok {
					var cancel func()
					late, cancel = context.WithDeadline(late, at.Add(200*time.Millisecond))
					defer cancel()
				}
				return b.Get(late, now, driver.Get{ID: id})
			}}
		}),
		"a record is made whether or not another made it first": inStore(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					if w.Cond == driver.IfAbsent {
						w.Cond = driver.IfAny
						m.at(w.Record.ID)
					}
					return b.Write(ctx, now, w)
				}}
			}
		}),
		"a store keeps one time for a whole call": inStore(func() bug {
			var first time.Time
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
						first = now
						return b.Get(ctx, now, driver.Get{ID: id})
					},
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						if !first.IsZero() {
							now = first
						}
						return b.Write(ctx, now, w)
					},
				}
			}
		}),
	}
}

// moving returns a mutant whose updates of labels under the condition move the
// record to the end of every listing.
func moving(cond driver.Condition) mutation {
	return reordered(func(w *driver.Write) bool { return w.Cond == cond && !w.Keep.Labels && len(w.Record.Labels) > 1 }, false)
}
