package session

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/internal/jsonform"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// maxKey is the maximum length of a key's name in bytes.
const maxKey = 64

// Key is a typed name for one value of a session. Each value is its own JSON, so
// types need no registration. A value that cannot be decoded, for example after
// a deploy, is an error for its key only.
//
//	var Cart = session.NewKey[cart]("cart")
//
// The methods take the session from the context. They return ErrNoSession if the
// context has none, and the store's error if the session could not be loaded. So
// a store that is down never looks like an empty session.
type Key[T any] struct {
	name           string
	svc            *Service // nil: that of the innermost session
	unfit          error    // why no value of the type comes back as it was set
	failOnConflict bool
	merge          func(base, fresh, mine T) (T, error)
	repair         func(err error) (T, bool, error)
	own            bool // one of this package, whose name no program can use
}

// NewKey returns the key with the name, which has 1 to 64 bytes of UTF-8 and does
// not begin with "_lease:". With
// another name its methods return model.ErrInvalid, and so they do for a T that
// JSON could not decode again, as expiry.JSON describes. Two keys with the same
// name share one value.
func NewKey[T any](name string) Key[T] {
	return Key[T]{name: name, unfit: jsonform.CheckType(reflect.TypeFor[T]())}
}

// FailingOnConflict returns the key with another rule for two requests that
// change it at the same time. Persist returns ErrKeyConflict to the later
// request and stores none of its changes. The rule applies to Set, Delete, Take
// and Update.
func (k Key[T]) FailingOnConflict() Key[T] {
	k.failOnConflict, k.merge = true, nil
	return k
}

// Merging returns the key with another rule for two requests that Set it at the
// same time. The later request stores the result of merge. Its arguments are the
// value that both requests loaded, the stored value and the request's own value.
// An absent value is the zero T. Persist returns an error of merge and stores
// nothing. Update needs no merge: it runs again.
func (k Key[T]) Merging(merge func(base, fresh, mine T) (T, error)) Key[T] {
	k.failOnConflict, k.merge = false, merge
	return k
}

// Repairing returns the key with a function for stored JSON that does not decode
// to T, for example after a deploy. It returns a value to use instead, or false
// for an absent value, or an error. Without the function, such a value is
// model.ErrCorrupt. Nothing is written until the key is set.
func (k Key[T]) Repairing(repair func(err error) (T, bool, error)) Key[T] {
	k.repair = repair
	return k
}

// Name returns the key's name.
func (k Key[T]) Name() string { return k.name }

// Get returns a copy of the value. It returns false if the value is absent. It
// returns model.ErrCorrupt if the stored JSON does not decode to T.
func (k Key[T]) Get(ctx context.Context) (T, bool, error) {
	var zero T
	s, err := k.session(ctx)
	if err == nil {
		err = s.ensure(ctx)
	}
	if err != nil {
		return zero, false, err
	}
	s.mu.Lock()
	raw := s.data.Get(k.name)
	s.mu.Unlock()
	return k.decode(raw)
}

// GetOr returns a copy of the value, or def if the value is absent. Its errors
// are those of Get.
func (k Key[T]) GetOr(ctx context.Context, def T) (T, error) {
	v, ok, err := k.Get(ctx)
	if err == nil && !ok {
		return def, nil
	}
	return v, err
}

// Set stores the value with the session's next Persist. If another request sets
// the same key meanwhile, the last to persist wins, unless the key is
// FailingOnConflict or Merging. Other keys do not change. Set returns
// model.ErrInvalid if the value has no JSON form, model.ErrTooLarge if an
// anonymous session would exceed Policy.AnonymousData, and ErrCommitted after
// the commit.
func (k Key[T]) Set(ctx context.Context, v T) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	raw, err := k.encode(v)
	if err != nil {
		return err
	}
	if err := s.write(ctx); err != nil {
		return err
	}
	defer s.release()
	if !k.own {
		err = s.fits(k.name, raw)
	}
	if err != nil {
		return err
	}
	s.record(k.op(raw), raw)
	return nil
}

