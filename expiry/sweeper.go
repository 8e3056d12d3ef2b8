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

// Sweepable is what a Sweeper sweeps, such as a Store.
type Sweepable interface {
	DeleteExpired(ctx context.Context, opts *SweepOptions) (driver.Swept, error)
}

// SweeperOptions configures a Sweeper. The zero value of every field is its
// default.
type SweeperOptions struct {
	// Interval is the average time between two sweeps. Each wait is random,
	// from half of it to one and a half, so that many nodes do not sweep at the
	// same time. Zero means one minute.
	Interval time.Duration
	// Limit is the largest number of records that one DeleteExpired removes. A
	// sweep repeats it until no expired record is left. Zero means 1000.
	Limit int
	// OnExpire sees every record before its removal, at least once, as in
	// SweepOptions.
	OnExpire func(model.Record) error
	// OnSwept is called with the result of every sweep, also with an error. A
	// Sweeper goes on after an error.
	OnSwept func(driver.Swept, error)
}

// Sweeper calls DeleteExpired at an interval. Any number of Sweepers, also in
// several processes, share the work on one store: one of them counts each
// removal.
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

// NewSweeper returns a Sweeper. Run starts it.
func NewSweeper(target Sweepable, opts *SweeperOptions) (*Sweeper, error) {
	var o SweeperOptions
	if opts != nil {
		o = *opts
	}
	if target == nil || o.Interval < 0 || o.Limit < 0 {
		return nil, &model.Error{Op: "NewSweeper", Err: model.NewError(model.ErrInvalid, "the target is nil, or an option is negative", nil)}
	}
	if o.Interval == 0 {
		o.Interval = time.Minute
	}
	s := &Sweeper{target: target, opts: o}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// Run sweeps and waits in turn until ctx ends or Close is called. It returns
// the context's error, or nil after Close. It may run in several goroutines.
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

// Sweep removes all records that have expired, and returns the sums. It stops
// at an error, and if a call removed nothing although more records are due:
// another sweeper removes them, or OnExpire refuses them.
func (s *Sweeper) Sweep(ctx context.Context) (driver.Swept, error) {
	var sum driver.Swept
	for {
		n, err := s.target.DeleteExpired(ctx, &SweepOptions{Limit: s.opts.Limit, OnExpire: s.opts.OnExpire})
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

// Total returns what this Sweeper has removed since NewSweeper.
func (s *Sweeper) Total() driver.Swept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Close ends every Run and waits for them. It may be called at any time, also
// concurrently, and returns nil.
func (s *Sweeper) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(errSweeperClosed)
	s.running.Wait()
	return nil
}
