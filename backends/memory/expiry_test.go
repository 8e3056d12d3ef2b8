package memory

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestOnExpireThatDoesNotReturn checks that no record is lost for later sweeps,
// and that no lock stays held.
func TestOnExpireThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			const n = 500
			fill(t, b, n, time.Minute)
			for seen := range 20 {
				drivertest.Apart(func() {
					left := seen
					_, _ = b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: n, OnExpire: func(model.Record) error {
						if left--; left < 0 {
							leave()
						}
						return errors.New("stays")
					}})
				})
			}
			sweep(t, b, n, accept)
			mustBeEmpty(t, b)
		})
	}
}

// TestOnExpireCallsTheBackend checks that OnExpire may call every method.
func TestOnExpireCallsTheBackend(t *testing.T) {
	b := open(t)
	const n = 200
	fill(t, b, n, time.Minute)
	nested := 0
	outer, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: n, OnExpire: func(r model.Record) error {
		ctx := t.Context()
		if _, err := b.Get(ctx, later, driver.Get{ID: r.ID}); !errors.Is(err, model.ErrNotFound) {
			t.Error(err)
		}
		if _, err := b.Count(ctx, later, driver.Query{}); err != nil {
			t.Error(err)
		}
		if _, err := b.Page(ctx, later, driver.Query{Limit: 1}); err != nil {
			t.Error(err)
		}
		drivertest.Seed(t, b, drivertest.Record("new-"+r.ID, "bob", 2*time.Hour))
		s, err := b.DeleteExpired(ctx, driver.Sweep{Before: later, Limit: 1, OnExpire: accept})
		if err != nil {
			t.Error(err)
		}
		nested += s.Removed
		return nil
	}})
	if err != nil || outer.Removed+nested != n || nested == 0 {
		t.Errorf("%d removed by the sweep and %d by those within it, %v; want %d together", outer.Removed, nested, err, n)
	}
	if got, err := b.Count(t.Context(), later, driver.Query{Label: "principal", Value: "bob"}); err != nil || got == 0 {
		t.Errorf("%d new records, %v", got, err)
	}
}

// TestOnExpireReplacesTheStore checks that a sweep leaves alone what a callback
// stored again.
func TestOnExpireReplacesTheStore(t *testing.T) {
	b := open(t)
	fill(t, b, 100, time.Minute)
	again := false
	_, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 100, OnExpire: func(model.Record) error {
		if again {
			return nil
		}
		again = true
		if err := b.DeleteStorage(t.Context()); err != nil {
			t.Error(err)
		}
		for i := range 100 {
			drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("ann-", i), "ann", 2*time.Hour))
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		drivertest.Get(t, b, fmt.Sprint("ann-", i))
	}
}

// TestSweepHoldsNoValues looks at what a sweep keeps of a record between its
// announcement and its removal. A write in between must free the old value.
func TestSweepHoldsNoValues(t *testing.T) {
	b := open(t)
	fill(t, b, 1, time.Minute)
	seen := 0
	for i := range b.store.shards {
		for _, due := range b.store.shards[i].takeDue(later.UnixMilli(), 1) {
			if seen++; due.rec.Value != nil || due.e.rec.Value == nil {
				t.Errorf("the sweep keeps %q of the value %q, want nothing", due.rec.Value, due.e.rec.Value)
			}
		}
	}
	if seen != 1 {
		t.Errorf("%d records are due, want 1", seen)
	}
}
