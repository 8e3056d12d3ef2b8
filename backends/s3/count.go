package s3

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Count counts live records. With a label it lists the label's entries and reads
// the heads of their records. Without one it lists the names of all records,
// 1,000 with each request, and subtracts those that have expired. It reads only
// the heads of expired records. It also counts damaged records then, unless they
// are shorter than any record.
func (b *Backend) Count(ctx context.Context, now time.Time, query driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &query); err != nil {
		return 0, err
	}
	if query.Label == "" {
		return b.countAll(ctx, now)
	}
	n := 0
	q := driver.Query{Label: query.Label, Value: query.Value, Limit: maxKeys, KeysOnly: true}
	for after := ""; ; {
		found, last, err := b.candidates(ctx, &q, after, maxKeys)
		if err != nil {
			return 0, err
		}
		var strays []string
		_, err = b.eachOf(ctx, &q, found, 0, func(c *candidate, cur *stored) {
			if cur != nil && cur.live(now) && cur.bears(query.Label, query.Value) {
				n++
			}
			strays = append(strays, c.strays(&q, cur)...)
		})
		if err != nil {
			return 0, err
		}
		if len(strays) > 0 {
			_ = b.deleteMany(ctx, strays)
		}
		if after = last; after == "" {
			return n, nil
		}
	}
}

// countAll counts the live records of the whole store.
func (b *Backend) countAll(ctx context.Context, now time.Time) (int, error) {
	expired, err := b.expired(ctx, now)
	if err != nil {
		return 0, err
	}
	n := 0
	var changed []place // since their heads were read
	for after := ""; ; {
		page, err := b.list(ctx, recordsDir+"/", after, maxKeys)
		if err != nil {
			return 0, err
		}
		for _, o := range page.objects {
			after = o.rest
			p, ok := placeOfName(o.rest)
			if !ok || o.size < minHead {
				continue
			}
			switch etag, due := expired[p.name]; {
			case !due:
				n++
			case etag != o.etag:
				changed = append(changed, p)
			}
		}
		if !page.more {
			break
		}
	}
	again, err := b.fetch(ctx, changed, true, 0)
	if err != nil {
		return 0, err
	}
	for _, f := range again {
		if f.err == nil && f.cur.live(now) {
			n++
		}
	}
	return n, nil
}

// expired returns the ETags of the records that have expired and are still
// stored, by name.
func (b *Backend) expired(ctx context.Context, now time.Time) (map[string]string, error) {
	out := map[string]string{}
	for after := ""; ; {
		entries, last, err := b.readDue(ctx, now, after, maxKeys)
		if err != nil {
			return nil, err
		}
		if err := b.readHeads(ctx, entries, &setAside{}); err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.err == nil && e.cur.head != nil && !e.cur.live(now) {
				out[e.p.name] = e.cur.etag
			}
		}
		if after = last; after == "" {
			return out, nil
		}
	}
}
