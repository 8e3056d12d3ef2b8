package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

var later = drivertest.Now.Add(time.Hour)

func open(t *testing.T) *Backend {
	t.Helper()
	b, err := New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill stores n records of the principal ann.
func fill(t *testing.T, b *Backend, n int, ttl time.Duration) {
	t.Helper()
	recs := make([]model.Record, n)
	for i := range recs {
		recs[i] = drivertest.Record(fmt.Sprint("ann-", i), "ann", ttl)
	}
	drivertest.Seed(t, b, recs...)
}

// drain deletes the first n records that fill stored.
func drain(t *testing.T, b *Backend, n int) {
	t.Helper()
	for i := range n {
		if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: fmt.Sprint("ann-", i), Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
	}
}

// sweep removes what expires within an hour and checks the number of removals.
func sweep(t *testing.T, b *Backend, want int, onExpire func(model.Record) error) {
	t.Helper()
	n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 100_000, OnExpire: onExpire})
	if err != nil || n != (driver.Swept{Removed: want}) {
		t.Fatalf("swept %+v, %v; want %d removed", n, err, want)
	}
}

func accept(model.Record) error { return nil }

// Left counts the records and index entries of the store.
func Left(s *Space, name string) (n int) {
	st := s.open(name)
	for i := range st.shards {
		n += held(&st.shards[i])
	}
	return n
}

// held counts the records of a shard and what its indexes have of them.
func held(s *shard) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := len(s.records.m) + len(s.due) + len(s.taken.m) + s.order.live()
	for _, ser := range s.labels.m {
		n += max(1, ser.live()) // none of them is empty
	}
	return n
}

// Value returns the value of a stored record. Put replaces it.
func Value(s *Space, name, id string) (value []byte, put func([]byte)) {
	sh := s.open(name).shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return bytes.Clone(sh.records.m[id].rec.Value), func(data []byte) {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		sh.records.m[id].rec.Value = bytes.Clone(data)
	}
}

// mustBeEmpty checks that no index has anything left of the store's records.
func mustBeEmpty(t *testing.T, b *Backend) {
	t.Helper()
	for i := range b.store.shards {
		s := &b.store.shards[i]
		if held(s) != 0 {
			t.Errorf("shard %d holds %d records, %d due, %d taken, %d labels, %d in order",
				i, len(s.records.m), len(s.due), len(s.taken.m), len(s.labels.m), s.order.live())
		}
	}
}

func TestIndexesEndEmpty(t *testing.T) {
	b := open(t)
	fill(t, b, 500, time.Minute)
	drain(t, b, 200)
	sweep(t, b, 300, accept)
	mustBeEmpty(t, b)
}

func TestRefusedRecordsReturnToTheHeap(t *testing.T) {
	b := open(t)
	fill(t, b, 300, time.Minute)
	sweep(t, b, 0, func(model.Record) error {
		if got, err := b.Count(t.Context(), later, driver.Query{}); err != nil || got != 0 {
			t.Errorf("counted %d live records during a sweep, %v", got, err)
		}
		return errors.New("stays")
	})
	sweep(t, b, 300, nil)
	mustBeEmpty(t, b)
}

func TestOrdersAreCompacted(t *testing.T) {
	b := open(t)
	for range 50 {
		fill(t, b, 100, time.Hour)
		drain(t, b, 100)
	}
	for i := range b.store.shards {
		if n := len(b.store.shards[i].order.refs); n > 64 {
			t.Errorf("shard %d has %d gaps after everything was deleted, want at most 64", i, n)
		}
	}
}

func TestPageTokenOutlivesDeleteStorage(t *testing.T) {
	b := open(t)
	fill(t, b, 10, time.Hour)
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 3, After: p.Next}); err != nil {
		t.Errorf("page after DeleteStorage: %v", err)
	}
}

func TestSweepEndsWithItsContext(t *testing.T) {
	b := open(t)
	fill(t, b, 100, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	n, err := b.DeleteExpired(ctx, driver.Sweep{Before: later, Limit: 1000, OnExpire: func(model.Record) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) || n.Removed == 0 || n.Removed == 100 {
		t.Errorf("swept %+v, %v; want some of the records and %v", n, err, context.Canceled)
	}
}

func TestNew(t *testing.T) {
	_, noName := New(nil, "", nil)
	_, badLabel := New(nil, "x", &Options{Labels: []string{"Bad Name"}})
	_, twice := New(nil, "x", &Options{Labels: []string{"b", "a", "b"}})
	drivertest.NewErrors(t, backendName, map[string]error{"no name": noName, "bad label": badLabel, "a label twice": twice})
	b, err := New(nil, "x", &Options{Labels: []string{"b", "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Describe().Labels; len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("the labels are %v, want [a b]", got)
	}
}

// TestSweepVisitsOnlyExpired counts what a sweep handles each time it holds a
// lock: only expired records, and at most 64.
func TestSweepVisitsOnlyExpired(t *testing.T) {
	for _, onExpire := range []func(model.Record) error{nil, accept} {
		b := open(t)
		for i := range 50_000 {
			drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("live-", i), "", 2*time.Hour))
		}
		fill(t, b, 10_000, time.Minute)
		visited, longest, holds := 0, 0, 0
		for i := range b.store.shards {
			b.store.shards[i].onHold = func(n int) { visited, longest, holds = visited+n, max(longest, n), holds+1 }
		}
		sweep(t, b, 10_000, onExpire)
		want := 10_000
		if onExpire != nil {
			want *= 2 // once to take it out for the announcement, once to remove it
		}
		if visited != want || longest > 64 {
			t.Errorf("%d records visited, want %d; %d in one hold, want at most 64", visited, want, longest)
		}
		if most := 4*want/64 + 4*shardCount; holds > most {
			t.Errorf("%d holds, want at most %d", holds, most)
		}
	}
}
