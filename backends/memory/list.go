package memory

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// cursor is the position of a listing: a shard, the last listed place in its
// order, and the last place that there was when the listing came to the shard.
// Without that end a program that lists and makes records would never be done.
type cursor struct {
	shard int
	seq   uint64
	end   uint64 // zero before the shard
}

func (c cursor) position() string {
	return string(binary.AppendUvarint(binary.AppendUvarint([]byte{byte(c.shard)}, c.seq), c.end))
}

func parsePosition(position string) (cursor, error) {
	if position == "" {
		return cursor{}, nil
	}
	rest := []byte(position[1:])
	seq, n := binary.Uvarint(rest)
	end, m := binary.Uvarint(rest[max(n, 0):])
	if n <= 0 || m <= 0 || position[0] >= shardCount {
		return cursor{}, driverkit.BadToken()
	}
	return cursor{int(position[0]), seq, end}, nil
}

// Page lists live records, shard by shard, in the order of their creation.
// Records that are created after it came to their shard are left out.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	cur, err := parsePosition(position)
	if err != nil {
		return driver.Page{}, err
	}
	var p driver.Page
	list := listing{q: &q}
	for ; cur.shard < shardCount; cur = (cursor{shard: cur.shard + 1}) {
		if list.full || b.store.shards[cur.shard].page(&list, now, &cur) {
			p.Next = b.gate.Token(&q, cur.position())
			break
		}
	}
	p.Records = list.records
	for i := range p.Records {
		if q.KeysOnly {
			p.Records[i] = p.Records[i].Head()
		} else {
			p.Records[i] = p.Records[i].Clone()
		}
	}
	return p, nil
}

// listing collects the records of a page. They share memory with the store.
type listing struct {
	q       *driver.Query
	records []model.Record
	size    driverkit.PageSize
	full    bool
}

func (l *listing) add(r model.Record) {
	l.records = append(l.records, r)
	l.full = len(l.records) >= l.q.Limit || !l.q.KeysOnly && l.size.Add(&r)
}

// page lists the shard's live records after the cursor until the page is full,
// and moves the cursor. It reports whether the shard has more records.
func (s *shard) page(list *listing, now time.Time, cur *cursor) (more bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if cur.end == 0 {
		cur.end = s.seq
	}
	ser := s.series(list.q.Label, list.q.Value)
	if ser == nil {
		return false
	}
	first := ser.after(cur.seq)
	for _, r := range ser.refs[first:max(first, ser.after(cur.end))] {
		if r.e == nil || r.e.rec.Expired(now) {
			continue
		}
		if list.full {
			return true
		}
		list.add(r.e.rec)
		cur.seq = r.seq
	}
	return false
}

// series returns the order that a listing follows, or nil if it has no records.
func (s *shard) series(label, value string) *series {
	if label == "" {
		return &s.order
	}
	return s.labels.m[labelKey{label, value}]
}

// Count counts live records.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	n := 0
	for i := range b.store.shards {
		n += b.store.shards[i].count(now, q.Label, q.Value)
	}
	return n, nil
}

func (s *shard) count(now time.Time, label, value string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if label == "" {
		n := len(s.records.m) - s.due.expired(0, now.UnixMilli())
		for e := range s.taken.m {
			if e.heap < 0 && !e.removed && e.rec.Expired(now) {
				n--
			}
		}
		return n
	}
	ser := s.labels.m[labelKey{label, value}]
	if ser == nil {
		return 0
	}
	n := 0
	for _, r := range ser.refs {
		if r.e != nil && !r.e.rec.Expired(now) {
			n++
		}
	}
	return n
}
