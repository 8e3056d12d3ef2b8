package memory

import (
	"hash/maphash"
	"maps"
	"slices"
	"sort"
	"strings"
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
		s.stores[strings.Clone(name)] = st
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
	records table[string, *entry]
	due     expiryHeap
	taken   table[*entry, struct{}] // out of the heap while a sweep announces them
	order   series
	labels  table[labelKey, *series]
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
	seq    uint64
}

func (s *shard) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.records.m {
		e.removed = true
	}
	s.records = newTable[string, *entry](0)
	s.due = nil
	s.taken = newTable[*entry, struct{}](0)
	s.order = series{}
	s.labels = newTable[labelKey, *series](0)
}

// put stores a record in an entry. The entry may be new.
func (s *shard) put(e *entry, rec *model.Record) {
	if e.seq == 0 {
		e.heap = -1
		e.seq = s.append(&s.order, e)
		s.records.put(rec.ID, e)
	}
	relabel := !sameLabels(e.rec.Labels, rec.Labels)
	e.rec = *rec
	if relabel {
		s.relabel(e)
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

// relabel moves the entry to the series of its labels. It keeps its place in
// the series of each label that did not change.
func (s *shard) relabel(e *entry) {
	kept := make([]membership, 0, len(e.rec.Labels))
	for _, m := range e.labels {
		if e.rec.Labels[m.series.key.name] == m.series.key.value {
			kept = append(kept, m)
		} else {
			s.leave(m)
		}
	}
	old := len(kept)
	for name, value := range e.rec.Labels {
		in := func(m membership) bool { return m.series.key.name == name }
		if slices.ContainsFunc(kept[:old], in) {
			continue
		}
		key := labelKey{name, value}
		ser := s.labels.m[key]
		if ser == nil {
			ser = &series{key: key}
			s.labels.put(key, ser)
		}
		kept = append(kept, membership{ser, s.append(ser, e)})
	}
	e.labels = kept
}

func (s *shard) leave(m membership) {
	if m.series.remove(m.seq); m.series.live() == 0 {
		s.labels.remove(m.series.key)
	}
}

// drop removes an entry with all its index entries.
func (s *shard) drop(e *entry) {
	e.removed = true
	s.records.remove(e.rec.ID)
	s.order.remove(e.seq)
	for _, m := range e.labels {
		s.leave(m)
	}
	e.labels = nil
	s.unschedule(e)
}

// series is an order that grows only at its end. A record keeps its place in
// every write.
type series struct {
	key  labelKey // empty for the order of all records
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

// sparse is the size below which nothing gives its room back.
const sparse = 64

// table is a map that gives its room back: a Go map never shrinks. It is copied
// when three quarters of it are gone, which costs little on average.
type table[K comparable, V any] struct {
	m    map[K]V
	peak int // the largest size since the map was made
}

func newTable[K comparable, V any](size int) table[K, V] {
	return table[K, V]{m: make(map[K]V, size)}
}

func (t *table[K, V]) put(k K, v V) {
	t.m[k] = v
	t.peak = max(t.peak, len(t.m))
}

func (t *table[K, V]) remove(k K) {
	delete(t.m, k)
	if t.peak < sparse || len(t.m) > t.peak/4 {
		return
	}
	kept := newTable[K, V](len(t.m))
	maps.Copy(kept.m, t.m)
	kept.peak = len(t.m)
	*t = kept
}
