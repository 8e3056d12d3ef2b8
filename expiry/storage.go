package expiry

import (
	"context"
	"reflect"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// DeleteExpired physically removes records that expired longer ago than the
// store's grace, at most opts.Limit. Call it again while More is true, or use a
// Sweeper.
func (s *Store[T]) DeleteExpired(ctx context.Context, opts *SweepOptions) (driver.Swept, error) {
	c := s.begin(ctx, "DeleteExpired", "")
	var o SweepOptions
	if opts != nil {
		o = *opts
	}
	if o.Limit == 0 {
		o.Limit = 1000
	}
	if o.Limit < 0 {
		return driver.Swept{}, c.end(model.NewError(model.ErrInvalid, "Limit must not be negative", nil))
	}
	if err := c.enter(ctx); err != nil {
		return driver.Swept{}, c.end(err)
	}
	n, err := s.b.DeleteExpired(ctx, driver.Sweep{Before: c.now.Add(-s.opts.Grace), Limit: o.Limit, OnExpire: o.OnExpire})
	return n, c.end(classified(err, model.ErrUnavailable))
}

// Ping returns nil if the backend's server answers.
func (s *Store[T]) Ping(ctx context.Context) error {
	c := s.begin(ctx, "Ping", "")
	return c.storage(func() error { return driver.Ping(ctx, s.b, c.now) })
}

// CreateStorage creates what the store needs on its server: a table, an index,
// a directory. It may be repeated, and records stay.
func (s *Store[T]) CreateStorage(ctx context.Context) error {
	c := s.begin(ctx, "CreateStorage", "")
	return c.storage(func() error { return driver.CreateStorage(ctx, s.b) })
}

// DeleteStorage removes the store with all its records, and nothing else. It
// may be repeated. After CreateStorage the store is empty and usable.
func (s *Store[T]) DeleteStorage(ctx context.Context) error {
	c := s.begin(ctx, "DeleteStorage", "")
	return c.storage(func() error { return driver.DeleteStorage(ctx, s.b) })
}

func (c *call) storage(do func() error) error {
	if err := c.enter(c.ctx); err != nil {
		return c.end(err)
	}
	return c.end(classified(do(), model.ErrUnavailable))
}

// Describe returns the backend's name, labels, limits and missing features.
func (s *Store[T]) Describe() driver.Description {
	if s.b == nil {
		return driver.Description{}
	}
	return s.b.Describe()
}

// Close closes the backend. It does not close a client that the program opened.
func (s *Store[T]) Close() error {
	c := s.begin(context.Background(), "Close", "")
	if s.b == nil {
		return nil
	}
	return c.end(classified(s.b.Close(), model.ErrUnavailable))
}

// As sets target to the store's backend, through any wrappers, and reports
// whether one has target's type. Target is a pointer to a variable of a
// backend's type. Use it for what only that backend can do.
//
//	var b *redis.Backend
//	if store.As(&b) { … }
func (s *Store[T]) As(target any) bool {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	want := v.Elem()
	for b := s.b; b != nil; {
		if reflect.TypeOf(b).AssignableTo(want.Type()) {
			want.Set(reflect.ValueOf(b))
			return true
		}
		w, ok := b.(driver.Unwrapper)
		if !ok {
			return false
		}
		b = w.Unwrap()
	}
	return false
}
