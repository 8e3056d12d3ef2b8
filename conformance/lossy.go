package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Lossy wraps a backend that has no network to cut: after Lose, the next call
// is carried out and its answer replaced by ErrUnknown, that of a read by
// ErrUnavailable. It is the LoseNext of a Harness whose backend runs in the
// process itself.
type Lossy struct {
	driver.ModelExpirySupport
	armed atomic.Bool
}

// Lose loses the answer of the next call.
func (l *Lossy) Lose() { l.armed.Store(true) }

// LoseNext fits Harness.LoseNext where Harness.Open returns a *Lossy, or a
// wrapper that unwraps to one.
func LoseNext(t testing.TB, b driver.ModelExpirySupport) {
	t.Helper()
	for in := b; in != nil; {
		if l, ok := in.(*Lossy); ok {
			l.Lose()
			return
		}
		w, ok := in.(driver.Unwrapper)
		if !ok {
			break
		}
		in = w.Unwrap()
	}
	t.Fatalf("conformance: %T is no *Lossy", b)
}

// loses reports whether this call's answer is lost.
func (l *Lossy) loses() bool { return l.armed.CompareAndSwap(true, false) }

func (l *Lossy) lost(err error) error {
	if l.loses() {
		return model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}
	return err
}

func (l *Lossy) unread(err error) error {
	if l.loses() {
		return model.NewError(model.ErrUnavailable, "the answer was lost", nil)
	}
	return err
}

// Get passes on and may lose the answer.
func (l *Lossy) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	r, err := l.ModelExpirySupport.Get(ctx, now, g)
	if err = l.unread(err); err != nil {
		return model.Record{}, err
	}
	return r, nil
}

// Page passes on and may lose the answer.
func (l *Lossy) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	p, err := l.ModelExpirySupport.Page(ctx, now, q)
	if err = l.unread(err); err != nil {
		return driver.Page{}, err
	}
	return p, nil
}

// DeleteExpired passes on and may lose the answer about the removals; it does
// where Lose is called while a record is announced.
func (l *Lossy) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	s, err := l.ModelExpirySupport.DeleteExpired(ctx, sw)
	if l.loses() {
		s.Removed, s.Unknown = 0, s.Unknown+s.Removed
		err = model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}
	return s, err
}

// Write passes on and may lose the answer.
func (l *Lossy) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	r, err := l.ModelExpirySupport.Write(ctx, now, w)
	if l.loses() {
		return model.Record{}, model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}
	return r, err
}

// Touch passes on and may lose the answer.
func (l *Lossy) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	r, err := l.ModelExpirySupport.Touch(ctx, now, t)
	if err = l.lost(err); err != nil {
		return model.Record{}, err
	}
	return r, nil
}

// Delete passes on and may lose the answer.
func (l *Lossy) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return l.lost(l.ModelExpirySupport.Delete(ctx, now, d))
}

// GetMany passes on and may lose the answer to all of it.
func (l *Lossy) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := driver.GetMany(ctx, l.ModelExpirySupport, now, gets)
	if err := l.unread(nil); err != nil {
		for i := range out {
			out[i] = driver.BatchResult{Err: err}
		}
	}
	return out
}

// WriteMany passes on and may lose the answer to all of it.
func (l *Lossy) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := driver.WriteMany(ctx, l.ModelExpirySupport, now, ops)
	if l.loses() {
		for i := range out {
			out[i] = driver.BatchResult{Err: model.NewError(model.ErrUnknown, "the answer was lost", nil)}
		}
	}
	return out
}

// Count passes on and may lose the answer.
func (l *Lossy) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	n, err := driver.Count(ctx, l.ModelExpirySupport, now, q)
	if err = l.unread(err); err != nil {
		return 0, err
	}
	return n, nil
}

// CreateStorage passes on.
func (l *Lossy) CreateStorage(ctx context.Context) error {
	return driver.CreateStorage(ctx, l.ModelExpirySupport)
}

// DeleteStorage passes on.
func (l *Lossy) DeleteStorage(ctx context.Context) error {
	return driver.DeleteStorage(ctx, l.ModelExpirySupport)
}

// Ping passes on.
func (l *Lossy) Ping(ctx context.Context) error {
	return driver.Ping(ctx, l.ModelExpirySupport, time.Time{})
}

// Unwrap returns the backend.
func (l *Lossy) Unwrap() driver.ModelExpirySupport { return l.ModelExpirySupport }
