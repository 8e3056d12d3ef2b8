package sqlite

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record, by one statement. An extension that
// would change nothing writes nothing.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	t.ID, t.Cond = strings.Clone(t.ID), max(t.Cond, driver.IfPresent)
	at := millis(t.ExpiresAt)
	at.Valid = t.Mode != driver.TouchClear
	rec, err := b.apply(ctx, now, write{t.ID, func(now time.Time) (s stmt) {
		s.add("UPDATE "+b.name+" SET exp = ?", at)
		s.live(t.ID, now, t.Cond, t.Known.Revision)
		if t.Mode == driver.TouchExtend {
			s.add(" AND exp < ?", at)
		}
		s.add(" RETURNING " + head)
		return s
	}, func(now time.Time, cur *model.Record, err error) (model.Record, error) {
		winner, err := driverkit.Judge(now, cur, err, t.Cond, t.Known.Revision)
		if err == nil && t.Mode == driver.TouchExtend && t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt) {
			return *cur, nil
		}
		return winner, err
	}})
	if err == nil {
		rec.Value = nil
	}
	return rec, err
}

// sweepStep is the largest number of records that a step of a sweep removes. No
// other call can write meanwhile.
const sweepStep = 500

const due = " WHERE exp <= ? AND exp IS NOT NULL AND " + readable

// DeleteExpired removes expired records, 500 with each statement. With OnExpire, a
// step is a SELECT of heads, and a DELETE of those that are unchanged.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	last := model.Record{ExpiresAt: time.UnixMilli(math.MinInt64)}
	return tally.Run(ctx, func(n int) (more bool, err error) {
		n = min(n, sweepStep)
		del := stmt{"DELETE FROM " + b.name, nil}
		if !tally.Announces() {
			del.add(" WHERE rowid IN (SELECT rowid FROM "+b.name+due+" ORDER BY exp LIMIT ?)", s.Before.UnixMilli(), n)
			return b.sweep(ctx, tally, del, n) == n, nil
		}
		found, err := b.due(ctx, s.Before, last, n)
		if err != nil || len(found) == 0 {
			return false, err
		}
		last = found[len(found)-1]
		accepted := 0
		del.add(" WHERE (id, rev, exp) IN (VALUES ")
		for i := range found {
			if r := &found[i]; tally.Accepts(r) {
				del.add("(?, ?, ?), ", []byte(r.ID), r.Revision[:], millis(r.ExpiresAt))
				accepted++
			}
		}
		if err = ctx.Err(); err == nil && accepted > 0 {
			del.text = strings.TrimSuffix(del.text, ", ") + ")"
			b.sweep(ctx, tally, del, accepted)
		}
		return len(found) == n, err
	})
}

// due returns the heads of the first n expired records after the last one, in the
// order of expiries and ids.
func (b *Backend) due(ctx context.Context, before time.Time, last model.Record, n int) ([]model.Record, error) {
	s := stmt{"SELECT " + head + " FROM " + b.name + due + " AND (exp, id) > (?, ?) ORDER BY exp, id LIMIT ?",
		[]any{before.UnixMilli(), last.ExpiresAt.UnixMilli(), []byte(last.ID), n}}
	return run(ctx, b, false, time.Time{}, func(ctx context.Context, c conn, _ time.Time) (found []model.Record, err error) {
		err = rows(ctx, c, s, func(_ string, rec model.Record, _ error) bool { found = append(found, rec); return true })
		return found, err
	})
}

// sweep runs a statement that removes up to n records, and counts them.
func (b *Backend) sweep(ctx context.Context, tally *driverkit.Tally, s stmt, n int) (removed int) {
	all, err := run(ctx, b, true, time.Time{}, func(ctx context.Context, c conn, _ time.Time) (int64, error) {
		done, err := c.ExecContext(ctx, s.text, s.args...)
		if err != nil {
			return 0, err
		}
		return done.RowsAffected()
	})
	tally.Removed(int(all))
	tally.Failed(n, err)
	return int(all)
}
