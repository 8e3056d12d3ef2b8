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
type Key[T any] struct{ name string }

// NewKey returns the key of that name: 1 to 64 bytes of UTF-8, else its
// methods return model.ErrInvalid. Two keys of one name share one value.
func NewKey[T any](name string) Key[T] { return Key[T]{name: name} }

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
	raw := s.data[k.name]
	s.mu.Unlock()
	return k.decode(raw)
}

// Set stores the value with the session's next Persist. Where another request
// sets the same key meanwhile, the last to persist wins; other keys of the
// session are never touched. model.ErrInvalid for a value without a JSON form;
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
	s.record(op{key: k.name, raw: raw}, raw)
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
	s.record(op{key: k.name}, nil)
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
	v, ok, err := k.decode(s.data[k.name])
	if ok && err == nil {
		s.record(op{key: k.name}, nil)
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
	raw, err := update(s.data[k.name])
	if err != nil {
		return err
	}
	s.record(op{key: k.name, update: update}, raw)
	return nil
}

func (k Key[T]) session(ctx context.Context) (*Session, error) {
	if k.name == "" || len(k.name) > maxKey || !utf8.ValidString(k.name) {
		return nil, model.Fault(model.ErrInvalid, "a session key's name has 1 to 64 bytes of UTF-8", nil)
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
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, model.Fault(model.ErrInvalid, fmt.Sprintf("the value of session key %q has no JSON form", k.name), err)
	}
	return raw, nil
}

func (k Key[T]) decode(raw json.RawMessage) (v T, ok bool, err error) {
	if raw == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		var zero T
		return zero, false, model.Fault(model.ErrCorrupt, fmt.Sprintf("the stored session key %q is no value of its type", k.name), err)
	}
	return v, true, nil
}
