package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// maxPage bounds the records that one SELECT asks for.
const maxPage = 10_000

// Page lists live records in the order of their ids, by one SELECT on the
// primary key or on the label's index, which ends with the id. The condition
// excludes expired records only, so that rows that cannot be read are found too.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	q.Limit = min(q.Limit, maxPage)
	n, last, full, list := 0, "", false, driverkit.Listing{Query: &q}
	w := driverkit.Waited{Watch: b.watch}
	err = b.read(ctx, &w, b.sql.page(&q), func() []any { return args(&q, after, w.Now(now).UnixMilli(), int64(q.Limit)) }, func(rows pgx.Rows) error {
		var r row
		if err := r.scan(rows); err != nil {
			return err
		}
		n, last = n+1, r.id.String
		rec, err := r.decode()
		full = list.Add(w.Now(now), last, &rec, err)
		return nil
	})
	if err != nil {
		return driver.Page{}, err
	}
	if full || n == q.Limit {
		list.Page.Next = b.gate.Token(&q, last)
	}
	return list.Page, nil
}

// Count counts the live records. It reads the whole table, by label the rows
// that bear the label value.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (n int, err error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	w := driverkit.Waited{Watch: b.watch}
	of := func() []any { return args(&q, w.Now(now).UnixMilli()) }
	err = b.read(ctx, &w, b.sql.count(&q), of, func(rows pgx.Rows) error { return rows.Scan(&n) })
	return n, err
}

// args returns the arguments of a listing, with the label's value if there is
// one.
func args(q *driver.Query, first ...any) []any {
	if q.Label == "" {
		return first
	}
	return append(first, q.Value)
}
