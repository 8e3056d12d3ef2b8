package conformance_test

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// onLoss returns a mutant of a backend that handles the lost answer of a write
// with then.
func onLoss(then func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error)) bug {
	return func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
			r, err := b.Write(ctx, now, w)
			if errors.Is(err, model.ErrUnknown) {
				return then(ctx, now, b, w, err)
			}
			return r, err
		}}
	}
}

// storeLoss is onLoss above the backend: a Store that handles the lost answer
// in another way.
func storeLoss(then func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error)) mutation {
	return inStore(func() bug { return onLoss(then) })
}

func lostMutants() map[string]mutation {
	again := func(cond driver.Condition) func(context.Context, time.Time, driver.ModelExpirySupport, driver.Write, error) (model.Record, error) {
		return func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error) {
			if w.Cond != cond {
				return model.Record{}, lost
			}
			return b.Write(ctx, now, w)
		}
	}
	return map[string]mutation{
		"a driver sends a lost create again": simply(onLoss(again(driver.IfAbsent))),
		"a driver sends a lost delete again": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
				err := b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
				if errors.Is(err, model.ErrUnknown) {
					return b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
				}
				return err
			}}
		}),
		"a driver sends a lost touch again": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				r, err := b.Touch(ctx, now, t)
				if errors.Is(err, model.ErrUnknown) {
					return b.Touch(ctx, now, t)
				}
				return r, err
			}}
		}),
		"a lost answer is a conflict": simply(onLoss(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error) {
			if w.Cond == driver.IfMatch {
				return model.Record{}, model.ErrConflict
			}
			return model.Record{}, lost
		})),
		"a lost answer is reported as not applied": simply(onLoss(func(context.Context, time.Time, driver.ModelExpirySupport, driver.Write, error) (model.Record, error) {
			return model.Record{}, model.ErrUnavailable
		})),
		"a lost read is not found": getMutant(func(_ string, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, model.ErrUnavailable) {
				err = model.ErrNotFound
			}
			return r, err
		}),
		"a lost listing is empty": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
				p, err := b.Page(ctx, now, q)
				if errors.Is(err, model.ErrUnavailable) {
					err = nil
				}
				return p, err
			}}
		}),
		"a lost batch is reported as failed": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
				out := driver.WriteMany(ctx, b, now, ops)
				for i := range out {
					if errors.Is(out[i].Err, model.ErrUnknown) {
						out[i].Err = model.ErrUnavailable
					}
				}
				return out
			}}
		}),
		"an ended context makes a batch unknown": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
				out := driver.WriteMany(ctx, b, now, ops)
				for i := range out {
					if errors.Is(out[i].Err, context.Canceled) {
						out[i].Err = model.NewError(model.ErrUnknown, "", out[i].Err)
					}
				}
				return out
			}}
		}),
		"a lost write arrives a second time, later": sharing(func() bug {
			// The network repeats a request after other calls were served.
			var late *driver.Write
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						r, err := b.Write(ctx, now, w)
						if errors.Is(err, model.ErrUnknown) {
							late = &w
						}
						return r, err
					},
					get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
						if late != nil {
							_, _ = b.Write(ctx, now, driver.Write{Record: late.Record, Cond: driver.IfAny})
							late = nil
						}
						return b.Get(ctx, now, driver.Get{ID: id})
					},
				}
			}
		}),

		"the store never reads after a lost answer": storeLoss(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, _ driver.Write, lost error) (model.Record, error) {
			return model.Record{}, driver.MarkUndecidable(lost)
		}),
		"the store ignores the undecidable mark": inStore(func() bug {
			return onLoss(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, _ driver.Write, _ error) (model.Record, error) {
				return model.Record{}, model.NewError(model.ErrUnknown, "the mark is dropped", nil)
			})
		}),
		"the store takes any stored record as its own": storeLoss(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error) {
			if cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID}); err == nil {
				return cur.Head(), nil
			}
			return model.Record{}, lost
		}),
		"the store sends a lost create again": storeLoss(again(driver.IfAbsent)),
		"the store sends a lost update again as an upsert": storeLoss(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, _ error) (model.Record, error) {
			w.Cond, w.Keep.Expiry, w.Keep.Labels = driver.IfAny, false, false
			return b.Write(ctx, now, w)
		}),
		"the store sends a lost upsert again": storeLoss(again(driver.IfAny)),
		"the store sends a lost compare-and-set again without its condition": storeLoss(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error) {
			if w.Cond != driver.IfMatch {
				return model.Record{}, lost
			}
			w.Cond = driver.IfPresent
			return b.Write(ctx, now, w)
		}),
		"the store sends again after the caller's context ended": storeLoss(func(_ context.Context, now time.Time, b driver.ModelExpirySupport, w driver.Write, lost error) (model.Record, error) {
			if w.Cond != driver.IfMatch {
				return model.Record{}, lost
			}
			return b.Write(context.Background(), now, w)
		}),
		"a lost mutation is applied again": storeLoss(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, _ driver.Write, _ error) (model.Record, error) {
			return model.Record{}, model.ErrConflict
		}),
		"the store takes any expiry as its own": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
					r, err := b.Touch(ctx, now, t)
					if errors.Is(err, model.ErrUnknown) {
						if cur, gerr := b.Get(ctx, now, driver.Get{ID: t.ID}); gerr == nil {
							return cur.Head(), nil
						}
					}
					return r, err
				}}
			}
		}),
		"the store takes an absent record as its own delete": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
					err := b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
					if errors.Is(err, model.ErrUnknown) {
						if _, gerr := b.Get(ctx, now, driver.Get{ID: id}); errors.Is(gerr, model.ErrNotFound) {
							return nil
						}
					}
					return err
				}}
			}
		}),
		"the store sends a lost bulk again": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					out := driver.WriteMany(ctx, b, now, ops)
					if errors.Is(out[0].Err, model.ErrUnknown) {
						return driver.WriteMany(ctx, b, now, ops)
					}
					return out
				}}
			}
		}),
	}
}
