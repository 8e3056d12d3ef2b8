package conformance_test

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// miscounting returns a mutation whose counts are wrong by one for some of the
// records that a sweep announces: those for which wrong returns another number
// than zero. It gets a record as it was announced and as it is stored, or nil.
func miscounting(wrong func(now time.Time, was model.Record, is *model.Record) int) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		announced := map[string]model.Record{} // a case counts from OnExpire, so nothing is concurrent
		return &mutant{Wrapper: driverkit.Wrap(b),
			count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
				n, err := driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
				for id, was := range announced {
					var is *model.Record
					if r, err := b.Get(ctx, time.Unix(1, 0), driver.Get{ID: id}); err == nil {
						is = &r
					}
					n += wrong(now, was, is)
				}
				return n, err
			},
			sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
				defer clear(announced)
				return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
					if onExpire == nil {
						return nil
					}
					announced[r.ID] = r
					return onExpire(r)
				}})
			},
		}
	})
}

// afterDelete returns a mutation of a sweep that goes on after DeleteStorage with
// what it announced before. It removes the records that it accepted, or the next
// sweep removes those that it refused.
func afterDelete(refused bool) mutation {
	return sharing(func() bug {
		var held []model.Record // of a sweep under way, or for the next one
		deleted := false
		return func(b driver.ModelExpirySupport, _ string) *mutant {
			removeHeld := func(ctx context.Context) (n int) {
				for _, r := range held {
					if deleted && removeByID(ctx, b, r) == nil {
						n++
					}
				}
				held, deleted = nil, false
				return n
			}
			return &mutant{Wrapper: driverkit.Wrap(b),
				sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
					n := 0
					if refused {
						n = removeHeld(ctx)
					}
					s, err := b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
						if onExpire == nil {
							return nil
						}
						err := onExpire(r)
						if (err != nil) == refused {
							held = append(held, r)
						}
						return err
					}})
					if !refused {
						removeHeld(ctx)
					}
					s.Removed += n
					return s, err
				},
				deleteStorage: func(ctx context.Context) error {
					deleted = true
					return driver.DeleteStorage(ctx, b)
				},
			}
		}
	})
}

// announcingMutants make mistakes that show only while a sweep announces.
func announcingMutants() map[string]mutation {
	return map[string]mutation{
		"a count leaves out a record twice that a touch moves while a sweep announces it": miscounting(func(now time.Time, was model.Record, is *model.Record) int {
			if is != nil && is.Expired(now) && is.ExpiresAt.After(was.ExpiresAt) {
				return -1
			}
			return 0
		}),
		"a count leaves out what was extended while a sweep announces it": miscounting(func(now time.Time, was model.Record, is *model.Record) int {
			if is != nil && was.Expired(now) && !is.Expired(now) {
				return -1
			}
			return 0
		}),
		"a count includes what was deleted while a sweep announces it": miscounting(func(now time.Time, was model.Record, is *model.Record) int {
			if is == nil && !was.Expired(now) {
				return 1
			}
			return 0
		}),
		"a sweep goes on after DeleteStorage with what it accepted": afterDelete(false),
		"a record that was refused comes back after DeleteStorage":  afterDelete(true),
		"DeleteStorage gives up while a sweep announces": sharing(func() bug {
			announcing := 0
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
						announcing++
						defer func() { announcing-- }()
						return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
					},
					deleteStorage: func(ctx context.Context) error {
						if announcing > 0 {
							return model.ErrUnavailable
						}
						return driver.DeleteStorage(ctx, b)
					},
				}
			}
		}),
	}
}
