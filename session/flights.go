package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// flights lets one goroutine of this process do a piece of work that several
// need, and gives its result to all. The zero value is ready.
type flights struct {
	mu   sync.Mutex
	open map[string]*flight
}

type flight struct {
	done chan struct{}
	got  landed
	ok   bool // work returned, and did not panic
}

// do runs work, or waits for the goroutine that runs it under the same name. Its
// own error is that of the caller's context.
func (f *flights) do(ctx context.Context, name string, work func() landed) (landed, error) {
	for {
		at, own := f.join(name)
		if own {
			return f.run(name, at, work), nil
		}
		select {
		case <-ctx.Done():
			return landed{}, ctx.Err()
		case <-at.done:
		}
		// The wait of the other goroutine may have ended with its own context.
		if at.ok && (at.got.fetched || !isContext(at.got.err)) {
			return at.got, nil
		}
	}
}

// join returns the flight with the name, and whether it is the caller's own.
func (f *flights) join(name string) (at *flight, own bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.open[name]; other != nil {
		return other, false
	}
	if f.open == nil {
		f.open = map[string]*flight{}
	}
	at = &flight{done: make(chan struct{})}
	f.open[name] = at
	return at, true
}

func (f *flights) run(name string, own *flight, work func() landed) landed {
	defer f.end(name, own)
	own.got = work()
	own.ok = true
	return own.got
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (f *flights) end(name string, own *flight) {
	f.mu.Lock()
	delete(f.open, name)
	f.mu.Unlock()
	close(own.done)
}

// waitTurn waits for another node, from 50 milliseconds in the beginning to one
// second.
func waitTurn(ctx context.Context, attempt int) error {
	most := min(100*time.Millisecond<<min(attempt, 4), time.Second)
	t := time.NewTimer(most/2 + rand.N(most/2)) //nolint:gosec // jitter, not a secret
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
