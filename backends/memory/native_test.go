package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

var t0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func open(t *testing.T) *Backend {
	t.Helper()
	b, err := New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fill(t *testing.T, b *Backend, n int, life time.Duration) {
	t.Helper()
	for i := range n {
		r := model.Record{
			ID: fmt.Sprint("ann-", i), Revision: model.NewRevision(), ExpiresAt: t0.Add(life),
			Labels: map[string]string{"principal": "ann"}, Value: []byte("v"), Encoding: "json",
		}
		if _, err := b.Write(t.Context(), t0, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
			t.Fatal(err)
		}
	}
}

// empty fails if anything of the store's records is left in any index.
func empty(t *testing.T, b *Backend) {
	t.Helper()
	for i := range b.store.shards {
		s := &b.store.shards[i]
		if len(s.records)+len(s.due)+len(s.taken)+len(s.labels)+s.order.live() != 0 {
			t.Errorf("shard %d holds %d records, %d due, %d taken, %d labels, %d in order",
				i, len(s.records), len(s.due), len(s.taken), len(s.labels), s.order.live())
		}
	}
}

func TestIndexesEndEmpty(t *testing.T) {
	b := open(t)
	fill(t, b, 500, time.Minute)
	for i := range 200 {
		if err := b.Delete(t.Context(), t0, driver.Delete{ID: fmt.Sprint("ann-", i), Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: t0.Add(time.Hour), Limit: 1000, OnExpire: func(model.Record) error { return nil }})
	if err != nil || n.Removed != 300 {
		t.Fatalf("swept %+v, %v", n, err)
	}
	empty(t, b)
}

func TestRefusedRecordsReturnToTheHeap(t *testing.T) {
	b := open(t)
	fill(t, b, 300, time.Minute)
	later := t0.Add(time.Hour)
	n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 1000, OnExpire: func(model.Record) error {
		if got, err := b.Count(t.Context(), later, driver.Query{Label: ""}); err != nil || got != 0 {
			t.Errorf("%d counted as live during a sweep, %v", got, err)
		}
		return errors.New("no")
	}})
	if err != nil || n.Removed != 0 || n.More {
		t.Fatalf("swept %+v, %v", n, err)
	}
	if n, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 1000}); err != nil || n.Removed != 300 {
		t.Fatalf("swept %+v, %v", n, err)
	}
	empty(t, b)
}

func TestOrdersAreCompacted(t *testing.T) {
	b := open(t)
	for round := range 50 {
		fill(t, b, 100, time.Hour)
		for i := range 100 {
			if err := b.Delete(t.Context(), t0, driver.Delete{ID: fmt.Sprint("ann-", i), Cond: driver.IfPresent}); err != nil {
				t.Fatal(round, err)
			}
		}
	}
	for i := range b.store.shards {
		if n := len(b.store.shards[i].order.refs); n > 64 {
			t.Errorf("shard %d keeps %d gaps after everything was deleted", i, n)
		}
	}
}

func TestATokenOutlivesTheRecordsOfItsStorage(t *testing.T) {
	b := open(t)
	fill(t, b, 10, time.Hour)
	p, err := b.Page(t.Context(), t0, driver.Query{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Page(t.Context(), t0, driver.Query{Limit: 3, After: p.Next}); err != nil {
		t.Errorf("page after DeleteStorage: %v", err)
	}
}

func TestASweepEndsWithItsContext(t *testing.T) {
	b := open(t)
	fill(t, b, 100, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	n, err := b.DeleteExpired(ctx, driver.Sweep{Before: t0.Add(time.Hour), Limit: 1000, OnExpire: func(model.Record) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) || n.Removed == 0 || n.Removed == 100 {
		t.Errorf("swept %+v, %v", n, err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(nil, "", nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("no name: %v", err)
	}
	if _, err := New(nil, "x", &Options{Labels: []string{"Bad Name"}}); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("bad label: %v", err)
	}
	if _, err := New(nil, "x", &Options{Labels: []string{"b", "a", "b"}}); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("a label twice: %v", err)
	}
	b, err := New(nil, "x", &Options{Labels: []string{"b", "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Describe().Labels; len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("labels %v", got)
	}
}

// TestASweepVisitsWhatExpiredAndLetsGo counts what a sweep handles in each
// hold of a lock: what expired and nothing else, 64 records at most.
func TestASweepVisitsWhatExpiredAndLetsGo(t *testing.T) {
	for _, each := range []func(model.Record) error{nil, func(model.Record) error { return nil }} {
		b := open(t)
		for i := range 50_000 {
			r := model.Record{ID: fmt.Sprint("live-", i), Revision: model.NewRevision(), ExpiresAt: t0.Add(time.Hour)}
			if _, err := b.Write(t.Context(), t0, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
				t.Fatal(err)
			}
		}
		fill(t, b, 10_000, time.Minute)
		visited, longest, holds := 0, 0, 0
		for i := range b.store.shards {
			b.store.shards[i].held = func(n int) { visited, longest, holds = visited+n, max(longest, n), holds+1 }
		}
		n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: t0.Add(time.Minute), Limit: 100_000, OnExpire: each})
		if err != nil || n.Removed != 10_000 {
			t.Fatalf("swept %+v, %v", n, err)
		}
		want := 10_000
		if each != nil {
			want *= 2 // taken out before the announcement, removed after it
		}
		if visited != want || longest > 64 {
			t.Errorf("%d records visited, want %d; %d in one hold, want 64 at most", visited, want, longest)
		}
		if most := 4*want/64 + 4*shardCount; holds > most {
			t.Errorf("%d holds, want %d at most", holds, most)
		}
	}
}
