package s3

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
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
	w := b.waited()
	for after := ""; ; {
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
	w := b.waited()
	due, err := b.due(ctx, now, w)
	if err != nil {
		return 0, err
	}
	n := 0
	for after := ""; ; {
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
			case due.mayHave(p.name):
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

// due returns the names of the records that have an entry by expiry in the past.
// Every expired record has one, and so have some others.
func (b *Backend) due(ctx context.Context, now time.Time, w *driverkit.Waited) (*names, error) {
	out := &names{}
	for after := ""; ; {
		entries, last, err := b.readDue(ctx, w, now, after, maxKeys)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out.add(e.p.name)
		}
		if after = last; after == "" {
			return out, nil
		}
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
