package expiry

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Store keeps values of one type in a backend. It is safe for concurrent use.
// NewStore makes one; the zero value is not usable.
//
// Every method returns a *Error that matches exactly one sentinel, such as
// ErrNotFound. If the context ended before anything was sent, it matches the
// context's error instead. Errors of the caller's own functions, such as hooks,
// are returned as they are. No error has a value or a secret in its text.
//
// Invalid arguments are ErrInvalid before anything is sent: ids, labels,
// expiries. Expiries are rounded up to whole milliseconds.
//
// A write is sent once. If its answer is lost, the Store reads the record to
// learn the outcome, and returns ErrUnknown if that does not prove it.
type Store[T any] struct {
	core
	codec Codec
	stays bool     // the codec's values do not change what they were decoded from
	reads []string // the names of the codecs whose values are read; the first is that of the own one
	opts  StoreOptions
	hooks Hooks[T]
}

// NewStore returns a Store of T on the backend. It does no I/O. It returns
// ErrInvalid for a nil backend, an invalid option, or a T that the codec could
// not decode again. Nil options mean the defaults. At most one Hooks is given.
func NewStore[T any](backend driver.ModelExpirySupport, opts *StoreOptions, hooks ...Hooks[T]) (*Store[T], error) {
	fail := func(detail string, cause error) (*Store[T], error) {
		return nil, &model.Error{Op: "NewStore", Err: model.NewError(model.ErrInvalid, detail, cause)}
	}
	if backend == nil {
		return fail("the backend is nil", nil)
	}
	if len(hooks) > 1 {
		return fail("more than one Hooks is given", nil)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, &model.Error{Op: "NewStore", Err: err}
	}
	if c, ok := o.Codec.(typed); ok {
		if err := c.checkType(reflect.TypeFor[T]()); err != nil {
			return fail("the codec "+o.Codec.Name()+" cannot store the type: "+err.Error(), err)
		}
	}
	s := &Store[T]{
		core: core{
			b: backend, desc: backend.Describe(), clock: o.Clock, ttl: o.TTL,
			observe: o.Observe, look: o.LookTimeout, attempts: o.Attempts,
		},
		codec: o.Codec,
		opts:  o,
	}
	_, s.stays = o.Codec.(dataStays)
	s.reads = []string{o.Codec.Name()}
	if c, ok := o.Codec.(reader); ok {
		s.reads = append(s.reads, c.Reads()...)
	}
	if len(hooks) == 1 {
		s.hooks = hooks[0]
	}
	return s, nil
}

// about begins a call about one record, whose id the caller gave. The call has
// the id that leaves the store.
func (s *Store[T]) about(ctx context.Context, op, id string) (call, error) {
	c := s.begin(ctx, op, id)
	err := s.made()
	if err == nil {
		err = model.CheckID(id)
	}
	if s.opts.SecretIDs {
		c.id = SecretID(id) // also of an illegal one, for the error's text
	}
	return c, err
}

// Get returns the live record with that id, or ErrNotFound. It takes one round
// trip.
func (s *Store[T]) Get(ctx context.Context, id string) (Item[T], error) {
	c, err := s.about(ctx, "Get", id)
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	it, err := s.get(&c, id)
	return it, c.end(err)
}

// get returns the call's record under the id that the caller gave.
func (s *Store[T]) get(c *call, id string) (Item[T], error) {
	rec, err := c.get(c.ctx, c.id)
	if err != nil {
		return Item[T]{}, err
	}
	it, err := s.open(rec)
	it.ID = id
	return it, err
}

// Stat is the result of Store.Stat: a record without its value.
type Stat struct {
	ID        string
	Revision  Revision
	ExpiresAt time.Time // zero: never; else whole milliseconds, UTC
	Labels    map[string]string
	Size      int // of the stored value in bytes, encoded and sealed
}

