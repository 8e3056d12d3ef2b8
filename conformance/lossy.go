package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// Lossy wraps a backend that has no network to cut: after Lose, the next write
// is carried out and its answer replaced by ErrUnknown. It is the LoseNext of
// a Harness whose backend runs in the process itself.
type Lossy struct {
	expiry.ModelExpirySupport
	armed atomic.Bool
}

// Lose loses the answer of the next write.
func (l *Lossy) Lose() { l.armed.Store(true) }

// LoseNext fits Harness.LoseNext where Harness.Open returns a *Lossy.
func LoseNext(t testing.TB, b expiry.ModelExpirySupport) {
	t.Helper()
	l, ok := b.(*Lossy)
	if !ok {
		t.Fatalf("conformance: %T is no *Lossy", b)
	}
	l.Lose()
}

func (l *Lossy) lost(err error) error {
	if l.armed.CompareAndSwap(true, false) {
		return model.Fault(model.ErrUnknown, "the answer was lost", nil)
	}
	return err
}

// Write passes on and may lose the answer.
func (l *Lossy) Write(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
	r, err := l.ModelExpirySupport.Write(ctx, now, w)
	return r, l.lost(err)
}

// Touch passes on and may lose the answer.
func (l *Lossy) Touch(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
	r, err := l.ModelExpirySupport.Touch(ctx, now, t)
	return r, l.lost(err)
}

// Delete passes on and may lose the answer.
func (l *Lossy) Delete(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
	return l.lost(l.ModelExpirySupport.Delete(ctx, now, id, c, prev))
}

// GetMany passes on.
func (l *Lossy) GetMany(ctx context.Context, now time.Time, ids []string) []expiry.Outcome {
	return expiry.GetMany(ctx, l.ModelExpirySupport, now, ids)
}

// WriteMany passes on and may lose the answer to all of it.
func (l *Lossy) WriteMany(ctx context.Context, now time.Time, ops []expiry.BatchOp) []expiry.Outcome {
	out := expiry.WriteMany(ctx, l.ModelExpirySupport, now, ops)
	if l.armed.CompareAndSwap(true, false) {
		for i := range out {
			out[i] = expiry.Outcome{Err: model.Fault(model.ErrUnknown, "the answer was lost", nil)}
		}
	}
	return out
}

// Count passes on.
func (l *Lossy) Count(ctx context.Context, now time.Time, label, value string) (int, error) {
	return expiry.Count(ctx, l.ModelExpirySupport, now, label, value)
}

// CreateStorage passes on.
func (l *Lossy) CreateStorage(ctx context.Context) error {
	return expiry.CreateStorage(ctx, l.ModelExpirySupport)
}

// DeleteStorage passes on.
func (l *Lossy) DeleteStorage(ctx context.Context) error {
	return expiry.DeleteStorage(ctx, l.ModelExpirySupport)
}

// Ping passes on.
func (l *Lossy) Ping(ctx context.Context) error {
	return expiry.Ping(ctx, l.ModelExpirySupport, time.Time{})
}

// Unwrap returns the backend.
func (l *Lossy) Unwrap() expiry.ModelExpirySupport { return l.ModelExpirySupport }
