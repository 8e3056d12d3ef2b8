package bbolt

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// extraReads is the largest number of entries that a page reads beyond its
// limit, such as expired records. It bounds the time of one transaction.
const extraReads = 1000

// Page lists live records in byte order of their ids, which no write changes.
// The position of a page token is the id of the last entry that was read.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	q.Label, q.Value = strings.Clone(q.Label), strings.Clone(q.Value)
	return view(ctx, b, func(s *store) (driver.Page, error) { return s.page(ctx, s.waited.Now(now), &q, position) })
}

func (s *store) page(ctx context.Context, now time.Time, q *driver.Query, position string) (driver.Page, error) {
	list := driverkit.Listing{Query: q}
	if s.top == nil {
		return list.Page, nil
	}
	bucket, prefix := s.records, []byte(nil)
	if q.Label != "" {
		bucket, prefix = s.labels, []byte(labelKey(q.Label, q.Value))
	}
	c := bucket.Cursor()
	start := append(bytes.Clone(prefix), position...)
	key, data := c.Seek(start)
	if position != "" && bytes.Equal(key, start) {
		key, data = c.Next()
	}
	full := false
	for reads := 0; key != nil && bytes.HasPrefix(key, prefix); key, data = c.Next() {
		if full || reads == q.Limit+extraReads {
			list.Page.Next = s.b.gate.Token(q, position)
			break
		}
		if err := ctx.Err(); err != nil {
			return driver.Page{}, err
		}
		reads, position = reads+1, string(key[len(prefix):])
		if bucket == s.labels {
			data = s.records.Get([]byte(position))
		}
		rec, err := decode(position, data)
		full = list.Add(now, position, rec, err)
	}
	for i := range list.Page.Records {
		r := &list.Page.Records[i]
		r.Value = bytes.Clone(r.Value) // it lies in the file's memory
	}
	return list.Page, nil
}
