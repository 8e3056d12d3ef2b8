package memory

import (
	"hash/maphash"
	"sort"
	"sync"

	"github.com/sojourn-go/sojourn/model"
)

// shardCount is a power of two.
const shardCount = 64

// Space holds stores by name, as a server would. The zero value is not usable;
// NewSpace makes one.
type Space struct {
	mu     sync.Mutex
	stores map[string]*store
}

// NewSpace returns an empty Space.
func NewSpace() *Space { return &Space{stores: map[string]*store{}} }

func (s *Space) open(name string) *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stores[name]
	if st == nil {
		st = &store{seed: maphash.MakeSeed()}
		for i := range st.shards {
			st.shards[i].reset()
		}
		s.stores[name] = st
	}
	return st
}

type store struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

func (s *store) shard(id string) *shard {
	return &s.shards[maphash.String(s.seed, id)%shardCount]
}

// shard is a part of the store under one lock.
type shard struct {
	mu      sync.RWMutex
	onHold  func(records int) // nil, or a test's count of each hold of a sweep
	records map[string]*entry
	due     expiryHeap
	taken   map[*entry]struct{} // out of the heap while a sweep announces them
	order   series
	labels  map[labelKey]*series
	seq     uint64 // never reset, so that no page token becomes ambiguous
}

type labelKey struct{ name, value string }

// entry is a stored record. Its value and labels are never changed in place,
// only replaced, so that they may be read after the lock is released.
type entry struct {
	rec     model.Record
	seq     uint64 // its place in the shard's order; zero means a new entry
	labels  []membership
	heap    int32 // index in the shard's heap; -1 means that it is not there
	removed bool
}

// membership is an entry's place in the series of a label value.
type membership struct {
	series *series
	key    labelKey
	seq    uint64
}

func (s *shard) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.records {
		e.removed = true
	}
	s.records = map[string]*entry{}
	s.due = nil
	s.taken = map[*entry]struct{}{}
	s.order = series{}
	s.labels = map[labelKey]*series{}
}

// put stores a record in an entry. The entry may be new.
func (s *shard) put(e *entry, rec *model.Record) {
	if e.seq == 0 {
		e.heap = -1
		e.seq = s.append(&s.order, e)
		s.records[rec.ID] = e
	}
	relabel := !sameLabels(e.rec.Labels, rec.Labels)
	e.rec = *rec
	if relabel {
		s.unlabel(e)
		s.label(e)
	}
	s.reschedule(e)
}

// sameLabels reports whether a and b have the same names and values.
func sameLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func (s *shard) label(e *entry) {
	for name, value := range e.rec.Labels {
		key := labelKey{name, value}
		ser := s.labels[key]
		if ser == nil {
			ser = &series{}
			s.labels[key] = ser
		}
		e.labels = append(e.labels, membership{ser, key, s.append(ser, e)})
	}
}

func (s *shard) unlabel(e *entry) {
	for _, b := range e.labels {
		if b.series.remove(b.seq); b.series.live() == 0 {
			delete(s.labels, b.key)
		}
	}
	e.labels = nil
}

// drop removes an entry with all its index entries.
func (s *shard) drop(e *entry) {
	e.removed = true
	delete(s.records, e.rec.ID)
	s.order.remove(e.seq)
	s.unlabel(e)
	s.unschedule(e)
}

// series is an order that grows only at its end. A record keeps its place in
// every write.
type series struct {
	refs []ref
	dead int
}

type ref struct {
	seq uint64
	e   *entry // nil if removed
}

// append adds the entry at the end of a series and returns its place.
func (s *shard) append(to *series, e *entry) uint64 {
	s.seq++
	to.refs = append(to.refs, ref{s.seq, e})
	return s.seq
}

// after returns the index of the first place after seq.
func (s *series) after(seq uint64) int {
	return sort.Search(len(s.refs), func(i int) bool { return s.refs[i].seq > seq })
}

// remove leaves a gap. It closes all gaps when they are most of the series,
// which costs little on average.
func (s *series) remove(seq uint64) {
	s.refs[s.after(seq)-1].e = nil
	s.dead++
	if s.dead < 32 || s.dead*2 < len(s.refs) {
		return
	}
	kept := make([]ref, 0, len(s.refs)-s.dead)
	for _, r := range s.refs {
		if r.e != nil {
			kept = append(kept, r)
		}
	}
	s.refs, s.dead = kept, 0
}

func (s *series) live() int { return len(s.refs) - s.dead }