// Stat returns the live record with that id without its value, or ErrNotFound.
// Some backends need not send the value for it.
func (s *Store[T]) Stat(ctx context.Context, id string) (Stat, error) {
	c, err := s.about(ctx, "Stat", id)
	if err == nil {
		err = c.enter(ctx)
	}
	if err != nil {
		return Stat{}, c.end(err)
	}
	st, err := driver.GetStat(ctx, s.b, c.now, driver.Get{ID: c.id})
	rec, err := c.checked(c.id, st.Record, err)
	if err != nil {
		return Stat{}, c.end(err)
	}
	return Stat{ID: id, Revision: rec.Revision, ExpiresAt: rec.ExpiresAt, Labels: maps.Clone(rec.Labels), Size: st.Size}, c.end(nil)
}

// Create stores a value under a new id. It returns ErrExists if a live record
// has the id. An expired record is replaced, and nothing of it is kept. The
// store's TTL applies unless opts gives an expiry. An empty id is replaced by
// StoreOptions.NewID.
func (s *Store[T]) Create(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Create", driver.IfAbsent, s.minted(id), v, opts)
}

// Issue stores a value under a new secret id, which is in the item and nowhere
// else: the store has a hash of it. So it makes reset links and one-time codes,
// for Take. It returns ErrInvalid unless StoreOptions.SecretIDs is set.
func (s *Store[T]) Issue(ctx context.Context, v T, opts *WriteOptions) (Item[T], error) {
	const op = "Issue"
	if !s.opts.SecretIDs {
		c := s.begin(ctx, op, "")
		return Item[T]{}, c.end(model.NewError(model.ErrInvalid, "Issue needs StoreOptions.SecretIDs", nil))
	}
	return s.put(ctx, op, driver.IfAbsent, RandomID(), v, opts)
}

// Upsert stores the value, whether the id has a record or not. It is the only
// write that may bring back a deleted record. The store's TTL applies unless
// opts gives an expiry, and nothing of an earlier record is kept. An empty id is
// replaced by StoreOptions.NewID.
func (s *Store[T]) Upsert(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Upsert", driver.IfAny, s.minted(id), v, opts)
}

// minted returns the id, or a new one if it is empty and the store makes ids.
func (s *Store[T]) minted(id string) string {
	if id == "" && s.opts.NewID != nil {
		return s.opts.NewID()
	}
	return id
}

// Update replaces the value of a live record, or returns ErrNotFound. With
// opts.IfMatch it returns ErrConflict if the record has another revision. The
// item is then the record that won, if the backend returned it, else it has no
// ID. Expiry and labels are kept unless opts or a hook gives them. A value that
// the store could not read is ErrCorrupt and stays: one of another codec, and a
// sealed one of another key, codec or purpose. Update does not read the old value:
// it replaces one whose seal was changed, or that was moved from another record,
// although Get returns ErrCorrupt for it. Mutate and UpdatePartial read it first,
// and return ErrCorrupt.
func (s *Store[T]) Update(ctx context.Context, id string, v T, opts *WriteOptions) (Item[T], error) {
	return s.put(ctx, "Update", driver.IfPresent, id, v, opts)
}

func (s *Store[T]) put(ctx context.Context, op string, cond driver.Condition, id string, v T, opts *WriteOptions) (it Item[T], err error) {
	c, err := s.about(ctx, op, id)
	if err != nil {
		return it, c.end(err)
	}
	var p pending
	if err = s.prepare(&c, &p, cond, id, &v, opts); err != nil {
		return it, c.endOwn(err)
	}
	rec, err := c.write(&p)
	if errors.Is(err, model.ErrUnknown) {
		it.ID, it.Revision = id, p.Record.Revision
		return it, c.end(err)
	}
	if err != nil {
		return s.winner(&c, id, rec, err), c.end(err)
	}
	rec.Value = p.Record.Value
	it.fill(rec)
	it.ID, it.Value = id, v
	return it, c.end(nil)
}

// endOwn is end for an error that may be of the caller's own function: that one
// is returned unchanged, and is not a failure of the store.
func (c *call) endOwn(err error) error {
	var own userError
	if errors.As(err, &own) {
		c.report(nil)
		return own.error
	}
	return c.end(err)
}

// whole reports whether the winner of a conflict has its value and is live.
func (c *call) whole(winner model.Record) bool {
	return winner.Value != nil && winner.ID == c.id && !winner.Expired(c.now)
}

