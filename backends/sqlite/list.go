package sqlite

import (
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// extraReads is the largest number of rows that a page reads beyond its limit,
// such as expired records.
const extraReads = 1000

// Page lists live records in byte order of their ids, by one SELECT on the primary
// key or the label's index. The position of a token is the id of the last row that
// was read.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	q.Label, q.Value = strings.Clone(q.Label), strings.Clone(q.Value)
	most := min(q.Limit, extraReads) + extraReads
	s := func(now time.Time) (s stmt) {
		if q.KeysOnly {
			s.add("SELECT " + head)
		} else {
			s.add("SELECT id, format, rev, exp, lab, enc, CASE WHEN exp IS NULL OR exp > ? THEN val END", now.UnixMilli())
		}
		s.add(" FROM "+b.name+" WHERE id > ?", []byte(after))
		if q.Label != "" {
			s.add(" AND lab ->> '"+q.Label+"' = ?", q.Value)
		}
		s.add(" ORDER BY id LIMIT ?", most)
		return s
	}
	return run(ctx, b, false, now, func(ctx context.Context, c conn, now time.Time) (page driver.Page, err error) {
		var size driverkit.PageSize
		n, last, full := 0, "", false
		err = rows(ctx, c, s(now), func(id string, rec model.Record, err error) bool {
			n, last = n+1, id
			switch {
			case err != nil:
				page.Corrupt = append(page.Corrupt, id)
			case !rec.Expired(now):
				page.Records = append(page.Records, rec)
				full = size.Add(&rec) || len(page.Records) == q.Limit
			}
			return !full
		})
		if err == nil && (full || n == most) {
			page.Next = b.gate.Token(&q, last)
		}
		return page, err
	})
}
