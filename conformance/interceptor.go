package conformance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// interceptor stands between a Store and its backend and lets a case act
// before a call is sent, or after an answer was lost and before the Store reads
// the record. A nil function does nothing.
type interceptor struct {
	driverkit.Wrapper
	before func(op string)
	lost   func(op string) // called once, after the first ErrUnknown

	// instead, if not nil, answers a write in place of the backend.
	instead func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error)

	// maxTTL, if not zero, replaces the one that the backend declares.
	maxTTL time.Duration

	acted atomic.Bool
	calls atomic.Int64
}

// intercept returns an interceptor around b.
func intercept(b driver.ModelExpirySupport) *interceptor {
	return &interceptor{Wrapper: driverkit.Wrap(b)}
}

func (b *interceptor) begin(op string) {
	b.calls.Add(1)
	if b.before != nil {
		b.before(op)
	}
}

func (b *interceptor) end(op string, err error) error {
	if b.lost != nil && errors.Is(err, model.ErrUnknown) && b.acted.CompareAndSwap(false, true) {
		b.lost(op)
	}
	return err
}

func (b *interceptor) Describe() driver.Description {
	d := b.Wrapper.Describe()
	if b.maxTTL > 0 {
		d.MaxTTL = b.maxTTL
	}
	return d
}

func (b *interceptor) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	b.begin("Get")
	return b.Wrapper.Get(ctx, now, g)
}

func (b *interceptor) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	b.begin("Write")
	write := b.Wrapper.Write
	if b.instead != nil {
		write = b.instead
	}
	r, err := write(ctx, now, w)
	return r, b.end("Write", err)
}

func (b *interceptor) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	b.begin("Touch")
	r, err := b.Wrapper.Touch(ctx, now, t)
	return r, b.end("Touch", err)
}

func (b *interceptor) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	b.begin("Delete")
	return b.end("Delete", b.Wrapper.Delete(ctx, now, d))
}

func (b *interceptor) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	b.begin("Page")
	return b.Wrapper.Page(ctx, now, q)
}

func (b *interceptor) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	b.begin("DeleteExpired")
	s, err := b.Wrapper.DeleteExpired(ctx, sw)
	return s, b.end("DeleteExpired", err)
}

func (b *interceptor) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	b.begin("GetMany")
	return b.Wrapper.GetMany(ctx, now, gets)
}

func (b *interceptor) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	b.begin("WriteMany")
	out := b.Wrapper.WriteMany(ctx, now, ops)
	for _, o := range out {
		_ = b.end("WriteMany", o.Err)
	}
	return out
}

func (b *interceptor) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	b.begin("Count")
	return b.Wrapper.Count(ctx, now, q)
}

func (b *interceptor) CreateStorage(ctx context.Context) error {
	b.begin("CreateStorage")
	return b.Wrapper.CreateStorage(ctx)
}

func (b *interceptor) DeleteStorage(ctx context.Context) error {
	b.begin("DeleteStorage")
	return b.Wrapper.DeleteStorage(ctx)
}

func (b *interceptor) Ping(ctx context.Context) error {
	b.begin("Ping")
	return b.Wrapper.Ping(ctx)
}
