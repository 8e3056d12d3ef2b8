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
		"a listing shows what another program stored": besideAnother(func(p *driver.Page, _ *driver.Swept) {
			p.Records = append(p.Records, model.Record{ID: "theirs"})
		}),
		"a listing stumbles over what another program stored": besideAnother(func(p *driver.Page, _ *driver.Swept) {
			p.Corrupt = append(p.Corrupt, "theirs")
		}),
		"a sweep counts what another program stored": besideAnother(func(_ *driver.Page, s *driver.Swept) { s.Removed++ }),
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

// besideAnother returns a mutant of which change spoils listings and sweeps if another
// program is in the place of the store.
func besideAnother(change func(*driver.Page, *driver.Swept)) mutation {
	return simply(func(b driver.ModelExpirySupport, store string) *mutant {
		spoils := func(p *driver.Page, s *driver.Swept) {
			if _, there := damageableOf(b).foreign.Load(store); there {
				change(p, s)
			}
		}
		return &mutant{Wrapper: driverkit.Wrap(b),
			page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
				p, err := b.Page(ctx, now, q)
				spoils(&p, &driver.Swept{})
				return p, err
			},
			sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
				s, err := b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
				spoils(&driver.Page{}, &s)
				return s, err
			},
		}
	})
}

// moving returns a mutant whose updates of labels under the condition move the
// record to the end of every listing.
func moving(cond driver.Condition) mutation {
	return reordered(func(w *driver.Write) bool { return w.Cond == cond && !w.Keep.Labels && len(w.Record.Labels) > 1 }, false)
}
