package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

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
	rec, err := b.apply(ctx, now, func(now time.Time) write { return b.touch(now, &t) })
	rec.Value = nil
	return rec, err
}

func (b *Backend) touch(now time.Time, t *driver.Touch) write {
	cond, at, extend := max(t.Cond, driver.IfPresent), expiry(t.ExpiresAt), t.Mode == driver.TouchExtend
	at.Valid = t.Mode != driver.TouchClear
	return write{b.sql.touch, []any{t.ID, now.UnixMilli(), known(cond, t.Known.Revision), at, extend}, judged(func(cur *model.Record, err error) (model.Record, error) {
		winner, err := driverkit.Judge(now, cur, err, cond, t.Known.Revision)
		switch {
		case err != nil:
			return winner, err
		case extend && t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt):
			return *cur, nil
		}
		return model.Record{}, errRaced
	})}
}

// sweepStep is the largest number of records that a step of a sweep removes.
const sweepStep = 1000

// sweep is the state of a DeleteExpired that announces records. It visits them
// in the order of their expiries and ids.
type sweep struct {
	*driverkit.Tally
	before time.Time
	exp    int64
	id     string
}

// DeleteExpired removes expired records, a thousand with each statement. Rows
// that another call has locked are left to it. With OnExpire, a step is a SELECT
// of heads, and a DELETE of those that are unchanged.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	state := sweep{Tally: tally, before: s.Before, exp: math.MinInt64}
	return tally.Run(ctx, func(n int) (more bool, err error) {
		n = min(n, sweepStep)
		if s.OnExpire != nil {
			return b.announce(ctx, n, &state)
		}
		removed, err := b.exec(ctx, b.sql.sweep, s.Before.UnixMilli(), int64(n))
		tally.Removed(removed)
		tally.Failed(n, err)
		return removed == n, nil
	})
}

// announce announces up to n expired records and removes those that may go. It
// reports whether more may be left.
func (b *Backend) announce(ctx context.Context, n int, s *sweep) (more bool, err error) {
	var due []row
	err = b.read(ctx, &driverkit.Waited{}, b.sql.due, []any{s.before.UnixMilli(), s.exp, s.id, int64(n)}, func(rows pgx.Rows) error {
		due = append(due, row{})
		return due[len(due)-1].scan(rows)
	})
	if err != nil {
		return false, err
	}
	var ids, revs []string
	var exps []int64
	for i := range due {
		s.exp, s.id = due[i].exp.Int64, due[i].id.String
		if rec, err := due[i].decode(); err == nil && s.Accepts(&rec) {
			ids, revs, exps = append(ids, rec.ID), append(revs, due[i].rev.String()), append(exps, s.exp)
		}
	}
	if len(ids) > 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		removed, err := b.exec(ctx, b.sql.sweepThese, ids, revs, exps)
		s.Removed(removed)
		s.Failed(len(ids), err)
	}
	return len(due) == n, nil
}

// exec runs a statement that removes rows, and returns how many they were.
func (b *Backend) exec(ctx context.Context, sql string, args ...any) (removed int, err error) {
	db, release, err := b.acquire(ctx, &driverkit.Waited{})
	if err != nil {
		return 0, err
	}
	defer release()
	tag, err := db.Exec(ctx, sql, args...)
	if err != nil {
		return 0, writeError(ctx, err)
	}
	return int(tag.RowsAffected()), nil
}
