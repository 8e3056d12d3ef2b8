package conformance_test

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// mapStore is a store of a map backend: records by id, and an index of ids by
// label. Each access to it is safe. Whether the accesses of one call belong
// together is up to the backend.
type mapStore struct {
	calls sync.Mutex // held by a call, unless it is broken

	mu    sync.Mutex // held by one access
	recs  map[string]model.Record
	index map[string]map[string]bool
	due   map[string]time.Time // expiries by id
	fault fault
}

func newMapStore(f fault) *mapStore {
	return &mapStore{recs: map[string]model.Record{}, index: map[string]map[string]bool{}, due: map[string]time.Time{}, fault: f}
}

// key returns the index key of a label.
func (s *mapStore) key(name, value string) string {
	if s.fault == nameless {
		return value
	}
	return name + "\x00" + value
}

// isDue reports whether the record is due by the index of expiries.
func (s *mapStore) isDue(id string, before time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.due[id]
	switch {
	case !ok:
		return false
	case s.fault == nanoseconds:
		return at.UnixNano() <= before.UnixNano()
	case s.fault == seconds:
		return uint32(at.Unix()) <= uint32(before.Unix())
	}
	return !at.After(before)
}

// schedule sets the record's entry in the index of expiries.
func (s *mapStore) schedule(id string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.IsZero() {
		delete(s.due, id)
		return
	}
	if have, ok := s.due[id]; s.fault == smallSteps && ok && at.Sub(have).Abs() < time.Second {
		return
	}
	s.due[strings.Clone(id)] = at
}

func (s *mapStore) load(id string) *model.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.recs[id]; ok {
		return &r
	}
	return nil
}

func (s *mapStore) store(r model.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ID, r.Encoding = strings.Clone(r.ID), strings.Clone(r.Encoding)
	s.recs[r.ID] = r
}

// owned returns a copy of the record, its texts included.
func owned(r model.Record) model.Record {
	r = r.Clone()
	labels := r.Labels
	r.Labels = map[string]string{}
	for name, value := range labels {
		r.Labels[strings.Clone(name)] = strings.Clone(value)
	}
	return r
}

func (s *mapStore) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recs, id)
}

// reindex replaces the index entries of a record. Either may be nil.
func (s *mapStore) reindex(old, next *model.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == namesEntries && next == nil {
		return
	}
	if old != nil {
		for name, value := range old.Labels {
			if s.fault != oneLabelMoves || name != "state" {
				delete(s.index[s.key(name, value)], old.ID)
			}
		}
	}
	if next == nil {
		return
	}
	for name, value := range next.Labels {
		if s.fault == oneLabel && name == "state" {
			continue
		}
		key := s.key(name, value)
		if s.index[key] == nil {
			s.index[key] = map[string]bool{}
		}
		s.index[key][strings.Clone(next.ID)] = true
	}
}

// ids returns the ids of a listing, sorted.
func (s *mapStore) ids(label, value string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if label == "" {
		return slices.Sorted(maps.Keys(s.recs))
	}
	if s.fault == separated {
		var out []string
		for key, ids := range s.index {
			for id := range ids {
				if rest, ok := strings.CutPrefix(key+":"+id, label+"\x00"+value+":"); ok {
					out = append(out, rest)
				}
			}
		}
		slices.Sort(out)
		return out
	}
	return slices.Sorted(maps.Keys(s.index[s.key(label, value)]))
}

// mapBackend is a backend on a map, as anybody would write it first: it has no
// optional interface. One kind of call may be broken.
type mapBackend struct {
	gate  *driverkit.Gate
	s     *mapStore
	op    string // the broken kind of call: "create", "touch", …
	fault fault
}

// fault is what is wrong with the broken kind of call.
type fault int

