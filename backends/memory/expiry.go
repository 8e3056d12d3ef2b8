package memory

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// maxHold is the maximum number of records that a sweep handles while it holds
// a lock.
const maxHold = 64

// expiryHeap has the entry that expires first at its top. It holds the times
// too, so that a search for a place reads no entries.
type expiryHeap []dated

type dated struct {
	at int64 // milliseconds
	e  *entry
}

func (h *expiryHeap) Len() int           { return len(*h) }
func (h *expiryHeap) Less(i, j int) bool { return (*h)[i].at < (*h)[j].at }

func (h *expiryHeap) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].e.heap, s[j].e.heap = int32(i), int32(j)
}

// Push and Pop complete heap.Interface. Nothing calls them: put and take work
// without them, because they would allocate.
func (h *expiryHeap) Push(any) {}
func (h *expiryHeap) Pop() any { return nil }

func (h *expiryHeap) put(e *entry, at int64) {
	last := len(*h)
	e.heap = int32(last)
	*h = append(*h, dated{at, e})
	heap.Fix(h, last)
}

func (h *expiryHeap) move(e *entry, at int64) {
	(*h)[e.heap].at = at
	heap.Fix(h, int(e.heap))
}

func (h *expiryHeap) take(e *entry) {
	i, last := int(e.heap), len(*h)-1
	h.Swap(i, last)
	(*h)[last] = dated{}
	*h = (*h)[:last]
	if i < last {
		heap.Fix(h, i)
	}
	e.heap = -1
	if cap(*h) > sparse && last < cap(*h)/4 {
		*h = append(make(expiryHeap, 0, 2*last), *h...)
	}
}

// expired counts the due entries at and below index i. It visits only them and
// their children.
func (h *expiryHeap) expired(i int, at int64) int {
	if i >= len(*h) || (*h)[i].at > at {
		return 0
	}
	return 1 + h.expired(2*i+1, at) + h.expired(2*i+2, at)
}

// reschedule moves the entry to its place in the heap.
func (s *shard) reschedule(e *entry) {
	switch at := e.rec.ExpiresAt; {
	case at.IsZero():
		s.unschedule(e)
	case e.heap < 0:
		s.due.put(e, at.UnixMilli())
	default:
		if ms := at.UnixMilli(); s.due[e.heap].at != ms {
			s.due.move(e, ms)
		}
	}
}

func (s *shard) unschedule(e *entry) {
	if e.heap >= 0 {
		s.due.take(e)
	}
}

// Touch changes the expiry of a live record.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	rec, err := b.touch(now, &t)
	return rec.Head(), err
}

func (b *Backend) touch(now time.Time, t *driver.Touch) (model.Record, error) {
	s := b.store.shard(t.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records.m[t.ID]
	if err := t.Judge(now, e.stored()); err != nil {
		return model.Record{}, err
	}
	e.rec.ExpiresAt = t.Result(e.rec.ExpiresAt)
	s.reschedule(e)
	return e.rec, nil
}

// DeleteExpired removes the records that had expired at s.Before. It starts at
// a random shard, so that several sweepers do not follow each other.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	shard := rand.IntN(shardCount) //nolint:gosec // any shard is a good start
	left := shardCount
	return tally.Run(ctx, func(int) (more bool, err error) {
		err = b.store.shards[shard%shardCount].sweep(ctx, s.Before, tally)
		shard++
		left--
		return left > 0, err
	})
}

// sweep removes the shard's expired records, until the limit is reached.
func (s *shard) sweep(ctx context.Context, before time.Time, tally *driverkit.Tally) error {
	// What stays goes back into the heap even if OnExpire panics.
	var stays []*entry
	defer func() { s.putBack(stays) }()
	for tally.Left() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !tally.Announces() {
			n, more := s.dropDue(before.UnixMilli(), min(maxHold, tally.Left()))
			if tally.Removed(n); !more {
				return nil
			}
			continue
		}
		due := s.takeDue(before.UnixMilli(), min(maxHold, tally.Left()))
		if len(due) == 0 {
			return nil
		}
		refused := len(stays)
		for i := range due {
			stays = append(stays, due[i].e)
		}
		accepted, kept := due[:0], stays[:refused:refused]
		for _, d := range due {
			if tally.Accepts(&d.rec) {
				accepted = append(accepted, d)
			} else {
				kept = append(kept, d.e)
			}
		}
		stays = kept
		tally.Removed(s.dropTaken(accepted))
	}
	return nil
}

// reportHold tells the test how many records were handled under one hold of the
// lock.
func (s *shard) reportHold(records int) {
	if s.onHold != nil {
		s.onHold(records)
	}
}

// dropDue removes up to n due entries and reports whether more may be due.
func (s *shard) dropDue(at int64, n int) (removed int, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.reportHold(removed) }()
	for removed < n && len(s.due) > 0 && s.due[0].at <= at {
		s.drop(s.due[0].e)
		removed++
	}
	return removed, removed == n
}

// taken is a due entry that a sweep took out of the heap to announce it.
type taken struct {
	e   *entry
	rec model.Record // as it was then, without its value
}

// takeDue takes up to n due entries out of the heap, so that no other sweep
// finds them.
func (s *shard) takeDue(at int64, n int) []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []taken
	defer func() { s.reportHold(len(out)) }()
	for len(out) < n && len(s.due) > 0 && s.due[0].at <= at {
		e := s.due[0].e
		s.due.take(e)
		s.taken.put(e, struct{}{})
		rec := e.rec
		rec.Value = nil // a write that replaces it lets it go
		out = append(out, taken{e, rec})
	}
	return out
}

// dropTaken removes the entries that have not changed since they were taken. It
// returns their number.
func (s *shard) dropTaken(list []taken) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reportHold(len(list))
	n := 0
	for _, t := range list {
		s.taken.remove(t.e)
		switch {
		case t.e.removed:
		case t.e.rec.Revision == t.rec.Revision && t.e.rec.ExpiresAt.Equal(t.rec.ExpiresAt):
			s.drop(t.e)
			n++
		default:
			s.reschedule(t.e)
		}
	}
	return n
}

// putBack returns entries that a sweep does not remove to the heap.
func (s *shard) putBack(list []*entry) {
	for len(list) > 0 {
		n := min(maxHold, len(list))
		s.mu.Lock()
		s.reportHold(n)
		for _, e := range list[:n] {
			s.taken.remove(e)
			if !e.removed {
				s.reschedule(e)
			}
		}
		s.mu.Unlock()
		list = list[n:]
	}
}