// prepare fills in a write from a call's arguments. It does no I/O. The id is
// the caller's, for the hook; c.id is what is stored.
func (s *Store[T]) prepare(c *call, p *pending, cond driver.Condition, id string, v *T, opts *WriteOptions) error {
	if err := s.conditions(p, cond, opts); err != nil {
		return err
	}
	p.Record.ID = c.id
	if err := s.before(c.ctx, id, v); err != nil {
		return err
	}
	s.derive(p, v, opts)
	plain, err := encode(s.codec, v)
	if err != nil {
		return err
	}
	return s.pack(&p.Write, plain)
}

// Touch changes the expiry of a live record, or returns ErrNotFound. Value and
// revision stay. The item has the expiry in force and the revision, but no
// value, since Touch does not read it. The zero Expiry means the store's TTL,
// and is ErrInvalid if the store has none.
func (s *Store[T]) Touch(ctx context.Context, id string, e Expiry, opts *TouchOptions) (Item[T], error) {
	c, err := s.about(ctx, "Touch", id)
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	rec, err := s.touchWith(&c, e, opts)
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	it := itemOf[T](rec)
	it.ID = id
	return it, c.end(nil)
}

func (s *Store[T]) touchWith(c *call, e Expiry, opts *TouchOptions) (model.Record, error) {
	var o TouchOptions
	if opts != nil {
		o = *opts
	}
	t, err := touchAt(c, e, &o)
	if err != nil {
		return model.Record{}, err
	}
	return c.touch(&t)
}

// touchAt returns the touch of the call's record.
func touchAt(c *call, e Expiry, o *TouchOptions) (driver.Touch, error) {
	t := driver.Touch{ID: c.id, Mode: driver.TouchSet, Cond: driver.IfPresent, Known: o.Known.record()}
	if e == (Expiry{}) && c.f.ttl == 0 {
		return t, model.NewError(model.ErrInvalid, "the touch has no expiry and the store no TTL; use Never for no expiry", nil)
	}
	c.tick()
	at, keep, err := e.resolve(c.clock, c.f.ttl, false)
	switch {
	case err == nil && keep:
		err = model.NewError(model.ErrInvalid, "a touch cannot keep the expiry", nil)
	case err == nil:
		err = c.checkExpiry(at)
	}
	if err != nil {
		return t, err
	}
	t.ExpiresAt = at
	if o.IfMatch != nil {
		if o.IfMatch.known.Revision.IsZero() {
			return t, model.NewError(model.ErrInvalid, "IfMatch has no revision", nil)
		}
		t.Cond, t.Known = driver.IfMatch, o.IfMatch.known
	}
	switch {
	case o.Extend && at.IsZero():
		return t, model.NewError(model.ErrInvalid, "Extend needs a time, not Never", nil)
	case o.Extend:
		t.Mode = driver.TouchExtend
	case at.IsZero():
		t.Mode = driver.TouchClear
	}
	return t, nil
}

// Delete removes a live record, or returns ErrNotFound. With opts.IfMatch it
// returns ErrConflict if the record has another revision.
func (s *Store[T]) Delete(ctx context.Context, id string, opts *DeleteOptions) error {
	c, err := s.about(ctx, "Delete", id)
	if err == nil {
		err = s.deleteWith(&c, opts)
	}
	return c.end(err)
}

func (s *Store[T]) deleteWith(c *call, opts *DeleteOptions) error {
	var o DeleteOptions
	if opts != nil {
		o = *opts
	}
	d, err := deleteAt(c.id, o.IfMatch)
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
// the others get ErrNotFound or ErrConflict. If the id is the secret, as in a
// reset link, set StoreOptions.SecretIDs.
func (s *Store[T]) Take(ctx context.Context, id string) (Item[T], error) {
	c, err := s.about(ctx, "Take", id)
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	it, err := s.get(&c, id)
	if err == nil {
		err = c.remove(driver.Delete{ID: c.id, Cond: driver.IfMatch, Known: it.rec})
	}
	if err != nil {
		return Item[T]{}, c.end(err)
	}
	return it, c.end(nil)
}
