package driverkit

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Wrapper forwards every method of a backend, the optional interfaces
// included. A wrapper embeds it and overrides what it changes. What the
// wrapped backend lacks is done as expiry.Store would do it.
//
// GetMany, WriteMany and Count go to the wrapped backend, not to the Get,
// Write, Delete and Page of the wrapper. A wrapper that changes those also
// overrides the former.
//
//	type traced struct{ driverkit.Wrapper }
//
//	func (t traced) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
//		…
//		return t.ModelExpirySupport.Get(ctx, now, g)
//	}
//
//	backend := traced{driverkit.Wrap(inner)}
type Wrapper struct{ driver.ModelExpirySupport }

// Wrap returns a Wrapper around b.
func Wrap(b driver.ModelExpirySupport) Wrapper { return Wrapper{b} }

var (
	_ driver.BatchGetter    = Wrapper{}
	_ driver.BatchWriter    = Wrapper{}
	_ driver.Counter        = Wrapper{}
	_ driver.StorageManager = Wrapper{}
	_ driver.Pinger         = Wrapper{}
	_ driver.Statter        = Wrapper{}
	_ driver.Checker        = Wrapper{}
	_ driver.Unwrapper      = Wrapper{}
)

// GetMany forwards to the backend, or gets the records one by one.
func (w Wrapper) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	return driver.GetMany(ctx, w.ModelExpirySupport, now, gets)
}

// WriteMany forwards to the backend, or carries out the operations one by one.
func (w Wrapper) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return driver.WriteMany(ctx, w.ModelExpirySupport, now, ops)
}

// Count forwards to the backend, or lists ids.
func (w Wrapper) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	return driver.Count(ctx, w.ModelExpirySupport, now, q)
}

// Stat forwards to the backend, or gets the record.
func (w Wrapper) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	return driver.GetStat(ctx, w.ModelExpirySupport, now, g)
}

// CreateStorage forwards to the backend, or does nothing.
func (w Wrapper) CreateStorage(ctx context.Context) error {
	return driver.CreateStorage(ctx, w.ModelExpirySupport)
}

// DeleteStorage forwards to the backend, or does nothing.
func (w Wrapper) DeleteStorage(ctx context.Context) error {
	return driver.DeleteStorage(ctx, w.ModelExpirySupport)
}

// Ping forwards to the backend, or gets an id that no program uses.
func (w Wrapper) Ping(ctx context.Context) error {
	return driver.Ping(ctx, w.ModelExpirySupport, time.Time{})
}

// Check forwards to the backend, or returns no checks.
func (w Wrapper) Check(ctx context.Context) (driver.Checks, error) {
	return driver.Check(ctx, w.ModelExpirySupport)
}

// Unwrap returns the backend.
func (w Wrapper) Unwrap() driver.ModelExpirySupport { return w.ModelExpirySupport }
