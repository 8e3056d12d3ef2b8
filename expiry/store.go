package expiry

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Store keeps values of one type in a backend. It is safe for concurrent use;
// its zero value is not usable, NewStore makes one.
//
// Every method returns a *model.Error that matches one sentinel of package
// model. The rules below are tested on every backend, like those of
// ModelExpirySupport.
type Store[T any] struct {
	front
	codec Codec
	opts  StoreOptions
}

// NewStore returns a Store of T on the backend. It does no I/O. A nil backend
// or a negative option is ErrInvalid; nil options are the defaults.
func NewStore[T any](backend driver.ModelExpirySupport, opts *StoreOptions) (*Store[T], error) {
	const op = "NewStore"
	if backend == nil {
		return nil, &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "no backend", nil)}
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	return &Store[T]{
		front: front{
			b: backend, desc: backend.Describe(), clock: o.Clock,
			observe: o.Observe, look: o.LookTimeout, attempts: o.Attempts,
		},
		codec: o.Codec,
		opts:  o,
	}, nil
}

// Get returns the live record with that id, or ErrNotFound.
func (s *Store[T]) Get(ctx context.Context, id string) (Item[T], error) {
	c := s.begin(ctx, "Get", id)
	it, err := s.get(&c, id)
	return it, c.end(err)
}

func (s *Store[T]) get(c *call, id string) (Item[T], error) {
	if err := model.CheckID(id); err != nil {
		return Item[T]{}, err
	}
	rec, err := c.get(c.ctx, id)
	if err != nil {
		return Item[T]{}, err
	}
	return s.open(rec)
}

// Create stores a value under an id that no live record has, else ErrExists.
// An expired record under the id is replaced, and nothing of it is kept.
func (s *Store[T]) Create(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Create", driver.IfAbsent, id, v, opts)
}

// Upsert stores the value whatever was there: the one write that may bring
// back what was deleted. The store's TTL applies unless the call says
// otherwise, and nothing of the record before is kept.
func (s *Store[T]) Upsert(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Upsert", driver.IfAny, id, v, opts)
}

// Update replaces the value of a live record, else ErrNotFound; with opts.If
// only at that version, else ErrConflict. With ErrConflict the item is the one
// that won where the backend told it, else it has no ID.
func (s *Store[T]) Update(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Update", driver.IfPresent, id, v, opts)
}

func (s *Store[T]) put(ctx context.Context, op string, cond driver.Condition, id string, v T, opts *WriteOptions) (it Item[T], err error) {
	c := s.begin(ctx, op, id)
	var w driver.Write
	if err = s.prepare(&c, &w, cond, id, v, opts); err != nil {
		return it, c.end(err)
	}
	rec, err := c.write(&w)
	if err != nil {
		return s.winner(&c, rec, err), c.end(err)
	}
	rec.Value = w.Record.Value
	it.fill(rec)
	it.Value = v
	return it, c.end(nil)
}

// winner is the item of a record that came with ErrConflict, if it is whole.
func (s *Store[T]) winner(c *call, rec model.Record, err error) Item[T] {
	if !errors.Is(err, model.ErrConflict) || !c.whole(rec) {
		return Item[T]{}
	}
	it, err := s.open(rec)
	if err != nil {
		return Item[T]{}
	}
	return it
}

// whole reports whether a driver gave the winner of a conflict with its value,
// and it is live.
func (c *call) whole(winner model.Record) bool {
	return winner.Value != nil && winner.ID == c.id && !winner.Expired(c.now)
}

// prepare makes a write of a call's arguments, without touching the backend.
func (s *Store[T]) prepare(c *call, w *driver.Write, cond driver.Condition, id string, v any, opts *WriteOptions) error {
	if err := model.CheckID(id); err != nil {
		return err
	}
	if err := s.conditions(c, w, cond, opts); err != nil {
		return err
	}
	plain, err := encode(s.codec, v)
	if err != nil {
		return err
	}
	w.Record.ID = id
	return s.pack(w, plain)
}

