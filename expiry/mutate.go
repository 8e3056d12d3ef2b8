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
// opts gives them. With opts.IfMatch there is one attempt.
func (s *Store[T]) Mutate(ctx context.Context, id string, change func(*T) error, opts *WriteOptions) (Item[T], error) {
	return s.modify(ctx, "Mutate", id, opts, func(it *Item[T]) ([]byte, error) {
		if err := change(&it.Value); err != nil {
			return nil, userError{err}
		}
		return encode(s.codec, it.Value)
	})
}

// userError marks an error of the caller's own function, which is returned
// unchanged.
type userError struct{ error }

// UpdatePartial replaces top-level fields of a JSON object by compare-and-set.
// A nil value removes the field, any other value replaces it whole. Fields that
// are not named keep their bytes. It returns ErrUnsupported for a codec other
// than JSON, and ErrInvalid if the stored value is not a JSON object or the
// result does not decode into T.
func (s *Store[T]) UpdatePartial(ctx context.Context, id string, fields map[string]any, opts *WriteOptions) (Item[T], error) {
	const op = "UpdatePartial"
	if s.codec.Name() != JSON().Name() {
		c := s.begin(ctx, op, id)
		return Item[T]{}, c.end(model.NewError(model.ErrUnsupported, "UpdatePartial needs the JSON codec, the store has "+s.codec.Name(), nil))
	}
	patch, err := newPatch(s.codec, fields)
	if err != nil {
		c := s.begin(ctx, op, id)
		return Item[T]{}, c.end(err)
	}
	return s.modify(ctx, op, id, opts, func(it *Item[T]) ([]byte, error) {
		data, err := patch.apply(it.plain)
		if err != nil {
			return nil, err
		}
		var v T
		if err := s.codec.Decode(data, &v); err != nil {
			return nil, model.NewError(model.ErrInvalid, "the result does not decode into the store's type", err)
		}
		it.Value = v
		return data, nil
	})
}

// modify is the compare-and-set loop.
func (s *Store[T]) modify(ctx context.Context, op, id string, opts *WriteOptions, change func(*Item[T]) ([]byte, error)) (Item[T], error) {
	c := s.begin(ctx, op, id)
	it, err := s.modifyLoop(&c, id, opts, change)
	var own userError
	if errors.As(err, &own) {
		_ = c.end(nil)
		return Item[T]{}, own.error
	}
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	return it, c.end(nil)
}

func (s *Store[T]) modifyLoop(c *call, id string, opts *WriteOptions, change func(*Item[T]) ([]byte, error)) (Item[T], error) {
	var w driver.Write
	err := s.conditions(c, &w, driver.IfPresent, opts)
	if err == nil {
		err = model.CheckID(id)
	}
	if err != nil {
		return Item[T]{}, err
	}
	only := w.Known.Revision
	keeps := w.Keep.Expiry && w.Keep.Labels
	it, err := s.get(c, id)
	for attempt := 0; err == nil; attempt++ {
		if !only.IsZero() && it.Revision != only {
			return Item[T]{}, model.ErrConflict
		}
		before, plain := it.rec, it.plain
		data, cerr := change(&it)
		if cerr != nil {
			return Item[T]{}, cerr
		}
		if keeps && bytes.Equal(data, plain) {
			return it, nil
		}
		w.Record.ID, w.Cond, w.Known = id, driver.IfMatch, before
		if cerr = s.pack(&w, data); cerr != nil {
			return Item[T]{}, cerr
		}
		rec, werr := c.write(&w)
		if werr == nil {
			rec.Value = w.Record.Value
			out := itemOf[T](rec)
			out.Value = it.Value
			return out, nil
		}
		if !errors.Is(werr, model.ErrConflict) || !only.IsZero() || attempt+1 >= c.f.attempts {
			return Item[T]{}, werr
		}
		if err = c.pause(attempt); err != nil {
			return Item[T]{}, err
		}
		it, err = s.fresh(c, id, attempt, rec)
	}
	return Item[T]{}, err
}

// fresh returns the record for the next attempt: the winner if the backend
// returned it whole and no pause made it stale, else it reads the record again.
func (s *Store[T]) fresh(c *call, id string, attempt int, winner model.Record) (Item[T], error) {
	if attempt == 0 && c.whole(winner) {
		return s.open(winner)
	}
	return s.get(c, id)
}
