package s3

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Page lists live records in the order of their names: one ListObjectsV2 and
// then the records, 16 at a time. With KeysOnly it reads only their heads. With
// a label it lists the label's entries and checks each against its record. It
// ends once its values reach driver.PageBytes. Page.Corrupt also names the
// records that the server refuses to read, such as archived ones.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	limit := min(q.Limit, maxKeys) + spare
	turn := partsOf(b.waited())
	for range emptyLists {
		if after, err = b.pagePart(ctx, now, turn, &q, after, &limit, &page); err != nil {
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
	size    int64  // of its object; zero if the listing does not say
	entries []labelEntry
}

type labelEntry struct {
	key   string
	stamp stamp
	old   bool
}

// pagePart lists names once and reads their records until the page is full. It
// returns the name to continue after, which is empty at the end.
func (b *Backend) pagePart(ctx context.Context, now time.Time, turn *parts, q *driver.Query, after string, limit *int, page *driver.Page) (string, error) {
	w := turn.next()
	found, last, err := b.candidates(ctx, w, q, after, *limit)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		*limit = maxKeys // behind many tombstones there may be more
	}
	var strays []string
	defer func() {
		if len(strays) > 0 {
			_ = b.deleteMany(ctx, strays) // the next listing finds what is left
		}
	}()
	var size driverkit.PageSize
	left := int64(driver.PageBytes)
	for full := false; len(found) > 0; {
		n := min(len(found), q.Limit-len(page.Records))
		if n == 0 || full {
			return after, nil
		}
		part := found[:n]
		if !q.KeysOnly {
			part = affordable(part, left)
		}
		n, err := b.eachOf(ctx, now, *w, q, part, left, func(c *candidate, f *fetched) {
			switch {
			case f.err != nil:
				page.Corrupt = append(page.Corrupt, c.idOrName())
				return
			case f.live() && (q.Label == "" || f.cur.bears(q.Label, q.Value)):
				page.Records = append(page.Records, *f.cur.record())
				full = size.Add(&page.Records[len(page.Records)-1])
				left -= int64(len(f.cur.value))
			}
			strays = append(strays, c.strays(q, f.cur)...)
		})
		if err != nil {
			return "", err
		}
		after = part[n-1].last
		found, w = found[n:], turn.next()
	}
	return last, nil
}

// affordable returns the first candidates: those until the values reach the bytes
// that are left, by the listing. It spares reads that the page has no room for.
func affordable(part []candidate, left int64) []candidate {
	for i := range part {
		if left -= max(0, part[i].size-minHead); left <= 0 {
			return part[:i+1]
		}
	}
	return part
}

// candidates lists names after another, and returns the name to continue after,
// which is empty at the end. It leaves out the tombstones that it recognises in
// the listing.
func (b *Backend) candidates(ctx context.Context, w *driverkit.Waited, q *driver.Query, after string, limit int) (found []candidate, last string, err error) {
	if q.Label == "" {
		page, err := b.list(ctx, w, recordsDir+"/", after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, o := range page.objects {
			last = o.rest
			if p, ok := placeOfName(o.rest); ok && !o.isTombstone() {
				found = append(found, candidate{place: p, last: o.rest, size: o.size})
			}
		}
		if !page.more {
			last = ""
		}
		return found, last, nil
	}
	folder := labelFolder(q.Label, q.Value)
	page, err := b.list(ctx, w, folder, after, limit)
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

// eachOf reads the candidates as fetch does and calls show for each, in order.
// With values it stops once their objects have most bytes, and returns how many
// it has shown: at least one.
func (b *Backend) eachOf(ctx context.Context, now time.Time, before driverkit.Waited, q *driver.Query, of []candidate, most int64, show func(*candidate, *fetched)) (int, error) {
	places := make([]place, len(of))
	for i := range of {
		places[i] = of[i].place
	}
	all, err := b.fetch(ctx, now, before, places, q.KeysOnly, most)
	if err != nil {
		return 0, err
	}
	for i := range all {
		show(&of[i], &all[i])
	}
	return len(all), nil
}

// strays returns the entries on which no record relies and that are old enough
// to be removed.
func (c *candidate) strays(q *driver.Query, cur *stored) (keys []string) {
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
