package s3

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
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
	turn := partsOf(b.waited())
	for after := ""; ; {
		w := turn.next()
		found, last, err := b.candidates(ctx, w, &q, after, maxKeys)
		if err != nil {
			return 0, err
		}
		var strays []string
		_, err = b.eachOf(ctx, now, *w, &q, found, 0, func(c *candidate, f *fetched) {
			if f.live() && f.cur.bears(query.Label, query.Value) {
				n++
			}
			if f.err == nil {
				strays = append(strays, c.strays(&q, f.cur)...)
			}
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

// countAll counts the live records of the whole store. It holds as much memory
// for any number of expired records.
func (b *Backend) countAll(ctx context.Context, now time.Time) (int, error) {
	due := &dueNames{b: b, turn: partsOf(b.waited())}
	w, err := due.read(ctx, now)
	if err != nil {
		return 0, err
	}
	n, turn := 0, partsOf(w)
	for after := ""; ; {
		w := turn.next()
		if !due.next.IsZero() && !due.next.After(w.Now(now)) { // more have expired meanwhile
			if w, err = due.read(ctx, now); err != nil {
				return 0, err
			}
		}
		page, err := b.list(ctx, w, recordsDir+"/", after, maxKeys)
		if err != nil {
			return 0, err
		}
		var unsure []place
		for _, o := range page.objects {
			after = o.rest
			p, ok := placeOfName(o.rest)
			switch {
			case !ok || o.size < minHead:
			case due.names.mayHave(p.name):
				unsure = append(unsure, p)
			default:
				n++
			}
		}
		heads, err := b.fetch(ctx, now, *w, unsure, true, 0)
		if err != nil {
			return 0, err
		}
		for i := range heads {
			if heads[i].err != nil || heads[i].live() {
				n++
			}
		}
		if !page.more {
			return n, nil
		}
	}
}

// dueNames are the names of the records that have an entry by expiry in the past.
// Every expired record has one, and so have some others.
type dueNames struct {
	b     *Backend
	turn  *parts
	names names
	after string    // where the listing goes on
	next  time.Time // the first expiry that was not due yet; zero if there was none
}

// read adds the names that have become due. It returns what the call has waited
// for until then.
func (d *dueNames) read(ctx context.Context, now time.Time) (*driverkit.Waited, error) {
	for {
		w := d.turn.next()
		entries, last, next, err := d.b.readDue(ctx, w, now, d.after, maxKeys)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			d.names.add(e.p.name)
			d.after = strings.TrimPrefix(e.key, dueDir+"/")
		}
		if d.next = next; last == "" {
			return w, nil
		}
		d.after = last
	}
}

// names is a set of names with two bits for each, in at most a mebibyte. It may
// also have a name whose bits belong to others.
type names [256]*[4 << 10]byte

// bits returns where the bits of a name are.
func (s *names) bits(name string) [2]uint32 {
	sum := sha256.Sum256([]byte(name))
	return [2]uint32{binary.BigEndian.Uint32(sum[:]), binary.BigEndian.Uint32(sum[4:])}
}

func (s *names) add(name string) {
	for _, at := range s.bits(name) {
		part := &s[at>>24]
		if *part == nil {
			*part = new([4 << 10]byte)
		}
		(*part)[at>>12&(4<<10-1)] |= 1 << (at & 7)
	}
}

func (s *names) mayHave(name string) bool {
	for _, at := range s.bits(name) {
		if part := s[at>>24]; part == nil || part[at>>12&(4<<10-1)]&(1<<(at&7)) == 0 {
			return false
		}
	}
	return true
}
