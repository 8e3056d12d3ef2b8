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

	mu     sync.Mutex
	waits  sync.Cond // on mu; a Run has ended or begun a callback
	runs   int
	inCall int // Runs that are in a callback of the program
	closed bool
	total  driver.Swept
}

// errNoSweeper is the error of a Sweeper that NewSweeper did not make.
var errNoSweeper = &model.Error{Op: "Sweep", Err: model.NewError(model.ErrInvalid, "the Sweeper has no target: make it with NewSweeper", nil)}

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
	s.waits.L = &s.mu
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// Run sweeps and waits in turn until ctx ends or Close is called. It returns
// the context's error, or nil after Close. It may run in several goroutines.
func (s *Sweeper) Run(ctx context.Context) error {
	if s.target == nil {
		return errNoSweeper
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.runs++
	s.mu.Unlock()
	defer s.changed(func() { s.runs-- })

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ctx, func() { cancel(errSweeperClosed) })
	defer stop()
	for {
		swept, err := s.sweep(ctx, s.announce(s.opts.OnExpire))
		if ctx.Err() == nil && s.opts.OnSwept != nil {
			s.callback(func() { s.opts.OnSwept(swept, err) })
		}
		t := time.NewTimer(s.wait())
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

// wait returns the random time to the next sweep.
func (s *Sweeper) wait() time.Duration {
	half := s.opts.Interval / 2
	w := half + rand.N(s.opts.Interval) //nolint:gosec // jitter, not a secret
	return max(w, half)                 // the sum of very long times overflows
}

// changed changes the state and wakes those who wait for it.
func (s *Sweeper) changed(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.waits.Broadcast()
}

// callback calls a function of the program, which may call Close, panic or end
// its goroutine.
func (s *Sweeper) callback(f func()) {
	s.changed(func() { s.inCall++ })
	defer s.changed(func() { s.inCall-- })
	f()
}

// announce returns an OnExpire that Close does not wait for.
func (s *Sweeper) announce(onExpire func(model.Record) error) func(model.Record) error {
	if onExpire == nil {
		return nil
	}
	return func(r model.Record) (err error) {
		s.callback(func() { err = onExpire(r) })
		return err
	}
}

// Sweep removes all records that have expired, and returns the sums. It stops
// at an error, and if a call removed nothing although more records are due:
// another sweeper removes them, or OnExpire refuses them.
func (s *Sweeper) Sweep(ctx context.Context) (driver.Swept, error) {
	if s.target == nil {
		return driver.Swept{}, errNoSweeper
	}
	return s.sweep(ctx, s.opts.OnExpire)
}

func (s *Sweeper) sweep(ctx context.Context, onExpire func(model.Record) error) (driver.Swept, error) {
	var sum driver.Swept
	for {
		n, err := s.target.DeleteExpired(ctx, &SweepOptions{Limit: s.opts.Limit, OnExpire: onExpire})
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

// Close ends every Run and waits for them, but not for one that is in OnExpire
// or OnSwept just then: it ends after the callback, so that a callback may call
// Close. Close may be called at any time, also concurrently, and returns nil.
func (s *Sweeper) Close() error {
	if s.target == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.cancel(errSweeperClosed)
	for s.runs > s.inCall {
		s.waits.Wait()
	}
	return nil
}