// Delete removes the value with the session's next Persist. It returns nil if the
// value is absent.
func (k Key[T]) Delete(ctx context.Context) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	if err := s.hold(ctx); err != nil {
		return err
	}
	defer s.release()
	s.record(k.op(nil), nil)
	return nil
}

// Take returns the value and removes it, unless this is a passive use. It serves
// messages that are shown once. It does not guard codes that are good for one
// try: two requests at the same time may both get the value.
func (k Key[T]) Take(ctx context.Context) (T, bool, error) {
	var zero T
	s, err := k.session(ctx)
	if err != nil {
		return zero, false, err
	}
	if err := s.hold(ctx); err != nil {
		return zero, false, err
	}
	defer s.release()
	v, ok, err := k.decode(s.data.Get(k.name))
	if ok && err == nil && !s.passive {
		s.record(k.op(nil), nil)
	}
	return v, ok, err
}

// Update calls change with the value and stores the result. An absent value is
// the zero T. If another request changed the session meanwhile, Persist calls
// change again with the fresh value. So change must depend on its argument only.
// It must not change the session: that fails after the service's Timeout. An
// error of change leaves the value as it was. Update and Persist return it
// unchanged.
func (k Key[T]) Update(ctx context.Context, change func(*T) error) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	if err := s.write(ctx); err != nil {
		return err
	}
	defer s.release()
	update := func(raw json.RawMessage) (json.RawMessage, error) {
		v, _, err := k.decode(raw)
		if err == nil {
			err = change(&v)
		}
		if err != nil {
			return nil, err
		}
		return k.encode(v)
	}
	raw, err := update(s.data.Get(k.name))
	if err == nil {
		err = s.fits(k.name, raw)
	}
	if err != nil {
		return err
	}
	o := k.op(nil)
	o.update = update
	s.record(o, raw)
	return nil
}

// op returns a change of the key to raw. Nil removes the value.
func (k Key[T]) op(raw json.RawMessage) op {
	o := op{key: k.name, raw: raw, failOnConflict: k.failOnConflict}
	if k.merge != nil {
		o.merge = k.merged
	}
	return o
}

func (k Key[T]) merged(base, fresh, mine json.RawMessage) (json.RawMessage, error) {
	var v [3]T
	for i, raw := range []json.RawMessage{base, fresh, mine} {
		var err error
		if v[i], _, err = k.decode(raw); err != nil {
			return nil, err
		}
	}
	out, err := k.merge(v[0], v[1], v[2])
	if err != nil {
		return nil, err
	}
	return k.encode(out)
}

func (k Key[T]) session(ctx context.Context) (*Session, error) {
	switch {
	case k.own:
	case k.name == "" || len(k.name) > maxKey || !utf8.ValidString(k.name):
		return nil, model.NewError(model.ErrInvalid, "the name of a session key must have 1 to 64 bytes of UTF-8", nil)
	case strings.HasPrefix(k.name, leasePrefix):
		return nil, model.NewError(model.ErrInvalid, "the name of a session key must not begin with "+leasePrefix, nil)
	}
	if k.unfit != nil {
		return nil, model.NewError(model.ErrInvalid, fmt.Sprintf("the type of session key %q: %v", k.name, k.unfit), nil)
	}
	from := From
	if k.svc != nil {
		from = k.svc.From
	}
	s, ok := from(ctx)
	if !ok {
		return nil, ErrNoSession
	}
	return s, nil
}

// encode and decode keep the codec's text out of the error's text, because it can
// quote the value.
func (k Key[T]) encode(v T) (json.RawMessage, error) {
	raw, err := row.EncodeValue(&v)
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, fmt.Sprintf("the value of session key %q has no JSON form", k.name), err)
	}
	return raw, nil
}

func (k Key[T]) decode(raw json.RawMessage) (v T, ok bool, err error) {
	if raw == nil {
		return v, false, nil
	}
	if err := row.DecodeValue(raw, &v); err != nil {
		var zero T
		err = model.NewError(model.ErrCorrupt, fmt.Sprintf("the stored value of session key %q does not decode to its type", k.name), err)
		if k.repair != nil {
			return k.repair(err)
		}
		return zero, false, err
	}
	return v, true, nil
}
