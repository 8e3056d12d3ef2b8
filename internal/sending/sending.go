// Package sending has what backends need to speak to a server, whichever it is.
package sending

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Pause waits a random time that grows to some 64 ms.
func Pause(ctx context.Context, attempt int) error {
	return Wait(ctx, rand.N(2*time.Millisecond<<min(attempt, 5))) //nolint:gosec // jitter, not a secret
}

// Wait waits that long, or until ctx ends, and returns its error then.
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

// Parallel calls do for each of n numbers, so many at once, and returns when
// all are done.
func Parallel(n, width int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(n, width) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// IsContext reports whether an error is one of a context.
func IsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// IsDial reports whether no connection came about.
func IsDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// Ended is the context's error. A deadline that a connection was given may pass
// a moment before the context notices.
func Ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if at, ok := ctx.Deadline(); ok && time.Until(at) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// WithContext adds the context's error where the context has ended.
func WithContext(ctx context.Context, err error) error {
	if end := Ended(ctx); end != nil && !errors.Is(err, end) {
		return errors.Join(end, err)
	}
	return err
}