// conditions is the part of a write that the options decide.
func (s *Store[T]) conditions(c *call, w *driver.Write, cond driver.Condition, opts *WriteOptions) (err error) {
	if opts == nil {
		opts = &WriteOptions{}
	}
	w.Cond = cond
	update := cond == driver.IfPresent || cond == driver.IfMatch
	if opts.IfMatch != nil {
		if !update {
			return model.NewError(model.ErrInvalid, "a create or upsert takes no version", nil)
		}
		if opts.IfMatch.known.Revision.IsZero() {
			return model.NewError(model.ErrInvalid, "the version has no revision", nil)
		}
		w.Cond, w.Known = driver.IfMatch, opts.IfMatch.known
	}
	w.Record.ExpiresAt, w.Keep.Expiry, err = opts.Expiry.resolve(c.clock, s.opts.TTL, update)
	w.Record.Labels = opts.Labels
	w.Keep.Labels = update && opts.Labels == nil
	return err
}

// Touch moves the expiry of a live record, else ErrNotFound. Value and revision
// stay as they are. It returns the item without its value, which is not read:
// the expiry in force, and the revision, by which a caller sees whether the
// record is still what it knows.
func (s *Store[T]) Touch(ctx context.Context, id string, e Expiry, opts *TouchOptions) (Item[T], error) {
	c := s.begin(ctx, "Touch", id)
	rec, err := s.touchWith(&c, id, e, opts)
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	return itemOf[T](rec), c.end(nil)
}

func (s *Store[T]) touchWith(c *call, id string, e Expiry, opts *TouchOptions) (model.Record, error) {
	if err := model.CheckID(id); err != nil {
		return model.Record{}, err
	}
	var o TouchOptions
	if opts != nil {
		o = *opts
	}
	at, keep, err := e.resolve(c.clock, s.opts.TTL, false)
	if err == nil && keep {
		err = model.NewError(model.ErrInvalid, "a touch that keeps the expiry", nil)
	}
	if err == nil {
		err = model.CheckExpiry(c.now, at)
	}
	if err != nil {
		return model.Record{}, err
	}
	t := driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: at, Known: o.Known.record()}
	switch {
	case o.Extend && at.IsZero():
		return model.Record{}, model.NewError(model.ErrInvalid, "never is no time to extend to", nil)
	case o.Extend:
		t.Mode = driver.TouchExtend
	case at.IsZero():
		t.Mode = driver.TouchClear
	}
	return c.touch(&t)
}

// Delete removes a live record, else ErrNotFound; with opts.If only at that
// version, else ErrConflict.
func (s *Store[T]) Delete(ctx context.Context, id string, opts *DeleteOptions) error {
	c := s.begin(ctx, "Delete", id)
	return c.end(s.deleteWith(&c, id, opts))
}

func (s *Store[T]) deleteWith(c *call, id string, opts *DeleteOptions) error {
	var o DeleteOptions
	if opts != nil {
		o = *opts
	}
	d, err := deleteAt(id, o.IfMatch)
	if err != nil {
		return err
	}
	if o.IfMatch == nil {
		d.Known = o.Known.record()
	}
	return c.remove(d.ID, d.Cond, d.Known)
}

// deleteAt is the delete of an id, at a version where there is one.
func deleteAt(id string, at *Known) (driver.Delete, error) {
	d := driver.Delete{ID: id, Cond: driver.IfPresent}
	if err := model.CheckID(id); err != nil {
		return d, err
	}
	if at == nil {
		return d, nil
	}
	if at.known.Revision.IsZero() {
		return d, model.NewError(model.ErrInvalid, "the version has no revision", nil)
	}
	d.Cond, d.Known = driver.IfMatch, at.known
	return d, nil
}

// Take returns a record and removes it at the revision that it returned:
// reset links, OAuth state, one-time codes.
func (s *Store[T]) Take(ctx context.Context, id string) (Item[T], error) {
	c := s.begin(ctx, "Take", id)
	it, err := s.get(&c, id)
	if err == nil {
		err = c.remove(id, driver.IfMatch, it.rec)
	}
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	return it, c.end(nil)
}
