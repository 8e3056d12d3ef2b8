package conformance_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// cannotRead reports whether the store does not give a record.
func cannotRead(b driver.ModelExpirySupport, id string) bool {
	return errors.Is(damageableOf(b).broken(id), errUnreadable)
}

// pageWithout returns a mutation of the listings that meet a record that cannot be
// read.
func pageWithout(byLabel bool, meets func(p driver.Page) (driver.Page, error)) mutation {
	return pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
		p, err := b.Page(ctx, now, q)
		if byLabel == (q.Label != "") && slices.ContainsFunc(p.Corrupt, func(id string) bool { return cannotRead(b, id) }) {
			return meets(p)
		}
		return p, err
	})
}

func ends(driver.Page) (driver.Page, error) { return driver.Page{}, errUnreadable }

func isSilent(p driver.Page) (driver.Page, error) {
	p.Corrupt = nil
	return p, nil
}

// unreadableMutants take what the store does not give for something else.
func unreadableMutants() map[string]mutation {
	return map[string]mutation{
		"a record that cannot be read is not found": getMutant(func(_ string, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, errUnreadable) {
				err = model.ErrNotFound
			}
			return r, err
		}),
		"a record that cannot be read is an error of each of many": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), getMany: func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult {
				out := driver.GetMany(ctx, b, now, driver.Gets(ids...))
				return spread(out)
			}}
		}),
		"a record that cannot be read fails a batch": batchMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
			return spread(driver.WriteMany(ctx, b, now, ops))
		}),
		"an update does not find a record that cannot be read": answerMutant(func(w *driver.Write, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, errUnreadable) && w.Cond == driver.IfPresent {
				err = model.ErrNotFound
			}
			return r, err
		}),
		"a create replaces a record that cannot be read": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				if w.Cond == driver.IfAbsent && cannotRead(b, w.Record.ID) {
					w.Cond = driver.IfAny
					return damageableOf(b).Wrapper.Write(ctx, now, w)
				}
				return b.Write(ctx, now, w)
			}}
		}),
		"a delete takes a record that cannot be read for removed": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
				err := b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
				if errors.Is(err, errUnreadable) {
					return nil
				}
				return err
			}}
		}),
		"a record that cannot be read ends a listing":          pageWithout(false, ends),
		"a listing does not name a record that it cannot read": pageWithout(false, isSilent),
		"a record that cannot be read ends a listing by label": pageWithout(true, ends),
		"a delete by label does not report what it cannot read": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					p, err := b.Page(ctx, now, q)
					p.Corrupt = nil
					return p, err
				}}
			}
		}),
		"a record that cannot be read ends a count": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
				if damageableOf(b).hasUnreadable() {
					return 0, errUnreadable
				}
				return driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
			}}
		}),
		"a record that cannot be read ends a sweep": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			if damageableOf(b).hasUnreadable() {
				return driver.Swept{More: true}, errUnreadable
			}
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
		}),
		"a record that cannot be read counts toward a sweep's limit": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			if damageableOf(b).hasUnreadable() {
				if limit--; limit == 0 {
					return driver.Swept{More: true}, nil
				}
			}
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
		}),
		"a sweep removes a record that it cannot read": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			d := damageableOf(b)
			if _, err := d.Wrapper.Get(ctx, time.Unix(0, 0), driver.Get{ID: "bad"}); err == nil && cannotRead(b, "bad") {
				_, _ = d.Wrapper.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: 1}) // the oldest
			}
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
		}),
	}
}

// spread makes the error of a record that cannot be read that of all.
func spread(out []driver.BatchResult) []driver.BatchResult {
	if slices.ContainsFunc(out, func(o driver.BatchResult) bool { return errors.Is(o.Err, errUnreadable) }) {
		for i := range out {
			out[i].Err = errUnreadable
		}
	}
	return out
}
