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

// DeleteExpired removes expired records, a thousand with each statement. Rows
// that another call has locked are left to it. With OnExpire, a step is a SELECT
// of heads, and a DELETE of those that are unchanged.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	before := s.Before.UnixMilli()
	if !tally.Announces() {
		return tally.Run(ctx, func(n int) (more bool, err error) {
			n = min(n, sweepStep)
			removed, err := b.exec(ctx, b.sql.sweep, before, int64(n))
			tally.Removed(removed)
			tally.Failed(n, err)
			return removed == n, nil
		})
	}
	exp, id := int64(math.MinInt64), "" // of the record that was announced last
	return driverkit.Steps(ctx, tally, sweepStep, func(n int) (due []row, err error) {
		err = b.read(ctx, &driverkit.Waited{}, b.sql.due, these(before, exp, id, int64(n)), func(rows pgx.Rows) error {
			due = append(due, row{})
			return due[len(due)-1].scan(rows)
		})
		if len(due) > 0 {
			exp, id = due[len(due)-1].exp.Int64, due[len(due)-1].id.String
		}
		return due, err
	}, func(r *row) bool {
		rec, err := r.decode()
		return err == nil && tally.Accepts(&rec)
	}, func(due []row) (int, error) {
		ids, revs, exps := make([]string, len(due)), make([]string, len(due)), make([]int64, len(due))
		for i := range due {
			ids[i], revs[i], exps[i] = due[i].id.String, due[i].rev.String(), due[i].exp.Int64
		}
		return b.exec(ctx, b.sql.sweepThese, ids, revs, exps)
	})
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
