package expiry

import (
	"context"
	"crypto/rand"
	"maps"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Hooks derive what a Store writes from the value itself. They run on every way
// to write, UpdatePartial and Bulk included. They get the value that is stored
// and returned. Each may be nil. They must be safe for concurrent use and must not
// keep the pointer.
type Hooks[T any] struct {
	// BeforeWrite may change the value, such as to stamp the time of a change,
	// or refuse it: its error is returned unchanged, and nothing is written.
	// It does not run if nothing is written. A compare-and-set that is
	// tried again runs it again.
	BeforeWrite func(ctx context.Context, id string, v *T) error
	// Labels returns the labels of a record with that value, so that an update
	// of the value moves the record in listings. WriteOptions.Labels is
	// ErrInvalid then, and Reindex may be called without a function.
	Labels func(v *T) map[string]string
	// Expiry returns when a record with that value expires. The zero Expiry
	// means the operation's default, and WriteOptions.Expiry goes first. Touch
	// does not read the value, and does not call it.
	Expiry func(v *T) Expiry
}

// userError marks an error of the caller's own function, which is returned
// unchanged.
type userError struct{ error }

func (e userError) Unwrap() error { return e.error }

// before runs the hook that may change or refuse a value.
func (s *Store[T]) before(ctx context.Context, id string, v *T) error {
	if s.hooks.BeforeWrite == nil {
		return nil
	}
	if err := s.hooks.BeforeWrite(ctx, id, v); err != nil {
		return userError{err}
	}
	return nil
}

// derive sets what the hooks derive from the value.
func (s *Store[T]) derive(p *pending, v *T, opts *WriteOptions) {
	if s.hooks.Labels != nil {
		// The hook may keep the map.
		p.Record.Labels, p.Keep.Labels = maps.Clone(s.hooks.Labels(v)), false
	}
	if s.hooks.Expiry != nil && (opts == nil || opts.Expiry == Expiry{}) {
		p.expiry = s.hooks.Expiry(v)
	}
}

// conditions fills in the parts of a write that the options decide, but for
// the time of its expiry.
func (s *Store[T]) conditions(p *pending, cond driver.Condition, opts *WriteOptions) error {
	if opts == nil {
		opts = &WriteOptions{}
	}
	p.Cond, p.expiry = cond, opts.Expiry
	update := p.updates()
	if opts.IfMatch != nil {
		if !update {
			return model.NewError(model.ErrInvalid, "IfMatch is not for a create or upsert", nil)
		}
		if opts.IfMatch.known.Revision.IsZero() {
			return model.NewError(model.ErrInvalid, "IfMatch has no revision", nil)
		}
		p.Cond, p.Known = driver.IfMatch, opts.IfMatch.known
	}
	if s.hooks.Labels != nil && opts.Labels != nil {
		return model.NewError(model.ErrInvalid, "the store derives labels from the value: the call must not give any", nil)
	}
	p.Record.Labels = opts.Labels
	p.Keep.Labels = update && opts.Labels == nil
	return nil
}

// RandomID returns a new random id of 26 letters and digits with at least 128
// random bits, for StoreOptions.NewID.
func RandomID() string { return rand.Text() }
