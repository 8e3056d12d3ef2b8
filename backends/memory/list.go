package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// cursor is what a page token says: the shard, and the last place in its
// order that was shown.
type cursor struct {
	shard int
	seq   uint64
}

func (c cursor) token() string { return fmt.Sprintf("m1.%d.%d", c.shard, c.seq) }

func parseToken(token string) (cursor, error) {
	var c cursor
	if token == "" {
		return c, nil
	}
	// A token must be what token() prints, to the letter.
	if _, err := fmt.Sscanf(token, "m1.%d.%d", &c.shard, &c.seq); err != nil || c.token() != token || c.shard < 0 || c.shard >= shardCount {
		return c, model.Fault(model.ErrInvalid, "no page returned this token", nil)
	}
	return c, nil
}

// Page lists live records, shard by shard, in the order of their creation.
func (b *Backend) Page(ctx context.Context, now time.Time, q expiry.Query) (expiry.Page, error) {
	cur, err := parseToken(q.After)
	if err == nil {
		err = b.checkLabel(q.Label)
	}
	if err == nil {
		err = b.enter(ctx)
	}
	if err != nil {
		return expiry.Page{}, err
	}
	var p expiry.Page
	for ; cur.shard < shardCount; cur = (cursor{shard: cur.shard + 1}) {
		if len(p.Records) >= q.Limit {
			p.Next = cur.token()
			break
		}
		var more bool
		if p.Records, cur.seq, more = b.store.shards[cur.shard].page(p.Records, now, &q, cur.seq); more {
			p.Next = cur.token()
			break
		}
	}
	for i := range p.Records {
		if q.KeysOnly {
			p.Records[i] = p.Records[i].Head()
		} else {
			p.Records[i] = p.Records[i].Clone()
		}
	}
	return p, nil
}

func (b *Backend) checkLabel(name string) error {
	if name != "" && !b.Describe().HasLabel(name) {
		return model.Fault(model.ErrInvalid, "the label is not declared", nil)
	}
	return nil
}

// page appends the shard's live records behind seq until the limit is reached,
// and says whether there may be more in the shard.
func (s *shard) page(out []model.Record, now time.Time, q *expiry.Query, seq uint64) ([]model.Record, uint64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ser := s.series(q.Label, q.Value)
	if ser == nil {
		return out, seq, false
	}
	for _, r := range ser.refs[ser.after(seq):] {
		if r.e == nil || r.e.rec.Expired(now) {
			continue
		}
		if len(out) >= q.Limit {
			return out, seq, true
		}
		out = append(out, r.e.rec)
		seq = r.seq
	}
	return out, seq, false
}

// series is the order that a listing follows; nil where it has no records.
func (s *shard) series(label, value string) *series {
	if label == "" {
		return &s.order
	}
	return s.labels[labelKey{label, value}]
}

// Count counts live records.
func (b *Backend) Count(ctx context.Context, now time.Time, label, value string) (int, error) {
	if err := b.checkLabel(label); err != nil {
		return 0, err
	}
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	n := 0
	for i := range b.store.shards {
		n += b.store.shards[i].count(now, label, value)
	}
	return n, nil
}

func (s *shard) count(now time.Time, label, value string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if label == "" {
		n := len(s.records) - s.due.expired(0, now.UnixMilli())
		for e := range s.taken {
			if e.heap < 0 && !e.removed && e.rec.Expired(now) {
				n--
			}
		}
		return n
	}
	ser := s.labels[labelKey{label, value}]
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
