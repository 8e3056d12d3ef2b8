package s3

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestCreatesRaceTheSweep creates a record over each of many expired records
// while two sweeps remove them. No new record is lost.
func TestCreatesRaceTheSweep(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			n := map[string]int{"tombstones": 1000, "deletes": 500}[m.name]
			b, _ := m.open(t)
			load(t, b, n, func(i int) model.Record { return drivertest.Record(fmt.Sprint("id", i), "", time.Minute) })
			now := drivertest.Now.Add(time.Minute)
			var removed, created atomic.Int64
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for created.Load() < int64(n) {
						swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 50})
						if removed.Add(int64(swept.Removed)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			parallel(n, func(i int) {
				defer created.Add(1)
				r := drivertest.Record(fmt.Sprint("id", i), "ann", 2*time.Hour)
				if _, err := b.Write(t.Context(), now, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
					t.Errorf("create %d: %v", i, err)
				}
			})
			wg.Wait()
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: n})
			if err != nil || swept.Removed != 0 {
				t.Errorf("after all creates: %+v, %v; want nothing removed", swept, err)
			}
			wantCount(t, b, now, driver.Query{}, n)
			t.Logf("%d were swept before their create, %d were replaced", removed.Load(), int64(n)-removed.Load())
			if removed.Load() > int64(n) {
				t.Errorf("%d removals counted, want at most %d", removed.Load(), n)
			}
		})
	}
}

// TestCrash stops a labelled write before each of its steps. Readers see the
// record as it was, and after the grace the sweep removes what is left. The last
// case stops it after the last step: only the answer is lost.
func TestCrash(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	old := drivertest.Record("id", "ann", time.Hour)
	for name, w := range map[string]driver.Write{
		"create": {Record: drivertest.Record("id", "ann", 2*time.Hour), Cond: driver.IfAbsent},
		"update": {Record: drivertest.Record("id", "bob", 2*time.Hour), Cond: driver.IfPresent},
		"upsert": {Record: drivertest.Record("id", "bob", 2*time.Hour), Cond: driver.IfAny},
		"never":  {Record: drivertest.Record("id", "bob", 0), Cond: driver.IfAbsent},
	} {
		exists := name == "update" || name == "upsert"
		for _, step := range []string{"PUT l", "PUT x", "PUT r", ""} {
			t.Run(name+" "+step, func(t *testing.T) {
				if exists {
					drivertest.Seed(t, b, old)
				}
				crashed := step == ""
				// After the crash, no request of the process arrives.
				p.answers(func(op string) *answer {
					if crashed = crashed || op == step; crashed && step != "" {
						return &answer{}
					}
					return nil
				})
				if step == "" {
					p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isWrite})
				}
				if _, err := b.Write(ctx, drivertest.Now, w); err == nil {
					t.Fatal("the write returned no error")
				}
				p.answers(nil)
				got, err := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
				switch {
				case step == "" && (err != nil || got.Revision != w.Record.Revision):
					t.Fatalf("the write was not applied: %v", err)
				case step != "" && exists && (err != nil || got.Revision != old.Revision):
					t.Fatalf("the record has changed: %v", err)
				case step != "" && !exists && model.Kind(err) != model.ErrNotFound:
					t.Fatalf("a record exists: %v", err)
				}
				for _, principal := range []string{"ann", "bob"} {
					want := err == nil && got.Labels["principal"] == principal
					if ids := bearers(t, b, principal); (len(ids) == 1) != want {
						t.Errorf("%q bear %s, want a record: %v", ids, principal, want)
					}
				}
				// A sweep within the grace keeps the entries.
				entries := len(keysIn(t, b, labelsDir, dueDir))
				sweep(t, b, 0, 0)
				if n := len(keysIn(t, b, labelsDir, dueDir)); n != entries {
					t.Errorf("%d entries became %d", entries, n)
				}
				if err == nil {
					remove(t, b, "id")
				}
				p.age(2 * time.Hour)
				defer p.age(0)
				sweep(t, b, 3*time.Hour, 0)
				if left := keysIn(t, b, labelsDir, dueDir); len(left) > 0 && name != "upsert" && step != "PUT x" {
					t.Errorf("strays are left: %q", left)
				}
				// Listings remove the strays of an upsert, and a label entry
				// without an entry by expiry.
				for _, principal := range []string{"ann", "bob"} {
					bearers(t, b, principal)
				}
				if left := keysIn(t, b, labelsDir, dueDir); len(left) > 0 {
					t.Errorf("strays are left: %q", left)
				}
				deleteObject(t, b, "r/i-id")
			})
		}
	}
}

// TestIndexByExpiry follows a record's entry: an extension leaves it, a sweep
// moves it, and an earlier expiry creates another one.
func TestIndexByExpiry(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute))
	is := func(step string, want ...time.Duration) {
		t.Helper()
		var got []time.Duration
		for _, key := range keysIn(t, b, dueDir) {
			due, _, _, ok := parseDue(strings.TrimPrefix(key, dueDir+"/"))
			if !ok {
				t.Fatalf("key %q", key)
			}
			got = append(got, due.Sub(drivertest.Now))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: entries at %v, want %v", step, got, want)
		}
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: drivertest.Now.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	is("create", time.Minute)
	touch(driver.TouchExtend, time.Hour)
	is("extend", time.Minute)
	sweep(t, b, time.Minute, 0)
	is("sweep", time.Hour)
	touch(driver.TouchSet, 2*time.Minute)
	is("an earlier expiry", 2*time.Minute, time.Hour)
	touch(driver.TouchClear, 0)
	touch(driver.TouchSet, 3*time.Minute)
	is("cleared and set", 2*time.Minute, 3*time.Minute, time.Hour)
	sweep(t, b, 2*time.Minute, 0)
	is("a sweep that finds a young stray", 2*time.Minute, 3*time.Minute, time.Hour)
	p.age(2 * time.Hour)
	sweep(t, b, 2*time.Minute, 0)
	is("a sweep that finds an old stray", 3*time.Minute, time.Hour)
	wantIDs(t, bearers(t, b, "ann"), "id")
	sweep(t, b, 3*time.Minute, 1)
	sweep(t, b, time.Hour, 0)
	is("the last sweep")
	if left := keysIn(t, b, labelsDir); len(left) > 0 {
		t.Errorf("label entries are left: %q", left)
	}
}
