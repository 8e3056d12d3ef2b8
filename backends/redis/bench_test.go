package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

const (
	floorRounds = 21
	floorBatch  = 100 // calls of each side in a round
)

// BenchmarkFloor compares each operation with the plain GET or SET that moves the
// same bytes, with the same client, in alternating rounds. It reports the median
// of the rounds' ratios, its quartiles, and the server's own time for a call. The
// first line compares the floor with itself.
//
//	go test -run xxx -bench Floor ./backends/redis
func BenchmarkFloor(b *testing.B) {
	for _, clients := range []int{1, 16} {
		for _, size := range []int{100, 1 << 10, 10 << 10} {
			for _, op := range floorOps() {
				b.Run(fmt.Sprintf("clients=%d/value=%d/%s", clients, size, op.name), func(b *testing.B) {
					f := newFloor(b, clients, size)
					f.compare(b, &op)
				})
			}
		}
	}
}

// floor has the data of one comparison.
type floor struct {
	*Backend
	ctx     context.Context
	plain   *goredis.Client
	clients int
	value   []byte
	bytes   []byte         // the stored form of a record with that value
	known   []model.Record // one for each call of a batch
}

// floorOp is one operation and the plain call that it is compared with.
type floorOp struct {
	name   string
	before func(f *floor, i int) error // not measured
	do     func(f *floor, i int) error
	plain  func(f *floor, i int) error
}

func floorOps() []floorOp {
	get := func(f *floor, i int) error { return f.plain.Get(f.ctx, f.plainKey(i)).Err() }
	set := func(f *floor, i int) error { return f.plain.Set(f.ctx, f.plainKey(i), f.bytes, time.Hour).Err() }
	unset := func(f *floor, i int) error { return f.plain.Del(f.ctx, f.plainKey(i)).Err() }
	gone := func(f *floor, i int) error {
		if err := f.Delete(f.ctx, drivertest.Now, driver.Delete{ID: f.known[i].ID, Cond: driver.IfPresent}); err != nil && !errors.Is(err, model.ErrNotFound) {
			return err
		}
		return unset(f, i)
	}
	there := func(f *floor, i int) error {
		_, err := f.Write(f.ctx, drivertest.Now, driver.Write{Record: f.known[i], Cond: driver.IfAny})
		if err != nil {
			return err
		}
		return set(f, i)
	}
	write := func(cond driver.Condition, change func(w *driver.Write)) func(f *floor, i int) error {
		return func(f *floor, i int) error {
			w := driver.Write{Record: f.known[i], Cond: cond, Known: f.known[i]}
			w.Record.Revision = model.NewRevision()
			if change != nil {
				change(&w)
			}
			_, err := f.Write(f.ctx, drivertest.Now, w)
			f.known[i].Revision = w.Record.Revision
			return err
		}
	}
	keep := func(w *driver.Write) { w.Keep.Expiry, w.Keep.Labels = true, true }
	touch := func(f *floor, i int) error {
		f.known[i].ExpiresAt = f.known[i].ExpiresAt.Add(time.Second)
		_, err := f.Touch(f.ctx, drivertest.Now, driver.Touch{ID: f.known[i].ID, Mode: driver.TouchSet, ExpiresAt: f.known[i].ExpiresAt})
		return err
	}
	return []floorOp{
		{"floor", nil, set, set},
		{"get", there, func(f *floor, i int) error {
			_, err := f.Get(f.ctx, drivertest.Now, driver.Get{ID: f.known[i].ID})
			return err
		}, get},
		{"create", gone, write(driver.IfAbsent, nil), set},
		{"upsert-new", gone, write(driver.IfAny, nil), set},
		{"upsert", there, write(driver.IfAny, nil), set},
		{"upsert-later", there, write(driver.IfAny, func(w *driver.Write) { w.Record.ExpiresAt = w.Record.ExpiresAt.Add(time.Second) }), set},
		{"update", there, write(driver.IfPresent, func(w *driver.Write) { keep(w); w.Known = model.Record{} }), set},
		{"cas", there, write(driver.IfMatch, keep), set},
		{"touch", there, touch, set},
		{"delete", there, func(f *floor, i int) error {
			return f.Delete(f.ctx, drivertest.Now, driver.Delete{ID: f.known[i].ID, Cond: driver.IfMatch, Known: f.known[i]})
		}, unset},
	}
}

