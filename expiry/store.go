package expiry

import (
	"context"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Store keeps values of one type in a backend. It is safe for concurrent use.
// NewStore makes one; the zero value is not usable.
//
// Every method returns a *Error that matches exactly one sentinel, such as
// ErrNotFound. If the context ended before anything was sent, it matches the
// context's error instead. No error has a value or a secret in its text.
//
// Invalid arguments are ErrInvalid before anything is sent: ids, labels,
// expiries. Expiries are rounded up to whole milliseconds.
//
// A write is sent once. If its answer is lost, the Store reads the record to
// learn the outcome, and returns ErrUnknown if that does not prove it.
type Store[T any] struct {
	core
	codec Codec
	opts  StoreOptions
}

// NewStore returns a Store of T on the backend. It does no I/O. It returns
// ErrInvalid for a nil backend or an invalid option. Nil options mean the
// defaults.
func NewStore[T any](backend driver.ModelExpirySupport, opts *StoreOptions) (*Store[T], error) {
	const op = "NewStore"
	if backend == nil {
		return nil, &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "the backend is nil", nil)}
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	return &Store[T]{
		core: core{
			b: backend, desc: backend.Describe(), clock: o.Clock,
			observe: o.Observe, look: o.LookTimeout, attempts: o.Attempts,
		},
		codec: o.Codec,
		opts:  o,
	}, nil
}

// Get returns the live record with that id, or ErrNotFound. It takes one round
// trip.
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

// Create stores a value under a new id. It returns ErrExists if a live record
// has the id. An expired record is replaced, and nothing of it is kept. The
// store's TTL applies unless opts gives an expiry.
func (s *Store[T]) Create(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Create", driver.IfAbsent, id, v, opts)
}

// Upsert stores the value, whether the id has a record or not. It is the only
// write that may bring back a deleted record. The store's TTL applies unless
// opts gives an expiry, and nothing of an earlier record is kept.
func (s *Store[T]) Upsert(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Upsert", driver.IfAny, id, v, opts)
}

// Update replaces the value of a live record, or returns ErrNotFound. With
// opts.IfMatch it returns ErrConflict if the record has another revision. The
// item is then the record that won, if the backend returned it, else it has no
// ID. Expiry and labels are kept unless opts gives them.
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

// whole reports whether the winner of a conflict has its value and is live.
func (c *call) whole(winner model.Record) bool {
	return winner.Value != nil && winner.ID == c.id && !winner.Expired(c.now)
}

// prepare fills in a write from a call's arguments. It does no I/O.
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

// conditions fills in the parts of a write that the options decide.
func (s *Store[T]) conditions(c *call, w *driver.Write, cond driver.Condition, opts *WriteOptions) (err error) {
	if opts == nil {
		opts = &WriteOptions{}
	}
	w.Cond = cond
	update := cond == driver.IfPresent || cond == driver.IfMatch
	if opts.IfMatch != nil {
		if !update {
			return model.NewError(model.ErrInvalid, "IfMatch is not for a create or upsert", nil)
		}
		if opts.IfMatch.known.Revision.IsZero() {
			return model.NewError(model.ErrInvalid, "IfMatch has no revision", nil)
		}
		w.Cond, w.Known = driver.IfMatch, opts.IfMatch.known
	}
	w.Record.ExpiresAt, w.Keep.Expiry, err = opts.Expiry.resolve(c.clock, s.opts.TTL, update)
	w.Record.Labels = opts.Labels
	w.Keep.Labels = update && opts.Labels == nil
	return err
}

// Touch changes the expiry of a live record, or returns ErrNotFound. Value and
// revision stay. The item has the expiry in force and the revision, but no
// value, since Touch does not read it.
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
		err = model.NewError(model.ErrInvalid, "a touch cannot keep the expiry", nil)
	}
	if err == nil {
		err = c.checkExpiry(at)
	}
	if err != nil {
		return model.Record{}, err
	}
	t := driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: at, Known: o.Known.record()}
	switch {
	case o.Extend && at.IsZero():
		return model.Record{}, model.NewError(model.ErrInvalid, "Extend needs a time, not Never", nil)
	case o.Extend:
		t.Mode = driver.TouchExtend
	case at.IsZero():
		t.Mode = driver.TouchClear
	}
	return c.touch(&t)
}

// Delete removes a live record, or returns ErrNotFound. With opts.IfMatch it
// returns ErrConflict if the record has another revision.
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
	return c.remove(d)
}

// deleteAt returns the delete of an id, of one revision unless at is nil.
func deleteAt(id string, at *Known) (driver.Delete, error) {
	d := driver.Delete{ID: id, Cond: driver.IfPresent}
	if err := model.CheckID(id); err != nil {
		return d, err
	}
	if at == nil {
		return d, nil
	}
	if at.known.Revision.IsZero() {
		return d, model.NewError(model.ErrInvalid, "IfMatch has no revision", nil)
	}
	d.Cond, d.Known = driver.IfMatch, at.known
	return d, nil
}

// Take returns a live record and removes it: for reset links, OAuth state and
// one-time codes. Of many concurrent takers at most one gets the record, and
// the others get ErrNotFound or ErrConflict.
func (s *Store[T]) Take(ctx context.Context, id string) (Item[T], error) {
	c := s.begin(ctx, "Take", id)
	it, err := s.get(&c, id)
	if err == nil {
		err = c.remove(driver.Delete{ID: id, Cond: driver.IfMatch, Known: it.rec})
	}
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	return it, c.end(nil)
}
