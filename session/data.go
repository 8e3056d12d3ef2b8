package session

import (
	"bytes"
	"encoding/json"

	"github.com/sojourn-go/sojourn/model"
)

// op is one change of one key. It can be applied to any state of the data.
type op struct {
	key    string
	raw    json.RawMessage // the value; nil removes the key
	update func(json.RawMessage) (json.RawMessage, error)
	// base is the key's value in the row that was loaded: where a fresh row
	// has another, two requests have changed the key.
	base   json.RawMessage
	reject bool
	merge  func(base, fresh, mine json.RawMessage) (json.RawMessage, error)
}

// record notes a change and applies it. The caller has the turn.
func (s *Session) record(o op, result json.RawMessage) {
	s.mark(func() {
		if s.stored {
			o.base = s.item.Value.Data.get(o.key)
		}
		s.data = s.data.with(o.key, result)
		s.ops = append(replaced(s.ops, o), o)
	})
}

// replaced is ops without what an unconditional change of the key makes moot.
func replaced(ops []op, o op) []op {
	if o.update != nil {
		return ops
	}
	kept := make([]op, 0, len(ops)+1)
	for _, old := range ops {
		if old.key != o.key {
			kept = append(kept, old)
		}
	}
	return kept
}

// replay applies the changes, in order, to another state of the data. An update
// runs anew; its error ends the replay.
func replay(base values, ops []op) (values, error) {
	data := base
	for i := range ops {
		o := &ops[i]
		raw, err := o.apply(base.get(o.key), data.get(o.key))
		if err != nil {
			return nil, err
		}
		data = data.with(o.key, raw)
	}
	return data, nil
}

// apply returns the key's next value. Fresh is that of the row, now the one
// that earlier changes of this request have made of it.
func (o *op) apply(fresh, now json.RawMessage) (json.RawMessage, error) {
	raced := !bytes.Equal(fresh, o.base)
	switch {
	case raced && o.reject:
		return nil, &keyConflictError{o.key}
	case o.update != nil:
		return o.update(now)
	case raced && o.merge != nil && o.raw != nil:
		return o.merge(o.base, fresh, o.raw)
	}
	return o.raw, nil
}

// keyConflictError is ErrKeyConflict with the key's name. It matches
// model.ErrConflict too.
type keyConflictError struct{ key string }

func (e *keyConflictError) Error() string   { return ErrKeyConflict.Error() + ": " + e.key }
func (e *keyConflictError) Unwrap() []error { return []error{ErrKeyConflict, model.ErrConflict} }
