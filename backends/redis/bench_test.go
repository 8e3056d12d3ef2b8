package redis

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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

// BenchmarkTogether compares calls of many goroutines that share round trips with
// the same calls that do not, and with a GET or SET of the same client. The sides
// take turns. It reports the calls of a second, medians of the rounds, and the
// median of the rounds' ratios to calls that share nothing.
//
//	go test -run xxx -bench Together ./backends/redis
func BenchmarkTogether(b *testing.B) {
	for _, clients := range []int{1, 16, 64, 256} {
		for _, op := range []string{"get", "create", "cas"} {
			b.Run(fmt.Sprintf("clients=%d/%s", clients, op), func(b *testing.B) { together(b, clients, op) })
		}
	}
}

const (
	togetherRounds = 7
	togetherTime   = 150 * time.Millisecond // of each side in a round
)

func together(b *testing.B, clients int, op string) {
	b.Helper()
	ctx := context.Background()
	client := clientOf(b, options(b))
	shared := openOn(b, client, drivertest.Name(), nil)
	apart := newOn(b, client, shared.name, &Options{SeparateCalls: true})
	var created atomic.Int64
	known := make([]model.Record, clients)
	for i := range known {
		known[i] = drivertest.Record(fmt.Sprintf("%032d", i), fmt.Sprint("user", i), time.Hour)
		known[i].Value = make([]byte, 200)
		if _, err := shared.Write(ctx, drivertest.Now, driver.Write{Record: known[i], Cond: driver.IfAny}); err != nil {
			b.Fatal(err)
		}
	}
	data := encode(&known[0])
	key := func(i int) string { return shared.name + ":{plain}:" + known[i].ID }
	defer func() {
		for i := range known {
			client.Del(ctx, key(i))
		}
	}()
	do := func(on *Backend) func(i int) error {
		return func(i int) error {
			switch op {
			case "get":
				_, err := on.Get(ctx, drivertest.Now, driver.Get{ID: known[i].ID})
				return err
			case "create":
				r := known[i]
				r.ID = fmt.Sprintf("%032d", 1_000_000+created.Add(1))
				_, err := on.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: driver.IfAbsent})
				return err
			}
			w := driver.Write{Record: known[i], Cond: driver.IfMatch, Known: known[i], Keep: driver.Keep{Expiry: true, Labels: true}}
			w.Record.Revision = model.NewRevision()
			_, err := on.Write(ctx, drivertest.Now, w)
			known[i].Revision = w.Record.Revision
			return err
		}
	}
	plain := func(i int) error {
		if op == "get" {
			err := client.Get(ctx, key(i)).Err()
			if err == goredis.Nil { //nolint:errorlint // it is not wrapped
				err = client.Set(ctx, key(i), data, 0).Err()
			}
			return err
		}
		return client.Set(ctx, key(i), data, time.Hour).Err()
	}
	sides := []func(i int) error{do(shared), do(apart), plain}
	var rates [3][]float64
	var ratios []float64
	for round := range togetherRounds + b.N {
		var rate [3]float64
		for n := range sides {
			side := (n + round) % len(sides)
			rate[side] = perSecond(b, clients, sides[side])
			if round > 0 { // else the first round warms up
				rates[side] = append(rates[side], rate[side])
			}
		}
		if round > 0 {
			ratios = append(ratios, rate[0]/rate[1])
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates[0]), "together/s")
	b.ReportMetric(median(rates[1]), "apart/s")
	b.ReportMetric(median(rates[2]), "plain/s")
	b.ReportMetric(median(ratios), "ratio")
}

func median[T cmp.Ordered](all []T) T {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// perSecond makes calls with a number of goroutines and returns the calls of a
// second.
func perSecond(b *testing.B, clients int, do func(i int) error) float64 {
	b.Helper()
	var calls atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			n := 0
			for ; time.Since(began) < togetherTime; n++ {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
			calls.Add(int64(n))
		})
	}
	wg.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds()
}
