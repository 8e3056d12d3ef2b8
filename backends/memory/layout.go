package memory

import (
	"crypto/rand"
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

// Space holds stores by name, as a server would. The zero Space is empty.
type Space struct {
	mu     sync.Mutex
	stores map[string]*store
}

// NewSpace returns an empty Space.
func NewSpace() *Space { return new(Space) }

func (s *Space) open(name string) *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stores[name]
	if st == nil {
		st = &store{seed: maphash.MakeSeed(), name: rand.Text()}
		for i := range st.shards {
			st.shards[i].reset()
		}
		if s.stores == nil {
			s.stores = map[string]*store{}
		}
		s.stores[strings.Clone(name)] = st
	}
	return st
}

type store struct {
	seed   maphash.Seed
	name   string // unlike that of any other store, in any Space
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
	seq     uint64 // its place in the shard's order, and in those of its labels; zero means a new entry
	labels  []*series
	heap    int32 // index in the shard's heap; -1 means that it is not there
	removed bool
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
		s.seq++
		e.seq = s.seq
		s.order.insert(e)
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

// relabel moves the entry to the series of its labels.
func (s *shard) relabel(e *entry) {
	kept := make([]*series, 0, len(e.rec.Labels))
	for _, ser := range e.labels {
		if e.rec.Labels[ser.key.name] == ser.key.value {
			kept = append(kept, ser)
		} else {
			s.leave(ser, e)
		}
	}
	old := len(kept)
	for name, value := range e.rec.Labels {
		in := func(ser *series) bool { return ser.key.name == name }
		if slices.ContainsFunc(kept[:old], in) {
			continue
		}
		key := labelKey{name, value}
		ser := s.labels.m[key]
		if ser == nil {
			ser = &series{key: key}
			s.labels.put(key, ser)
		}
		ser.insert(e)
		kept = append(kept, ser)
	}
	e.labels = kept
}

func (s *shard) leave(ser *series, e *entry) {
	if ser.remove(e.seq); ser.live() == 0 {
		s.labels.remove(ser.key)
	}
}

// drop removes an entry with all its index entries.
func (s *shard) drop(e *entry) {
	e.removed = true
	s.records.remove(e.rec.ID)
	s.order.remove(e.seq)
	for _, ser := range e.labels {
		s.leave(ser, e)
	}
	e.labels = nil
	s.unschedule(e)
}

// series has entries in the order of their creation. So a record that loses a
// label value and gets it again is back in its place: a listing never meets it
// twice.
type series struct {
	key  labelKey // empty for the order of all records
	refs []ref
	dead int
}

type ref struct {
	seq uint64
	e   *entry // nil if removed
}

// insert adds the entry in its place, which mostly is the end.
func (s *series) insert(e *entry) {
	at := s.after(e.seq)
	if at > 0 && s.refs[at-1].seq == e.seq { // the gap that it left
		s.refs[at-1].e = e
		s.dead--
		return
	}
	s.refs = slices.Insert(s.refs, at, ref{e.seq, e})
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
