package expiry

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Sweepable is what a Sweeper sweeps: every Store is one.
type Sweepable interface {
	DeleteExpired(ctx context.Context, opts *SweepOptions) (driver.Swept, error)
}

// SweeperOptions configures a Sweeper. The zero value of every field is its
// default.
type SweeperOptions struct {
	// Interval between two sweeps of a store. Each wait is drawn anew between
	// half and one and a half of it, so that many nodes do not sweep at once.
	// Zero: one minute.
	Interval time.Duration
	// Limit is how many records one DeleteExpired removes at most; a sweep
	// repeats it until nothing is left. Zero: 1000.
	Limit int
	// Each sees every record before its removal, at least once.
	Each func(model.Record) error
	// OnSwept is told the result of every sweep, errors included. A sweeper
	// goes on after an error.
	OnSwept func(driver.Swept, error)
}

// Sweeper calls DeleteExpired again and again. Any number of them, in any
// number of processes, share the work on one store: each removal is counted by
// one of them.
type Sweeper struct {
	target Sweepable
	opts   SweeperOptions
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	running sync.WaitGroup
	closed  bool
	total   driver.Swept
}

// errSweeperClosed tells the end by Close from that of the caller's context.
var errSweeperClosed = errors.New("sweeper closed")

// NewSweeper returns a Sweeper that is not yet running: see Run.
func NewSweeper(target Sweepable, opts *SweeperOptions) (*Sweeper, error) {
	var o SweeperOptions
	if opts != nil {
		o = *opts
	}
	if target == nil || o.Interval < 0 || o.Limit < 0 {
		return nil, &model.Error{Op: "NewSweeper", Err: model.NewError(model.ErrInvalid, "no target, or a negative option", nil)}
	}
	if o.Interval == 0 {
		o.Interval = time.Minute
	}
	s := &Sweeper{target: target, opts: o}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// Run sweeps, waits, and sweeps again until ctx ends or Close is called. It
// returns the context's error, or nil after Close. It may run in several
// goroutines at once.
func (s *Sweeper) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ctx, func() { cancel(errSweeperClosed) })
	defer stop()
	for {
		swept, err := s.Sweep(ctx)
		if ctx.Err() == nil && s.opts.OnSwept != nil {
			s.opts.OnSwept(swept, err)
		}
		wait := s.opts.Interval/2 + rand.N(s.opts.Interval) //nolint:gosec // jitter, not a secret
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			if context.Cause(ctx) == errSweeperClosed { //nolint:errorlint // set above, never wrapped
				return nil
			}
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Sweep removes what is due now, in as many calls as it takes, and returns
// what it did. It stops at an error, and where a call removed nothing although
// there is more: others are at it, or Each refuses.
func (s *Sweeper) Sweep(ctx context.Context) (driver.Swept, error) {
	var sum driver.Swept
	for {
		n, err := s.target.DeleteExpired(ctx, &SweepOptions{Limit: s.opts.Limit, OnExpire: s.opts.Each})
		sum.Removed += n.Removed
		sum.Unknown += n.Unknown
		sum.More = n.More
		s.count(n)
		if err != nil || !n.More || n.Removed == 0 {
			return sum, err
		}
	}
}

func (s *Sweeper) count(n driver.Swept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.Removed += n.Removed
	s.total.Unknown += n.Unknown
}

// Total is what this Sweeper has removed since it was made.
func (s *Sweeper) Total() driver.Swept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Close ends every Run and waits for them. It may be called at any time, again
// and concurrently, and returns nil.
func (s *Sweeper) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(errSweeperClosed)
	s.running.Wait()
	return nil
}
