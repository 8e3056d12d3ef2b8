package s3

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Page lists live records in the order of their names: one ListObjectsV2 and
// then the records, 16 at a time. With KeysOnly it reads only their heads. With
// a label it lists the label's entries and checks each against its record.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	for range emptyLists {
		if after, err = b.pagePart(ctx, now, &q, after, &page); err != nil {
			return driver.Page{}, err
		}
		if after == "" || len(page.Records)+len(page.Corrupt) > 0 {
			break
		}
	}
	page.Next = b.gate.Token(&q, after)
	return page, nil
}

const (
	// emptyLists is how many listings without a live record one page skips.
	emptyLists = 16
	// spare is how many names beyond its limit a page lists, since some have no
	// live record.
	spare = 32
)

// candidate is a name in a listing, with its label entries.
type candidate struct {
	place
	last    string // the listing continues after it
	entries []labelEntry
}

type labelEntry struct {
	key   string
	stamp stamp
	old   bool
}

// pagePart lists names once and reads their records until the page is full. It
// returns the name to continue after, which is empty at the end.
func (b *Backend) pagePart(ctx context.Context, now time.Time, q *driver.Query, after string, page *driver.Page) (string, error) {
	found, last, err := b.candidates(ctx, q, after, min(q.Limit, maxKeys)+spare)
	if err != nil {
		return "", err
	}
	var strays []string
	defer func() {
		if len(strays) > 0 {
			_ = b.deleteMany(ctx, strays) // the next listing finds what is left
		}
	}()
	for len(found) > 0 {
		n := min(len(found), q.Limit-len(page.Records))
		if n == 0 {
			return after, nil
		}
		part := found[:n]
		found = found[n:]
		err := b.eachOf(ctx, q, part, func(c *candidate, cur *stored) {
			switch {
			case cur == nil:
				page.Corrupt = append(page.Corrupt, c.idOrName())
			case cur.live(now) && (q.Label == "" || cur.bears(q.Label, q.Value)):
				page.Records = append(page.Records, *cur.record())
			}
			strays = append(strays, c.strays(q, cur)...)
		})
		if err != nil {
			return "", err
		}
		after = part[n-1].last
	}
	return last, nil
}

// candidates lists names after another, and returns the name to continue after,
// which is empty at the end. It leaves out the tombstones that it recognises in
// the listing.
func (b *Backend) candidates(ctx context.Context, q *driver.Query, after string, limit int) (found []candidate, last string, err error) {
	if q.Label == "" {
		page, err := b.list(ctx, recordsDir+"/", after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, o := range page.objects {
			last = o.rest
			if p, ok := placeOfName(o.rest); ok && !o.isTombstone() {
				found = append(found, candidate{place: p, last: o.rest})
			}
		}
		if !page.more {
			last = ""
		}
		return found, last, nil
	}
	folder := labelFolder(q.Label, q.Value)
	page, err := b.list(ctx, folder, after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, o := range page.objects {
		last = max(last, o.rest)
		p, s, ok := parseEntry(o.rest)
		if !ok {
			continue // foreign
		}
		// A record that was written often may have many entries. It is listed once.
		if len(found) == 0 || found[len(found)-1].name != p.name {
			found = append(found, candidate{place: p, last: afterEntries(p.name)})
		}
		c := &found[len(found)-1]
		c.entries = append(c.entries, labelEntry{folder + o.rest, s, b.pastGrace(&page, &o)})
		last = max(last, c.last)
	}
	if !page.more {
		last = ""
	}
	return found, last, nil
}

// isTombstone reports whether the object is a tombstone, without reading it.
func (o *listed) isTombstone() bool { return o.size == tombstoneSize && o.etag == tombstoneETag }

// eachOf reads the candidates and calls show for each, in order. It passes nil
// for a record that is ErrCorrupt.
func (b *Backend) eachOf(ctx context.Context, q *driver.Query, of []candidate, show func(*candidate, *stored)) error {
	places := make([]place, len(of))
	for i := range of {
		places[i] = of[i].place
	}
	all, err := b.fetch(ctx, places, q.KeysOnly)
	if err != nil {
		return err
	}
	for i, f := range all {
		if f.err != nil {
			f.cur = nil
		}
		show(&of[i], f.cur)
	}
	return nil
}

// strays returns the entries on which no record relies and that are old enough
// to be removed.
func (c *candidate) strays(q *driver.Query, cur *stored) (keys []string) {
	if cur == nil {
		return nil
	}
	var needed *label
	if cur.head != nil {
		needed = cur.head.label(q.Label)
	}
	for _, e := range c.entries {
		if e.old && (needed == nil || needed.value != q.Value || needed.stamp != e.stamp) {
			keys = append(keys, e.key)
		}
	}
	return keys
}

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
		err = b.eachOf(ctx, &q, found, func(c *candidate, cur *stored) {
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
	again, err := b.fetch(ctx, changed, true)
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
		if err := b.readHeads(ctx, entries); err != nil {
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
