package session

import (
	"context"
	"sync"
	"time"
)

// patience is a context that ends after some time. Its timer starts when somebody
// asks for Done: a store that looks at Err and Deadline alone needs none, and to
// start and stop one costs a tenth of a request in memory.
type patience struct {
	context.Context //nolint:containedctx // this is a context
	at              time.Time

	mu      sync.Mutex
	timed   context.Context //nolint:containedctx // with the timer, once there is one
	stop    context.CancelFunc
	stopped bool
}

// within returns a context that ends after d at the latest. The function must be
// called, as with context.WithTimeout.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	p := &patience{Context: ctx, at: time.Now().Add(d)}
	return p, p.cancel
}

// Deadline returns the earlier one of the parent's and its own.
func (p *patience) Deadline() (time.Time, bool) {
	if at, ok := p.Context.Deadline(); ok && at.Before(p.at) {
		return at, true
	}
	return p.at, true
}

// begin returns the context with the timer. The caller holds mu.
func (p *patience) begin() context.Context {
	if p.timed == nil {
		p.timed, p.stop = context.WithDeadline(p.Context, p.at)
		if p.stopped {
			p.stop()
		}
	}
	return p.timed
}

// Done starts the timer.
func (p *patience) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begin().Done()
}

// Err needs no timer before the end.
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil && !p.stopped && p.Context.Err() == nil && time.Now().Before(p.at) {
		return nil
	}
	return p.begin().Err()
}

// Value asks the context with the timer if there is one, so that package context
// knows it and starts no goroutine for contexts that are made from this one.
func (p *patience) Value(key any) any {
	p.mu.Lock()
	from := p.timed
	p.mu.Unlock()
	if from == nil {
		from = p.Context
	}
	return from.Value(key)
}

func (p *patience) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped = true; p.stop != nil {
		p.stop()
	}
}
