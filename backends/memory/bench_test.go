package memory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

// profile is a value of about 450 bytes of JSON with six keys.
type profile struct {
	Name   string            `json:"name"`
	Mail   string            `json:"mail"`
	Visits int               `json:"visits"`
	Tags   []string          `json:"tags"`
	Prefs  map[string]string `json:"prefs"`
	Notes  string            `json:"notes"`
}

func newProfile(i int) profile {
	return profile{
		Name: fmt.Sprint("name ", i), Mail: fmt.Sprintf("user%d@example.com", i), Visits: i,
		Tags:  []string{"alpha", "beta", "gamma", "delta"},
		Prefs: map[string]string{"theme": "dark", "language": "en", "zone": "Europe/Lisbon"},
		Notes: "some notes that a record of a usual size would have, long enough to matter when it is copied and encoded again and again; and a little more of them, so that the whole has the size of a usual session",
	}
}

// guarded is what the store is compared with: a map of the same encoded bytes
// behind a mutex.
type guarded struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (g *guarded) put(id string, v profile, mustExist bool) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.m[id]; ok != mustExist {
		return fmt.Errorf("%s is in the map: %v, want %v", id, ok, mustExist)
	}
	g.m[id] = data
	return nil
}

func (g *guarded) get(id string, v *profile) error {
	g.mu.Lock()
	data := g.m[id]
	g.mu.Unlock()
	return json.Unmarshal(data, v)
}

// times is what Touch is compared with: a map of expiries behind a mutex.
type times struct {
	mu sync.Mutex
	m  map[string]time.Time
}

func (g *times) touch(id string, at time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.m[id]; !ok {
		return fmt.Errorf("%s is not in the map", id)
	}
	g.m[id] = at
	return nil
}

func benchStore(b *testing.B) *expiry.Store[profile] {
	b.Helper()
	m, err := memory.New(nil, "bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	s, err := expiry.NewStore[profile](m, &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkFloor(b *testing.B) {
	ctx := context.Background()
	id := func(i int) string { return fmt.Sprint("user-", i) }
	const stored = 10000
	filled := func(b *testing.B) (*guarded, *guarded, *expiry.Store[profile]) {
		b.Helper()
		g, again, s := &guarded{m: map[string][]byte{}}, &guarded{m: map[string][]byte{}}, benchStore(b)
		for i := range stored {
			if err := g.put(id(i), newProfile(i), false); err != nil {
				b.Fatal(err)
			}
			if err := again.put(id(i), newProfile(i), false); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Create(ctx, id(i), newProfile(i), nil); err != nil {
				b.Fatal(err)
			}
		}
		return g, again, s
	}
	b.Run("create", func(b *testing.B) {
		g, again, s := &guarded{m: map[string][]byte{}}, &guarded{m: map[string][]byte{}}, benchStore(b)
		ratio.Report(b, 2000,
			ratio.Side{Name: "map", Do: func(i int) error { return g.put(id(i), newProfile(i), false) }},
			ratio.Side{Name: "map-again", Do: func(i int) error { return again.put(id(i), newProfile(i), false) }},
			ratio.Side{Name: "store", Do: func(i int) error { _, err := s.Create(ctx, id(i), newProfile(i), nil); return err }})
	})
	b.Run("get", func(b *testing.B) {
		g, again, s := filled(b)
		ratio.Report(b, 2000,
			ratio.Side{Name: "map", Do: func(i int) error { return g.get(id(i%stored), new(profile)) }},
			ratio.Side{Name: "map-again", Do: func(i int) error { return again.get(id(i%stored), new(profile)) }},
			ratio.Side{Name: "store", Do: func(i int) error { _, err := s.Get(ctx, id(i%stored)); return err }})
	})
	b.Run("update", func(b *testing.B) {
		g, again, s := filled(b)
		ratio.Report(b, 2000,
			ratio.Side{Name: "map", Do: func(i int) error { return g.put(id(i%stored), newProfile(i), true) }},
			ratio.Side{Name: "map-again", Do: func(i int) error { return again.put(id(i%stored), newProfile(i), true) }},
			ratio.Side{Name: "store", Do: func(i int) error { _, err := s.Update(ctx, id(i%stored), newProfile(i), nil); return err }})
	})
	b.Run("touch", func(b *testing.B) {
		_, _, s := filled(b)
		g, again := &times{m: map[string]time.Time{}}, &times{m: map[string]time.Time{}}
		for i := range stored {
			g.m[id(i)], again.m[id(i)] = time.Now(), time.Now()
		}
		ratio.Report(b, 20000,
			ratio.Side{Name: "map", Do: func(i int) error { return g.touch(id(i%stored), time.Now().Add(time.Hour)) }},
			ratio.Side{Name: "map-again", Do: func(i int) error { return again.touch(id(i%stored), time.Now().Add(time.Hour)) }},
			ratio.Side{Name: "store", Do: func(i int) error { _, err := s.Touch(ctx, id(i%stored), expiry.After(time.Hour), nil); return err }})
	})
}

// BenchmarkFloorReaders compares the slowest reads in a thousand with and
// without a sweep. The sweep removes 10,000 of a million records.
func BenchmarkFloorReaders(b *testing.B) {
	ctx := context.Background()
	now := time.Now().UTC().Truncate(time.Millisecond)
	m, err := memory.New(nil, "bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	write := func(id string, life time.Duration) {
		r := model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: now.Add(life), Value: make([]byte, 100), Encoding: "json"}
		if _, err := m.Write(ctx, now, driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
			b.Fatal(err)
		}
	}
	const live, due = 990_000, 10_000
	for i := range live {
		write(fmt.Sprint("live-", i), time.Hour)
	}
	// reads returns the 99.9th percentile of 200,000 reads.
	reads := func() time.Duration {
		all := make([]time.Duration, 200_000)
		for i := range all {
			start := time.Now()
			if _, err := m.Get(ctx, now, driver.Get{ID: fmt.Sprint("live-", i*4)}); err != nil {
				b.Fatal(err)
			}
			all[i] = time.Since(start)
		}
		slices.Sort(all)
		return all[len(all)*999/1000]
	}
	var ratios []float64
	for range 7 {
		quiet := reads()
		for i := range due {
			write(fmt.Sprint("due-", i), time.Minute)
		}
		swept := make(chan int)
		go func() {
			n, _ := m.DeleteExpired(ctx, driver.Sweep{Before: now.Add(time.Minute), Limit: due})
			swept <- n.Removed
		}()
		busy := reads()
		if n := <-swept; n != due {
			b.Fatalf("%d swept", n)
		}
		ratios = append(ratios, float64(busy)/float64(quiet))
		b.Logf("p99.9 quiet %v, during the sweep %v", quiet, busy)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "p99.9-ratio")
	b.ReportMetric(0, "ns/op")
}
