package expiry

import (
	"context"
	"reflect"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// DeleteExpired removes physically what expired before now minus the store's
// grace, at most opts.Limit records. Call it again while More is true, or let
// a Sweeper do so.
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
		return driver.Swept{}, c.end(model.NewError(model.ErrInvalid, "a negative limit", nil))
	}
	if err := ctx.Err(); err != nil {
		return driver.Swept{}, c.end(err)
	}
	c.calls++
	n, err := s.b.DeleteExpired(ctx, driver.Sweep{Before: c.now.Add(-s.opts.Grace), Limit: o.Limit, OnExpire: o.OnExpire})
	return n, c.end(classified(err, model.ErrUnavailable))
}

// Ping asks the backend for a sign of life.
func (s *Store[T]) Ping(ctx context.Context) error {
	c := s.begin(ctx, "Ping", "")
	return c.storage(func() error { return driver.Ping(ctx, s.b, c.now) })
}

// CreateStorage makes what the store needs on its server: table, collection,
// index, directory. Where nothing is needed it does nothing.
func (s *Store[T]) CreateStorage(ctx context.Context) error {
	c := s.begin(ctx, "CreateStorage", "")
	return c.storage(func() error { return driver.CreateStorage(ctx, s.b) })
}

// DeleteStorage removes the store with all its records.
func (s *Store[T]) DeleteStorage(ctx context.Context) error {
	c := s.begin(ctx, "DeleteStorage", "")
	return c.storage(func() error { return driver.DeleteStorage(ctx, s.b) })
}

func (c *call) storage(do func() error) error {
	if err := c.ctx.Err(); err != nil {
		return c.end(err)
	}
	c.calls++
	return c.end(classified(do(), model.ErrUnavailable))
}

// Describe returns what the backend is and cannot do.
func (s *Store[T]) Describe() driver.Description { return s.b.Describe() }

// Close closes the backend. It never closes a client that the program made.
func (s *Store[T]) Close() error {
	c := s.begin(context.Background(), "Close", "")
	return c.end(classified(s.b.Close(), model.ErrUnavailable))
}

// As sets target, a pointer to a variable of a backend's type, to the backend
// that the store stands on, through any wrappers, and reports whether it found
// one: the way to what only that backend can do.
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