const (
	right            fault = iota
	unlocked               // the call holds no lock
	lateIndex              // it changes the index after it let the lock go
	earlyLabels            // it stores the labels that it read before it took the lock
	earlyExpiry            // the same with the expiry
	earlyValue             // the same with the value
	underLock              // it announces under its lock
	moreForever            // sweeps always report more
	pagesForever           // listings have no end
	nameless               // index keys lack the label's name
	oneLabel               // the second label is not indexed
	oneLabelMoves          // old entries of the second label stay
	separated              // the index joins value and id by a colon, and splits at the first
	nanoseconds            // the index of expiries has nanoseconds, 64 bits
	seconds                // the index of expiries has seconds, 32 bits
	keepDrops              // an update that keeps the expiry drops its index entry
	sameLabelsStay         // an update with the same labels leaves the index of expiries
	machineClock           // get is by the later of two clocks
	knownDecides           // an update is compared with any known revision
	expiredConflicts       // a compare-and-set of an expired record is a conflict
	localTime              // get returns the local time
	namesEntries           // removals leave the entries of labels, and listings name them corrupt
	quotes                 // a conflict quotes the value
	smallSteps             // the index of expiries leaves out moves by less than a second
)

// is reports whether the kind of call has the fault.
func (b *mapBackend) is(op string, f fault) bool { return b.op == op && b.fault == f }

// begin takes the lock of a call and returns how to let it go.
func (b *mapBackend) begin(op string) func() {
	if b.is(op, unlocked) {
		return func() {}
	}
	b.s.calls.Lock()
	return b.s.calls.Unlock
}

func (b *mapBackend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	defer b.begin("get")()
	if m := time.Now(); b.fault == machineClock && m.After(now) {
		now = m
	}
	cur := b.s.load(g.ID)
	if err := driver.Judge(now, cur, driver.IfPresent, model.Revision{}); err != nil {
		return model.Record{}, err
	}
	if b.fault == localTime {
		cur.ExpiresAt = cur.ExpiresAt.Local()
	}
	return cur.Clone(), nil
}

// replace stores next, or removes cur if next is nil, and then changes the
// index. It lets the lock of the call go.
func (b *mapBackend) replace(op string, cur, next *model.Record, end func()) {
	if next == nil {
		b.s.remove(cur.ID)
		b.s.schedule(cur.ID, time.Time{})
	} else {
		b.s.store(*next)
		if cur == nil || op == "touch" || b.fault != sameLabelsStay || !maps.Equal(cur.Labels, next.Labels) {
			b.s.schedule(next.ID, next.ExpiresAt)
		}
	}
	if b.is(op, lateIndex) {
		end()
		b.s.reindex(cur, next)
		return
	}
	b.s.reindex(cur, next)
	end()
}

func (b *mapBackend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	op := map[driver.Condition]string{driver.IfAbsent: "create", driver.IfPresent: "update", driver.IfMatch: "compare-and-set", driver.IfAny: "upsert"}[w.Cond]
	if b.fault == knownDecides && w.Cond == driver.IfPresent && !w.Known.Revision.IsZero() {
		w.Cond = driver.IfMatch
	}
	early := b.s.load(w.Record.ID)
	end := b.begin(op)
	cur := b.s.load(w.Record.ID)
	err := w.Judge(now, cur)
	if b.fault == expiredConflicts && cur != nil && w.Cond == driver.IfMatch && cur.Revision != w.Known.Revision {
		err = model.ErrConflict
	}
	if err != nil {
		end()
		if b.fault == quotes && cur != nil {
			err = model.NewError(model.Kind(err), "it has the value "+string(cur.Value), nil)
		}
		if model.Kind(err) == model.ErrConflict {
			return cur.Clone(), err
		}
		return model.Record{}, err
	}
	next := w.Result(cur)
	next = owned(next)
	if early != nil && w.Keep.Labels && b.is(op, earlyLabels) {
		next.Labels = maps.Clone(early.Labels)
	}
	if early != nil && w.Keep.Expiry && b.is(op, earlyExpiry) {
		next.ExpiresAt = early.ExpiresAt
	}
	b.replace(op, cur, &next, end)
	if b.fault == keepDrops && w.Keep.Expiry {
		b.s.schedule(next.ID, time.Time{})
	}
	return next.Clone().Head(), nil
}

func (b *mapBackend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	early := b.s.load(t.ID)
	end := b.begin("touch")
	cur := b.s.load(t.ID)
	if err := t.Judge(now, cur); err != nil {
		end()
		return model.Record{}, err
	}
	next := *cur
	next.ExpiresAt = t.Result(cur.ExpiresAt)
	if early != nil && b.is("touch", earlyLabels) {
		next.Labels = early.Labels
	}
	if early != nil && b.is("touch", earlyValue) {
		next.Value = early.Value
	}
	if early != nil && b.is("touch", earlyExpiry) {
		next.ExpiresAt = t.Result(early.ExpiresAt)
	}
	b.replace("touch", cur, &next, end)
	return next.Clone().Head(), nil
}

