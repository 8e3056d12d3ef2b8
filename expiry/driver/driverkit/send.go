package driverkit

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// Pause waits for a random time before the next attempt at a contended write.
// It grows with the attempt to at most 64 milliseconds. It returns the
// context's error if that ends first.
func Pause(ctx context.Context, attempt int) error {
	return Wait(ctx, rand.N(2*time.Millisecond<<min(attempt, 5))) //nolint:gosec // jitter, not a secret
}

// Wait waits for d, or until ctx ends, and returns its error then.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Parallel runs do(0) to do(n-1), at most width of them at a time, and returns
// when all have returned.
func Parallel(n, width int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var g errgroup.Group
	g.SetLimit(width)
	for i := range n {
		g.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
}
