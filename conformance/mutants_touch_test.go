package conformance_test

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// touchMutant changes a touch before the backend gets it, or its result.
func touchMutant(change func(t *driver.Touch), answer func(t *driver.Touch, before, after model.Record) model.Record) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
			before, _ := b.Get(ctx, now, driver.Get{ID: t.ID})
			if change != nil {
				change(&t)
			}
			r, err := b.Touch(ctx, now, t)
			if err == nil && answer != nil {
				r = answer(&t, before, r)
			}
			return r, err
		}}
	})
}

// deleteMutant changes a delete before the backend gets it.
func deleteMutant(change func(c *driver.Condition, known *model.Record)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
			change(&c, &known)
			return b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
		}}
	})
}

func touchMutants() map[string]mutation {
	return map[string]mutation{
		"a touch ignores the revision": touchMutant(func(t *driver.Touch) { t.Cond = driver.IfPresent }, nil),
		"a touch at a revision that is missing is a conflict": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				r, err := b.Touch(ctx, now, t)
				if t.Cond == driver.IfMatch && errors.Is(err, model.ErrNotFound) {
					err = model.ErrConflict
				}
				return r, err
			}}
		}),
		"a touch that changes nothing skips the revision": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				if cur, err := b.Get(ctx, now, driver.Get{ID: t.ID}); err == nil && t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt) {
					return cur.Head(), nil
				}
				return b.Touch(ctx, now, t)
			}}
		}),
		"set never shortens": touchMutant(func(t *driver.Touch) {
			if t.Mode == driver.TouchSet {
				t.Mode = driver.TouchExtend
			}
		}, nil),
		"extend shortens": touchMutant(func(t *driver.Touch) {
			if t.Mode == driver.TouchExtend {
				t.Mode = driver.TouchSet
			}
		}, nil),
		"a touch leaves out small steps": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				cur, err := b.Get(ctx, now, driver.Get{ID: t.ID})
				if next := t.Result(cur.ExpiresAt); err == nil && !next.IsZero() && next.Sub(cur.ExpiresAt).Abs() < time.Second {
					cur.ExpiresAt = next
					return cur.Head(), nil
				}
				return b.Touch(ctx, now, t)
			}}
		}),
		"extend sets an expiry on a record without one": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				if cur, err := b.Get(ctx, now, driver.Get{ID: t.ID}); err == nil && cur.ExpiresAt.IsZero() && t.Mode == driver.TouchExtend {
					t.Mode = driver.TouchSet
				}
				return b.Touch(ctx, now, t)
			}}
		}),
		"clear sets a late expiry": touchMutant(func(t *driver.Touch) {
			if t.Mode == driver.TouchClear {
				t.Mode, t.ExpiresAt = driver.TouchSet, time.Now().Add(400*24*time.Hour)
			}
		}, nil),
		"a touch revives an expired record": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, _ time.Time, t driver.Touch) (model.Record, error) {
				return b.Touch(ctx, time.Time{}, t)
			}}
		}),
		"a touch returns the earlier expiry": touchMutant(nil, func(_ *driver.Touch, before, after model.Record) model.Record {
			after.ExpiresAt = before.ExpiresAt
			return after
		}),
		"a touch without a mode clears": touchMutant(func(t *driver.Touch) {
			if t.Mode == 0 {
				t.Mode = driver.TouchClear
			}
		}, nil),
		"a delete of any revision compares": deleteMutant(func(c *driver.Condition, known *model.Record) {
			if *c == driver.IfPresent && !known.Revision.IsZero() {
				*c = driver.IfMatch
			}
		}),
		"a delete ignores the revision": deleteMutant(func(c *driver.Condition, known *model.Record) {
			if *c == driver.IfMatch && !known.Revision.IsZero() {
				*c = driver.IfPresent
			}
		}),
		"a delete takes any condition": deleteMutant(func(c *driver.Condition, _ *model.Record) {
			if *c == driver.IfAny {
				*c = driver.IfPresent
			}
		}),
	}
}