// BenchmarkFloorCount counts a million records, all and by label. It fails if that
// takes more commands than in a small store.
func BenchmarkFloorCount(b *testing.B) { countAmong(b, 1_000_000) }

func newFloor(b *testing.B, clients, size int) *floor {
	b.Helper()
	o := options(b)
	o.PoolSize = clients
	c := clientOf(b, o)
	f := &floor{
		Backend: openOn(b, c, drivertest.Name(), nil), ctx: context.Background(), plain: c,
		clients: clients, value: bytes.Repeat([]byte("v"), size),
	}
	for i := range floorBatch {
		r := drivertest.Record(fmt.Sprintf("%032d", i), fmt.Sprint("user", i), time.Hour)
		r.Value = f.value
		f.known = append(f.known, r)
	}
	f.bytes = encode(&f.known[0])
	b.Cleanup(func() {
		for i := range floorBatch {
			f.plain.Del(context.Background(), f.plainKey(i))
		}
	})
	return f
}

func (f *floor) plainKey(i int) string { return f.name + ":{plain}:" + f.known[i].ID }

// compare runs floorRounds rounds, or more for a larger b.N.
func (f *floor) compare(b *testing.B, op *floorOp) {
	b.Helper()
	var ratios []float64
	var here, there cost
	for round := range floorRounds + b.N - 1 + 2 {
		if op.before != nil {
			f.batch(b, op.before)
		}
		ours, plain := []string{"evalsha", "get"}, []string{"set", "get"}
		switch op.name {
		case "delete":
			plain = []string{"del"}
		case "floor":
			ours = []string{"set"}
		}
		sides := []func(){func() { here.add(b, f, ours, op.do) }, func() { there.add(b, f, plain, op.plain) }}
		if round%2 == 1 { // so that neither side always runs second
			slices.Reverse(sides)
		}
		sides[0]()
		sides[1]()
		if round < 2 {
			here, there = cost{}, cost{} // warm-up
			continue
		}
		ratios = append(ratios, float64(here.last)/float64(there.last))
	}
	slices.Sort(ratios)
	at := func(q float64) float64 { return ratios[int(q*float64(len(ratios)-1))] }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(at(0.5), "ratio")
	b.ReportMetric(at(0.25), "ratio-q1")
	b.ReportMetric(at(0.75), "ratio-q3")
	b.ReportMetric(there.each().Seconds()*1e6, "floor-µs")
	b.ReportMetric(here.server/float64(here.calls), "server-µs")
	b.ReportMetric(there.server/float64(there.calls), "server-floor-µs")
}

// cost is the time of calls, and the server's own time for them.
type cost struct {
	last, sum time.Duration
	calls     int
	server    float64 // µs
}

func (c *cost) each() time.Duration { return c.sum / time.Duration(c.calls) }

func (c *cost) add(b *testing.B, f *floor, commands []string, do func(f *floor, i int) error) {
	b.Helper()
	before := served(b, f.plain)
	began := time.Now()
	f.batch(b, do)
	c.last = time.Since(began)
	c.sum += c.last
	after := served(b, f.plain)
	for _, name := range commands {
		c.server += after[name].micros - before[name].micros
		c.calls += after[name].calls - before[name].calls
	}
}

// batch makes a call for each record and divides them among the clients.
func (f *floor) batch(b *testing.B, do func(f *floor, i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	for first := range f.clients {
		call := func() {
			for i := first; i < floorBatch; i += f.clients {
				if err := do(f, i); err != nil {
					b.Error(err)
					return
				}
			}
		}
		if f.clients == 1 {
			call()
			break
		}
		wg.Go(call)
	}
	wg.Wait()
}

// BenchmarkContext compares calls whose context cannot end with calls whose
// context can: those wait in a goroutine of their own.
func BenchmarkContext(b *testing.B) {
	f := newFloor(b, 1, 100)
	can, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range floorOps() {
		op := &floorOps()[i]
		if op.name != "get" && op.name != "upsert" {
			continue
		}
		for name, ctx := range map[string]context.Context{"cannot end": context.Background(), "can end": can} {
			b.Run(op.name+"/"+name, func(b *testing.B) {
				f.ctx = context.Background()
				f.batch(b, op.before)
				f.ctx = ctx
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := op.do(f, i%floorBatch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
