package session

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/model"
)

// maxKey is the longest name of a key in bytes.
const maxKey = 64

// Key is a typed name for one value of a session. Values are JSON, each on its
// own: nothing has to be registered, and one that cannot be decoded, after a
// deploy say, is an error for its key alone.
//
//	var Cart = session.NewKey[cart]("cart")
//
// The methods take the session from the context. They return ErrNoSession
// where it has none, and the store's error where the session cannot be loaded:
// a store that is down never looks like an empty session.
type Key[T any] struct {
	name   string
	reject bool
	merge  func(base, fresh, mine T) (T, error)
	repair func(err error) (T, bool, error)
}

// NewKey returns the key of that name: 1 to 64 bytes of UTF-8, else its
// methods return model.ErrInvalid. Two keys of one name share one value.
func NewKey[T any](name string) Key[T] { return Key[T]{name: name} }

// Rejecting returns the key with another rule for two requests that change it
// at once: the later one to persist gets ErrKeyConflict, and none of its changes
// is stored. It holds for Set, Delete, Take and Update.
func (k Key[T]) Rejecting() Key[T] {
	k.reject, k.merge = true, nil
	return k
}

// Merging returns the key with another rule for two requests that Set it at
// once: the later one to persist stores what the function makes of the value
// that both began with, the one that is stored and its own; the zero T stands
// for none. Its error is returned by Persist, and nothing is stored. Update
// needs no such function: it runs again.
func (k Key[T]) Merging(merge func(base, fresh, mine T) (T, error)) Key[T] {
	k.reject, k.merge = false, merge
	return k
}

// Repairing returns the key with a function that decides about stored JSON that
// is no T, after a deploy say: a value in its place, none (false), or an error.
// Without one it is model.ErrCorrupt. Nothing is written until something is set.
func (k Key[T]) Repairing(repair func(err error) (T, bool, error)) Key[T] {
	k.repair = repair
	return k
}

// Name returns the key's name.
func (k Key[T]) Name() string { return k.name }

// Get returns a copy of the value and whether there is one. model.ErrCorrupt
// for stored JSON that is no T.
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
	raw := s.data.get(k.name)
	s.mu.Unlock()
	return k.decode(raw)
}

// Set stores the value with the session's next Persist. Where another request
// sets the same key meanwhile, the last to persist wins, unless the key is
// Rejecting or Merging; other keys of the session are never touched. model.ErrInvalid for a value without a JSON form;
// ErrCommitted after the commit.
func (k Key[T]) Set(ctx context.Context, v T) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	raw, err := k.encode(v)
	if err != nil {
		return err
	}
	_, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	s.record(k.op(raw), raw)
	return nil
}

// Delete removes the value with the session's next Persist, if there is one.
func (k Key[T]) Delete(ctx context.Context) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	_, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	s.record(k.op(nil), nil)
	return nil
}

// Take returns the value and removes it: for messages that are shown once. Of
// two requests at the same time both may see it.
func (k Key[T]) Take(ctx context.Context) (T, bool, error) {
	var zero T
	s, err := k.session(ctx)
	if err != nil {
		return zero, false, err
	}
	_, done, err := s.change(ctx)
	if err != nil {
		return zero, false, err
	}
	defer done()
	v, ok, err := k.decode(s.data.get(k.name))
	if ok && err == nil {
		s.record(k.op(nil), nil)
	}
	return v, ok, err
}

// Update changes the value through a function, which gets the zero T where
// there is none. Where another request changed the session meanwhile, Persist
// runs it once more on the fresh value: so it depends on its argument alone,
// and it does not change the session itself, which fails after the service's
// Timeout. Its error is returned as it came, from Persist too, and leaves the
// value as it was.
func (k Key[T]) Update(ctx context.Context, change func(*T) error) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	_, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
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
	raw, err := update(s.data.get(k.name))
	if err != nil {
		return err
	}
	o := k.op(nil)
	o.update = update
	s.record(o, raw)
	return nil
}

// op is a change of the key to that value; nil removes it.
func (k Key[T]) op(raw json.RawMessage) op {
	o := op{key: k.name, raw: raw, reject: k.reject}
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
	if k.name == "" || len(k.name) > maxKey || !utf8.ValidString(k.name) {
		return nil, model.NewError(model.ErrInvalid, "a session key's name has 1 to 64 bytes of UTF-8", nil)
	}
	s, ok := From(ctx)
	if !ok {
		return nil, ErrNoSession
	}
	return s, nil
}

// encode and decode keep the codec's own text out of the message: it may quote
// the value.
func (k Key[T]) encode(v T) (json.RawMessage, error) {
	raw, err := encodeValue(v)
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, fmt.Sprintf("the value of session key %q has no JSON form", k.name), err)
	}
	return raw, nil
}

func (k Key[T]) decode(raw json.RawMessage) (v T, ok bool, err error) {
	if raw == nil {
		return v, false, nil
	}
	if err := decodeValue(raw, &v); err != nil {
		var zero T
		err = model.NewError(model.ErrCorrupt, fmt.Sprintf("the stored session key %q is no value of its type", k.name), err)
		if k.repair != nil {
			return k.repair(err)
		}
		return zero, false, err
	}
	return v, true, nil
}
