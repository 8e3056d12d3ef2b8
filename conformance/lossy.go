package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Lossy wraps a backend without a network to cut. After Lose, the next call is
// carried out, but its answer is lost: a write returns ErrUnknown, a read
// returns ErrUnavailable. NewLossy makes one.
//
// A Lossy has the methods of all optional interfaces. For one that the wrapped
// backend lacks, it does what expiry.Store would do. The suite asks the wrapped
// backend which it has. If that lacks driver.StorageManager, the cases on it are
// reported as not proven.
type Lossy struct {
	driverkit.Wrapper
	armed atomic.Bool
}

// NewLossy returns a Lossy around b.
func NewLossy(b driver.ModelExpirySupport) *Lossy { return &Lossy{Wrapper: driverkit.Wrap(b)} }

// Lose makes the Lossy lose the answer of the next call.
func (l *Lossy) Lose() { l.armed.Store(true) }

// LoseNext is a Harness.LoseNext for a Harness.Open that returns a *Lossy, or
// a wrapper around one.
func LoseNext(t testing.TB, b driver.ModelExpirySupport) {
	t.Helper()
	for inner := b; inner != nil; {
		if l, ok := inner.(*Lossy); ok {
			l.Lose()
			return
		}
		w, ok := inner.(driver.Unwrapper)
		if !ok {
			break
		}
		inner = w.Unwrap()
	}
	t.Fatalf("conformance: got the backend %T, want a *conformance.Lossy or a wrapper around one", b)
}

// loses reports whether the answer of this call is lost.
func (l *Lossy) loses() bool { return l.armed.CompareAndSwap(true, false) }

// written returns the error of a write: ErrUnknown if its answer is lost.
func (l *Lossy) written(err error) error {
	if l.loses() {
		return model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}
	return err
}

// read returns the error of a read: ErrUnavailable if its answer is lost.
func (l *Lossy) read(err error) error {
	if l.loses() {
		return model.NewError(model.ErrUnavailable, "the answer was lost", nil)
	}
	return err
}

// Get forwards to the backend and may lose the answer.
func (l *Lossy) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	r, err := l.Wrapper.Get(ctx, now, g)
	if err = l.read(err); err != nil {
		return model.Record{}, err
	}
	return r, nil
}

// Page forwards to the backend and may lose the answer.
func (l *Lossy) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	p, err := l.Wrapper.Page(ctx, now, q)
	if err = l.read(err); err != nil {
		return driver.Page{}, err
	}
	return p, nil
}

// DeleteExpired forwards to the backend and may lose the answer about the
// removals, also if OnExpire calls Lose.
func (l *Lossy) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	s, err := l.Wrapper.DeleteExpired(ctx, sw)
	if l.loses() {
		s.Removed, s.Unknown = 0, s.Unknown+s.Removed
		err = model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}
	return s, err
}

// Write forwards to the backend and may lose the answer.
func (l *Lossy) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	r, err := l.Wrapper.Write(ctx, now, w)
	if l.loses() {
		return model.Record{}, model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}
	return r, err // with ErrConflict, r is the record that won
}

// Touch forwards to the backend and may lose the answer.
func (l *Lossy) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	r, err := l.Wrapper.Touch(ctx, now, t)
	if err = l.written(err); err != nil {
		return model.Record{}, err
	}
	return r, nil
}

// Delete forwards to the backend and may lose the answer.
func (l *Lossy) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return l.written(l.Wrapper.Delete(ctx, now, d))
}

// GetMany forwards to the backend and may lose the answer about all records.
func (l *Lossy) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := l.Wrapper.GetMany(ctx, now, gets)
	if err := l.read(nil); err != nil {
		for i := range out {
			out[i] = driver.BatchResult{Err: err}
		}
	}
	return out
}

// WriteMany forwards to the backend and may lose the answer about all
// operations.
func (l *Lossy) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := l.Wrapper.WriteMany(ctx, now, ops)
	if err := l.written(nil); err != nil {
		for i := range out {
			out[i] = driver.BatchResult{Err: err}
		}
	}
	return out
}

// Count forwards to the backend and may lose the answer.
func (l *Lossy) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	n, err := l.Wrapper.Count(ctx, now, q)
	if err = l.read(err); err != nil {
		return 0, err
	}
	return n, nil
}
