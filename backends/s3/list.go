package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Page lists live records in the order of their names: one ListObjectsV2 and
// then the records, 16 at a time. Only the heads are read for KeysOnly. A
// listing by label lists the label's entries; what an entry says is checked
// against its record.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	switch {
	case q.Limit < 1:
		return driver.Page{}, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	case q.Label == "" && q.Value != "":
		return driver.Page{}, model.NewError(model.ErrInvalid, "a label's value without its name", nil)
	}
	if err := b.checkLabel(q.Label); err != nil {
		return driver.Page{}, err
	}
	after, err := b.position(&q)
	if err != nil {
		return driver.Page{}, err
	}
	if err := b.enter(ctx); err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	// A stretch without a record is passed over, up to a point.
	for range emptyLists {
		if after, err = b.pagePart(ctx, now, &q, after, &page); err != nil {
			return driver.Page{}, err
		}
		if after == "" || len(page.Records)+len(page.Corrupt) > 0 {
			break
		}
	}
	page.Next = b.token(&q, after)
	return page, nil
}

const (
	// emptyLists is how many stretches without a record one page passes over.
	emptyLists = 16
	// spare is how many names beyond its limit a page lists, for those that turn
	// out to be no live record.
	spare = 32
)

func (b *Backend) checkLabel(label string) error {
	if label != "" && !slices.Contains(b.labels, label) {
		return model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	return nil
}

// candidate is a name that a listing has, with its label entries.
type candidate struct {
	place
	last    string // a listing goes on after it
	entries []labelEntry
}

type labelEntry struct {
	key   string
	stamp stamp
	old   bool
}

// pagePart lists names and reads their records until the page is full. It
// returns where to go on; empty at the end.
func (b *Backend) pagePart(ctx context.Context, now time.Time, q *driver.Query, after string, page *driver.Page) (string, error) {
	found, last, err := b.candidates(ctx, q, after, min(q.Limit, maxKeys)+spare)
	if err != nil {
		return "", err
	}
	var strays []string
	defer func() {
		if len(strays) > 0 {
			_ = b.deleteMany(ctx, strays) // what fails is met again
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
				page.Corrupt = append(page.Corrupt, c.known())
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

// candidates lists names after another, and where to go on; empty at the end.
// Tombstones are left out, as far as the listing shows them.
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
		// Many writes may have made entries for one record: it is listed once.
		if len(found) == 0 || found[len(found)-1].name != p.name {
			found = append(found, candidate{place: p, last: afterEntries(p.name)})
		}
		c := &found[len(found)-1]
		c.entries = append(c.entries, labelEntry{folder + o.rest, s, b.outlived(&page, &o)})
		last = max(last, c.last)
	}
	if !page.more {
		last = ""
	}
	return found, last, nil
}

// isTombstone recognises a tombstone without reading it.
func (o *listed) isTombstone() bool { return o.size == tombstoneSize && o.etag == tombstoneETag }

// eachOf reads the candidates and shows what is stored, in order; nil for one
// that cannot be read.
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

// strays are the entries that no record relies on, and that no write under way
// can have made.
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

// Count counts live records. By label it lists the label's entries and reads
// the heads of their records. Else it lists the names of all records, 1,000 with
// each request, and subtracts those that have expired: their heads alone are
// read. An object of a record's name that is damaged is counted too then, unless
// it is shorter than any record.
func (b *Backend) Count(ctx context.Context, now time.Time, query driver.Query) (int, error) {
	if err := b.checkLabel(query.Label); err != nil {
		return 0, err
	}
	if err := b.enter(ctx); err != nil {
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

// expired has the ETag of each record that has expired and was not swept, by
// name.
func (b *Backend) expired(ctx context.Context, now time.Time) (map[string]string, error) {
	out := map[string]string{}
	for after := ""; ; {
		entries, last, err := b.readDue(ctx, now, after, maxKeys)
		if err != nil {
			return nil, err
		}
		if err := b.lookAll(ctx, entries); err != nil {
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

// Tokens hold a version, where the listing goes on, and a checksum over that and
// what the listing is of.
const tokenVersion = 1

func (b *Backend) token(q *driver.Query, last string) string {
	if last == "" {
		return ""
	}
	raw := append([]byte{tokenVersion}, last...)
	raw = binary.BigEndian.AppendUint32(raw, b.tokenSum(q, raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (b *Backend) tokenSum(q *driver.Query, raw []byte) uint32 {
	sum := crc32.NewIEEE()
	for _, part := range []string{b.bucket, b.prefix, q.Label, q.Value} {
		_, _ = sum.Write(append([]byte(part), 0))
	}
	_, _ = sum.Write(raw)
	return sum.Sum32()
}

// position is where the page begins: after that name.
func (b *Backend) position(q *driver.Query) (string, error) {
	if q.After == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || len(raw) < 6 || raw[0] != tokenVersion {
		return "", badToken()
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if binary.BigEndian.Uint32(sum) != b.tokenSum(q, body) {
		return "", badToken()
	}
	return string(body[1:]), nil
}

func badToken() error { return model.NewError(model.ErrInvalid, "no page token of this listing", nil) }
