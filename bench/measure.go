package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"
)

// cell is one operation under one load.
type cell struct {
	topic, op      string // "redis", "get"
	clients, value int    // goroutines, and bytes of a value
	calls          int    // of each side in a round, all clients together
	records        int    // in the store, if that matters
}

func (c cell) String() string {
	text := fmt.Sprintf("topic=%s/op=%s/clients=%d/value=%d", c.topic, c.op, c.clients, c.value)
	if c.records > 0 {
		text += fmt.Sprintf("/records=%d", c.records)
	}
	return text
}

// side is a contestant in one cell. Call number i belongs to one client alone, and
// calls of a client are made one after the other.
type side struct {
	name, marks string
	do          func(client, i int) error
	// prepare and after, if not nil, surround the calls lo to hi of a round. They
	// are not measured.
	prepare, after func(lo, hi int) error
	finish         func() error // removes what the cell has left; may be nil
	trips          func() int64 // how many the proxy has seen; of a twin alone
	twin           *side        // the same contestant behind a proxy that counts
}

// result is what one side took in one cell.
type result struct {
	cell
	name, marks    string
	times          []float64 // ns for a call, by round: wall time over calls
	ratios         []float64 // to the floor's of the same round
	trips          float64   // round trips of a call; negative: not counted
	allocs, memory float64   // of a call, with one client; negative: not counted
}

// rate returns the calls of a second, the median of the rounds.
func (r *result) rate() float64 { return 1e9 / quantile(r.times, 0.5) }

func quantile(all []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// shuffled returns 0 to n-1 in random order.
func shuffled(n int) []int {
	return rand.Perm(n) //nolint:gosec // the order is no secret
}

// measure runs one round to warm up and then the given number of rounds. The first
// side is the floor.
func measure(c cell, rounds int, sides []side) ([]result, error) {
	out := make([]result, len(sides))
	for s := range sides {
		out[s] = result{cell: c, name: sides[s].name, marks: sides[s].marks, trips: -1, allocs: -1, memory: -1}
	}
	var before, after runtime.MemStats
	for round := range rounds + 1 {
		for _, s := range shuffled(len(sides)) {
			lo, hi := round*c.calls, (round+1)*c.calls
			if f := sides[s].prepare; f != nil {
				if err := f(lo, hi); err != nil {
					return nil, fmt.Errorf("%v: %s: prepare: %w", c, sides[s].name, err)
				}
			}
			runtime.GC() // each side pays for its own garbage
			runtime.ReadMemStats(&before)
			took, err := run(c.clients, lo, hi, sides[s].do)
			if err != nil {
				return nil, fmt.Errorf("%v: %s: %w", c, sides[s].name, err)
			}
			runtime.ReadMemStats(&after)
			if f := sides[s].after; f != nil {
				if err := f(lo, hi); err != nil {
					return nil, fmt.Errorf("%v: %s: clean up: %w", c, sides[s].name, err)
				}
			}
			if round == 0 {
				continue
			}
			out[s].times = append(out[s].times, float64(took)/float64(c.calls))
			if c.clients == 1 {
				out[s].allocs = least(out[s].allocs, float64(after.Mallocs-before.Mallocs)/float64(c.calls))
				out[s].memory = least(out[s].memory, float64(after.TotalAlloc-before.TotalAlloc)/float64(c.calls))
			}
		}
	}
	for s := range out {
		for i := range out[s].times {
			out[s].ratios = append(out[s].ratios, out[s].times[i]/out[0].times[i])
		}
		trips, err := count(c, &sides[s])
		if err != nil {
			return nil, fmt.Errorf("%v: %s: count: %w", c, sides[s].name, err)
		}
		out[s].trips = trips
		for _, x := range []*side{&sides[s], sides[s].twin} {
			if x == nil || x.finish == nil {
				continue
			}
			if err := x.finish(); err != nil {
				return nil, fmt.Errorf("%v: %s: clean up: %w", c, sides[s].name, err)
			}
		}
	}
	return out, nil
}

// least keeps the smallest of what rounds found: the others hold what the runtime
// and idle connections allocate beside.
func least(old, now float64) float64 {
	if old < 0 {
		return now
	}
	return min(old, now)
}

// count returns the round trips of a call, of the side's twin. The same number of
// calls before it opens the connections.
func count(c cell, s *side) (float64, error) {
	twin := s.twin
	if twin == nil {
		return -1, nil
	}
	n := min(c.calls, 20*c.clients)
	var begun int64
	for turn := range 2 {
		lo, hi := turn*n, (turn+1)*n
		if twin.prepare != nil {
			if err := twin.prepare(lo, hi); err != nil {
				return 0, err
			}
		}
		begun = twin.trips()
		if _, err := run(c.clients, lo, hi, twin.do); err != nil {
			return 0, err
		}
		begun = twin.trips() - begun
		if twin.after != nil {
			if err := twin.after(lo, hi); err != nil {
				return 0, err
			}
		}
	}
	return float64(begun) / float64(n), nil
}

// run makes the calls lo to hi, divided among the clients, and returns the time.
func run(clients, lo, hi int, do func(client, i int) error) (time.Duration, error) {
	if clients == 1 {
		began := time.Now()
		for i := lo; i < hi; i++ {
			if err := do(0, i); err != nil {
				return 0, err
			}
		}
		return time.Since(began), nil
	}
	errs := make([]error, clients)
	var all sync.WaitGroup
	began := time.Now()
	for client := range clients {
		all.Go(func() {
			for i := lo + client; i < hi && errs[client] == nil; i += clients {
				errs[client] = do(client, i)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return took, nil
}
