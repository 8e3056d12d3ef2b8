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
		f.mu.Lock()
		other := f.open[name]
		if other == nil {
			own := &flight{done: make(chan struct{})}
			if f.open == nil {
				f.open = map[string]*flight{}
			}
			f.open[name] = own
			f.mu.Unlock()
			defer f.end(name, own)
			own.got = work()
			own.ok = true
			return own.got, nil
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return landed{}, ctx.Err()
		case <-other.done:
		}
		// The wait of the other goroutine may have ended with its own context.
		if other.ok && (other.got.fetched || !isContext(other.got.err)) {
			return other.got, nil
		}
	}
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