func (b *mapBackend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	op := "delete"
	if d.Cond == driver.IfMatch {
		op = "delete at"
	}
	end := b.begin(op)
	cur := b.s.load(d.ID)
	if err := driver.Judge(now, cur, d.Cond, d.Known.Revision); err != nil {
		end()
		return err
	}
	b.replace(op, cur, nil, end)
	return nil
}

func (b *mapBackend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	defer b.begin("page")()
	var p driver.Page
	var size driverkit.PageSize
	full, last := false, ""
	for _, id := range b.s.ids(q.Label, q.Value) {
		r := b.s.load(id)
		if b.fault == namesEntries && r == nil && id > after {
			p.Corrupt = append(p.Corrupt, id)
		}
		if id <= after || r == nil || r.Expired(now) {
			continue
		}
		if full {
			p.Next = b.gate.Token(&q, last)
			break
		}
		if last = id; q.KeysOnly {
			r.Value = nil
		}
		p.Records = append(p.Records, r.Clone())
		full = len(p.Records) == q.Limit || size.Add(r)
	}
	if b.fault == pagesForever && p.Next == "" {
		past := "\U0010ffff"
		if after == past {
			past += past
		}
		p.Next = b.gate.Token(&q, past)
	}
	return p, nil
}

func (b *mapBackend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	if b.fault == underLock {
		defer b.begin("announce")()
	}
	var out driver.Swept
	for _, id := range b.s.ids("", "") {
		if out.Removed == s.Limit {
			out.More = true
			break
		}
		r := b.s.load(id)
		if r == nil || !b.s.isDue(id, s.Before) || !tally.Accepts(headOf(r)) {
			continue
		}
		if b.fault == underLock || b.is("sweep", unlocked) {
			b.replace("sweep", r, nil, func() {})
			out.Removed++
			continue
		}
		end := b.begin("sweep")
		cur := b.s.load(id)
		if cur == nil || cur.Revision != r.Revision || !cur.ExpiresAt.Equal(r.ExpiresAt) || !b.s.isDue(id, s.Before) {
			end()
			continue
		}
		b.replace("sweep", cur, nil, end)
		out.Removed++
	}
	out.More = out.More || b.fault == moreForever
	return out, ctx.Err()
}

func headOf(r *model.Record) *model.Record {
	head := r.Clone().Head()
	return &head
}

func (b *mapBackend) Describe() driver.Description { return b.gate.Describe() }
func (b *mapBackend) Close() error                 { return b.gate.Close() }

// deletesStorage is the kind of call that only a managedMap has.
const deletesStorage = "delete storage"

// managedMap is a map backend that can delete its storage.
type managedMap struct{ *mapBackend }

func (b managedMap) CreateStorage(ctx context.Context) error { return b.gate.Enter(ctx) }

func (b managedMap) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	end := b.begin(deletesStorage)
	b.s.mu.Lock()
	clear(b.s.recs)
	b.s.mu.Unlock()
	if b.is(deletesStorage, lateIndex) {
		end()
		end = func() {}
		runtime.Gosched() // an index of many entries takes its time, in which others run
	}
	b.s.mu.Lock()
	clear(b.s.index)
	clear(b.s.due)
	b.s.mu.Unlock()
	end()
	return nil
}

// mapHarness opens map backends of which one kind of call has the fault.
func mapHarness(op string, f fault) conformance.Harness {
	var mu sync.Mutex
	stores := map[string]*mapStore{}
	h := conformance.Harness{Open: func(_ testing.TB, name string) driver.ModelExpirySupport {
		mu.Lock()
		defer mu.Unlock()
		if stores[name] == nil {
			stores[name] = newMapStore(f)
		}
		gate := driverkit.NewGate(driver.Description{Backend: "map", Labels: []string{"principal", "state"}}, name)
		b := &mapBackend{gate: gate, s: stores[name], op: op, fault: f}
		if op == deletesStorage {
			return managedMap{b}
		}
		return b
	}}
	return h.Patience(100 * time.Millisecond)
}
