package conformance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// between stands between a Store and its backend, so that a case can act at
// the moments that decide: before a call is sent, and after its answer was
// lost, before the Store looks. What is nil does nothing.
type between struct {
	expiry.ModelExpirySupport
	before func(op string)
	lost   func(op string) // once, after the first ErrUnknown

	// instead, if not nil, answers a write in place of the backend.
	instead func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error)

	acted atomic.Bool
	calls atomic.Int64 // that came through
}

func (b *between) enter(op string) {
	b.calls.Add(1)
	if b.before != nil {
		b.before(op)
	}
}

func (b *between) leave(op string, err error) error {
	if b.lost != nil && errors.Is(err, model.ErrUnknown) && b.acted.CompareAndSwap(false, true) {
		b.lost(op)
	}
	return err
}

func (b *between) Get(ctx context.Context, now time.Time, id string) (model.Record, error) {
	b.enter("Get")
	return b.ModelExpirySupport.Get(ctx, now, id)
}

func (b *between) Write(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
	b.enter("Write")
	if b.instead != nil {
		r, err := b.instead(ctx, now, w)
		return r, b.leave("Write", err)
	}
	r, err := b.ModelExpirySupport.Write(ctx, now, w)
	return r, b.leave("Write", err)
}

func (b *between) Touch(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
	b.enter("Touch")
	r, err := b.ModelExpirySupport.Touch(ctx, now, t)
	return r, b.leave("Touch", err)
}

func (b *between) Delete(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
	b.enter("Delete")
	return b.leave("Delete", b.ModelExpirySupport.Delete(ctx, now, id, c, prev))
}

func (b *between) Page(ctx context.Context, now time.Time, q expiry.Query) (expiry.Page, error) {
	b.enter("Page")
	return b.ModelExpirySupport.Page(ctx, now, q)
}

func (b *between) DeleteExpired(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (expiry.Swept, error) {
	b.enter("DeleteExpired")
	s, err := b.ModelExpirySupport.DeleteExpired(ctx, before, limit, each)
	return s, b.leave("DeleteExpired", err)
}

func (b *between) GetMany(ctx context.Context, now time.Time, ids []string) []expiry.Outcome {
	b.enter("GetMany")
	return expiry.GetMany(ctx, b.ModelExpirySupport, now, ids)
}

func (b *between) WriteMany(ctx context.Context, now time.Time, ops []expiry.BatchOp) []expiry.Outcome {
	b.enter("WriteMany")
	out := expiry.WriteMany(ctx, b.ModelExpirySupport, now, ops)
	for _, o := range out {
		_ = b.leave("WriteMany", o.Err)
	}
	return out
}

func (b *between) Count(ctx context.Context, now time.Time, label, value string) (int, error) {
	b.enter("Count")
	return expiry.Count(ctx, b.ModelExpirySupport, now, label, value)
}

func (b *between) CreateStorage(ctx context.Context) error {
	b.enter("CreateStorage")
	return expiry.CreateStorage(ctx, b.ModelExpirySupport)
}

func (b *between) DeleteStorage(ctx context.Context) error {
	b.enter("DeleteStorage")
	return expiry.DeleteStorage(ctx, b.ModelExpirySupport)
}

func (b *between) Ping(ctx context.Context) error {
	b.enter("Ping")
	return expiry.Ping(ctx, b.ModelExpirySupport, time.Time{})
}
