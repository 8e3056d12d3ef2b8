// Package sessiontest has what tests of sessions need: a clock that moves when
// told, a wrapper around a backend that counts, holds, fails and spoils calls,
// and requests that have a session.
//
//	r := sessiontest.Request(t, r, sessiontest.As("alice"), sessiontest.With(Cart, c))
package sessiontest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Clock stands still until it is told to move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock at that instant.
func NewClock(now time.Time) *Clock { return &Clock{now: now.UTC().Truncate(time.Millisecond)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock and returns its time.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// Op names a method of a backend.
type Op string

// The methods that a Hook sees.
const (
	Get    Op = "Get"
	Write  Op = "Write"
	Touch  Op = "Touch"
	Delete Op = "Delete"
	Page   Op = "Page"
	Sweep  Op = "DeleteExpired"
)

// Hook runs around a call. What it does before calling next happens before the
// call, and blocks it; what it returns is the call's error, so that a hook
// that does not call next fails the call, and one that calls it and returns an
// error of its own loses the answer.
type Hook func(op Op, id string, next func() error) error

// Backend counts the driver calls of the backend that it wraps.
type Backend struct {
	b     expiry.ModelExpirySupport
	mu    sync.Mutex
	calls map[Op]int
	hook  Hook

	tamper func(*model.Record)
}

var (
	_ expiry.ModelExpirySupport = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Unwrapper          = (*Backend)(nil)
)

// Wrap returns a Backend around b.
func Wrap(b expiry.ModelExpirySupport) *Backend {
	return &Backend{b: b, calls: map[Op]int{}}
}

// SetHook puts a hook around every call from now on; nil removes it.
func (b *Backend) SetHook(h Hook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = h
}

// Calls returns how many calls there were since the last Calls, as text in
// the order of the contract: "Get 1, Write 1"; "none" for none.
func (b *Backend) Calls() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := ""
	for _, op := range []Op{Get, Write, Touch, Delete, Page, Sweep} {
		if n := b.calls[op]; n > 0 {
			if out != "" {
				out += ", "
			}
			out += fmt.Sprintf("%s %d", op, n)
		}
	}
	clear(b.calls)
	if out == "" {
		return "none"
	}
	return out
}

func (b *Backend) around(op Op, id string, next func() error) error {
	b.mu.Lock()
	b.calls[op]++
	h := b.hook
	b.mu.Unlock()
	if h == nil {
		return next()
	}
	return h(op, id, next)
}

// Get counts and calls.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (rec model.Record, err error) {
	err = b.around(Get, g.ID, func() (err error) { rec, err = b.b.Get(ctx, now, g); return err })
	if err == nil {
		b.tampered(&rec)
	}
	return rec, err
}

// Write counts and calls.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (rec model.Record, err error) {
	err = b.around(Write, w.Record.ID, func() (err error) { rec, err = b.b.Write(ctx, now, w); return err })
	return rec, err
}

// Touch counts and calls.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (rec model.Record, err error) {
	err = b.around(Touch, t.ID, func() (err error) { rec, err = b.b.Touch(ctx, now, t); return err })
	return rec, err
}

// Delete counts and calls.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return b.around(Delete, d.ID, func() error { return b.b.Delete(ctx, now, d) })
}

// Page counts and calls.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (p driver.Page, err error) {
	err = b.around(Page, "", func() (err error) { p, err = b.b.Page(ctx, now, q); return err })
	for i := range p.Records {
		b.tampered(&p.Records[i])
	}
	return p, err
}

// DeleteExpired counts and calls.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (s driver.Swept, err error) {
	err = b.around(Sweep, "", func() (err error) { s, err = b.b.DeleteExpired(ctx, sw); return err })
	return s, err
}

// Describe calls.
func (b *Backend) Describe() driver.Description { return b.b.Describe() }

// Close calls.
func (b *Backend) Close() error { return b.b.Close() }

// Count forwards the optional interface.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	return driver.Count(ctx, b.b, now, q)
}

// CreateStorage forwards the optional interface.
func (b *Backend) CreateStorage(ctx context.Context) error { return driver.CreateStorage(ctx, b.b) }

// DeleteStorage forwards the optional interface.
func (b *Backend) DeleteStorage(ctx context.Context) error { return driver.DeleteStorage(ctx, b.b) }

// Ping forwards the optional interface.
func (b *Backend) Ping(ctx context.Context) error {
	return driver.Ping(ctx, b.b, time.Now().UTC().Truncate(time.Millisecond))
}

// Unwrap returns the backend.
func (b *Backend) Unwrap() expiry.ModelExpirySupport { return b.b }
