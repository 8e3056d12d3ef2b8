package conformance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// between stands between a Store and its backend, so that a case can act at
// the moments that decide: before a call is sent, and after its answer was
// lost, before the Store looks. What is nil does nothing.
type between struct {
	driver.ModelExpirySupport
	before func(op string)
	lost   func(op string) // once, after the first ErrUnknown

	// instead, if not nil, answers a write in place of the backend.
	instead func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error)

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

func (b *between) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	b.enter("Get")
	return b.ModelExpirySupport.Get(ctx, now, g)
}

func (b *between) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	b.enter("Write")
	if b.instead != nil {
		r, err := b.instead(ctx, now, w)
		return r, b.leave("Write", err)
	}
	r, err := b.ModelExpirySupport.Write(ctx, now, w)
	return r, b.leave("Write", err)
}

func (b *between) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	b.enter("Touch")
	r, err := b.ModelExpirySupport.Touch(ctx, now, t)
	return r, b.leave("Touch", err)
}

func (b *between) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	b.enter("Delete")
	return b.leave("Delete", b.ModelExpirySupport.Delete(ctx, now, d))
}

func (b *between) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	b.enter("Page")
	return b.ModelExpirySupport.Page(ctx, now, q)
}

func (b *between) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	b.enter("DeleteExpired")
	s, err := b.ModelExpirySupport.DeleteExpired(ctx, sw)
	return s, b.leave("DeleteExpired", err)
}

func (b *between) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	b.enter("GetMany")
	return driver.GetMany(ctx, b.ModelExpirySupport, now, gets)
}

func (b *between) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	b.enter("WriteMany")
	out := driver.WriteMany(ctx, b.ModelExpirySupport, now, ops)
	for _, o := range out {
		_ = b.leave("WriteMany", o.Err)
	}
	return out
}

func (b *between) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	b.enter("Count")
	return driver.Count(ctx, b.ModelExpirySupport, now, q)
}

func (b *between) CreateStorage(ctx context.Context) error {
	b.enter("CreateStorage")
	return driver.CreateStorage(ctx, b.ModelExpirySupport)
}

func (b *between) DeleteStorage(ctx context.Context) error {
	b.enter("DeleteStorage")
	return driver.DeleteStorage(ctx, b.ModelExpirySupport)
}

func (b *between) Ping(ctx context.Context) error {
	b.enter("Ping")
	return driver.Ping(ctx, b.ModelExpirySupport, time.Time{})
}
