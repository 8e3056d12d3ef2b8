package session

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// op is one change of one key. It can be applied to any state of the data.
type op struct {
	key    string
	raw    json.RawMessage // the new value; nil removes the key
	update func(json.RawMessage) (json.RawMessage, error)
	// base is the key's value in the row that was loaded. If a fresh row has
	// another value, two requests have changed the key.
	base           json.RawMessage
	failOnConflict bool
	merge          func(base, fresh, mine json.RawMessage) (json.RawMessage, error)
	seq            int // in the order of the session's changes
}

// replaced returns ops without those that a later o makes obsolete.
func replaced(ops []op, o op) []op {
	if o.update != nil || !slices.ContainsFunc(ops, func(old op) bool { return old.key == o.key }) {
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

// replay applies the changes, in order, to another state of the data. Updates
// run again. Their first error ends the replay.
func replay(base row.Values, ops []op) (row.Values, error) {
	data := base
	for i := range ops {
		o := &ops[i]
		raw, err := o.apply(base.Get(o.key), data.Get(o.key))
		if err != nil {
			return nil, err
		}
		data = data.With(o.key, raw)
	}
	return data, nil
}

// apply returns the key's next value. Fresh is the value in the row. Current
// includes the earlier changes of this request.
func (o *op) apply(fresh, current json.RawMessage) (json.RawMessage, error) {
	raced := !bytes.Equal(fresh, o.base)
	switch {
	case raced && o.failOnConflict:
		return nil, &keyConflictError{o.key}
	case o.update != nil:
		return o.update(current)
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
