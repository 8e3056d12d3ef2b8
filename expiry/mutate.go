package expiry

import (
	"bytes"
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Mutate changes a live record with a function, by compare-and-set: it reads
// the record, calls change and writes at the revision that it read. If another
// writer wins, it starts again, StoreOptions.Attempts times and then returns
// ErrConflict. So concurrent mutations lose nothing. Change may run more than
// once, each time on a fresh value. If it returns an error, Mutate returns that
// very error and writes nothing. Nothing is written either if neither the
// encoded value nor opts change anything. Expiry and labels are kept unless
// opts or a hook gives them. With opts.IfMatch there is one attempt.
func (s *Store[T]) Mutate(ctx context.Context, id string, change func(*T) error, opts *WriteOptions) (Item[T], error) {
	return s.modify(ctx, "Mutate", id, opts, s.mutation(change))
}

// MutateOrCreate is Mutate that creates the record if there is none: change gets
// the zero T then, and opts and the store's TTL apply as in Create. So it makes
// counters and the like without a record to begin with. Opts.IfMatch is
// ErrInvalid.
func (s *Store[T]) MutateOrCreate(ctx context.Context, id string, change func(*T) error, opts *WriteOptions) (Item[T], error) {
	m := s.mutation(change)
	m.creates = true
	return s.modify(ctx, "MutateOrCreate", id, opts, m)
}

// mutation is a change of a record's value.
type mutation[T any] struct {
	creates bool // also a record that does not exist
	// change changes the item's value and returns its encoded bytes.
	change func(*Item[T]) ([]byte, error)
	// hooked runs the hook that may change the value once more, and returns the
	// encoded bytes again.
	hooked func(data []byte, v *T, hook func() error) ([]byte, error)
}

func (s *Store[T]) mutation(change func(*T) error) mutation[T] {
	return mutation[T]{
		change: func(it *Item[T]) ([]byte, error) {
			if err := change(&it.Value); err != nil {
				return nil, userError{err}
			}
			return encode(s.codec, &it.Value)
		},
		hooked: func(_ []byte, v *T, hook func() error) ([]byte, error) {
			if err := hook(); err != nil {
				return nil, err
			}
			return encode(s.codec, v)
		},
	}
}

// UpdatePartial replaces top-level fields of a JSON object by compare-and-set.
// A nil value removes the field, any other value replaces it whole. Fields that
// are not named keep their bytes. It returns ErrUnsupported for a codec other
// than JSON, and ErrInvalid if the stored value is not a JSON object or the
// result does not decode into T. A name that the store's type would not decode
// by exactly this spelling is ErrInvalid too.
func (s *Store[T]) UpdatePartial(ctx context.Context, id string, fields map[string]any, opts *WriteOptions) (Item[T], error) {
	const op = "UpdatePartial"
	err := s.made()
	var changes *patch
	if err == nil {
		changes, err = s.newPatch(fields)
	}
	if err != nil {
		c, _ := s.about(ctx, op, id)
		return Item[T]{}, c.end(err)
	}
	return s.modify(ctx, op, id, opts, mutation[T]{
		change: func(it *Item[T]) ([]byte, error) {
			data, err := changes.apply(it.plain)
			if err != nil {
				return nil, err
			}
			var v T
			if err := decode(s.codec, data, &v); err != nil {
				return nil, model.NewError(model.ErrInvalid, "the result does not decode into the store's type", errors.Unwrap(err))
			}
			it.Value = v
			return data, nil
		},
		hooked: func(data []byte, v *T, hook func() error) ([]byte, error) {
			before, err := encode(s.codec, v)
			if err == nil {
				err = hook()
			}
			if err != nil {
				return nil, err
			}
			after, err := encode(s.codec, v)
			if err != nil {
				return nil, err
			}
			changed, err := difference(before, after, changes.folds)
			if err != nil {
				return nil, err
			}
			return changed.apply(data)
		},
	})
}

// modify is the compare-and-set loop.
func (s *Store[T]) modify(ctx context.Context, op, id string, opts *WriteOptions, m mutation[T]) (Item[T], error) {
	c, err := s.about(ctx, op, id)
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	it, err := s.modifyLoop(&c, id, opts, &m)
	if err != nil {
		return Item[T]{}, c.endOwn(err)
	}
	return it, c.end(nil)
}

func (s *Store[T]) modifyLoop(c *call, id string, opts *WriteOptions, m *mutation[T]) (Item[T], error) {
	var options pending
	if err := s.conditions(&options, driver.IfPresent, opts); err != nil {
		return Item[T]{}, err
	}
	only := options.Known.Revision
	if m.creates && !only.IsZero() {
		return Item[T]{}, model.NewError(model.ErrInvalid, "IfMatch is not for a create", nil)
	}
	if err := c.resolve(&options); err != nil {
		return Item[T]{}, err
	}
	it, err := s.get(c, id)
	for attempt := 0; ; attempt++ {
		absent := m.creates && errors.Is(err, model.ErrNotFound)
		if err != nil && !absent {
			return Item[T]{}, err
		}
		if !only.IsZero() && it.Revision != only {
			return Item[T]{}, model.ErrConflict
		}
		p := options
		if done, err := s.edit(c, &p, &it, id, opts, m, absent); done || err != nil {
			return it, err
		}
		rec, werr := c.write(&p)
		if werr == nil {
			rec.Value = p.Record.Value
			out := itemOf[T](rec)
			out.ID, out.Value = id, it.Value
			return out, nil
		}
		lost := errors.Is(werr, model.ErrConflict) || m.creates && (errors.Is(werr, model.ErrExists) || errors.Is(werr, model.ErrNotFound))
		if !lost || !only.IsZero() || attempt+1 >= c.f.attempts {
			return Item[T]{}, werr
		}
		if err := c.pause(attempt); err != nil {
			return Item[T]{}, err
		}
		it, err = s.fresh(c, id, attempt, rec)
	}
}

// edit changes the item's value and fills in the write. It reports whether
// nothing needs to be written.
func (s *Store[T]) edit(c *call, p *pending, it *Item[T], id string, opts *WriteOptions, m *mutation[T], absent bool) (done bool, err error) {
	keeps := opts == nil || opts.Labels == nil && (opts.Expiry == Expiry{} || opts.Expiry == Keep())
	if absent {
		*it = Item[T]{}
		keeps = false
	}
	before, plain := it.rec, it.plain
	data, err := m.change(it)
	if err != nil {
		return false, err
	}
	if keeps && bytes.Equal(data, plain) {
		return true, nil
	}
	if s.hooks.BeforeWrite != nil {
		data, err = m.hooked(data, &it.Value, func() error { return s.before(c.ctx, id, &it.Value) })
		if err != nil {
			return false, err
		}
	}
	p.Record.ID, p.Cond, p.Known = c.id, driver.IfMatch, before
	if absent {
		p.Cond, p.Keep, p.Known = driver.IfAbsent, driver.Keep{}, model.Record{}
		if p.expiry == Keep() {
			p.expiry = Expiry{}
		}
	}
	s.derive(p, &it.Value, opts)
	return false, s.pack(&p.Write, data)
}

// fresh returns the record for the next attempt: the winner if the backend
// returned it whole and no pause made it stale, else it reads the record again.
func (s *Store[T]) fresh(c *call, id string, attempt int, winner model.Record) (Item[T], error) {
	if attempt == 0 && c.whole(winner) {
		it, err := s.open(winner)
		it.ID = id
		return it, err
	}
	return s.get(c, id)
}
