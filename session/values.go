package session

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// values are those of a session: JSON each, sorted by key. Nobody changes them
// in place.
type values []value

type value struct {
	key string
	raw json.RawMessage // never nil
}

func (v values) find(key string) (int, bool) {
	return slices.BinarySearchFunc(v, key, func(e value, key string) int { return cmp.Compare(e.key, key) })
}

// get returns nil where there is no such key.
func (v values) get(key string) json.RawMessage {
	if i, there := v.find(key); there {
		return v[i].raw
	}
	return nil
}

// with returns values with another one for the key; nil removes it.
func (v values) with(key string, raw json.RawMessage) values {
	at, there := v.find(key)
	after := at
	if there {
		after++
	}
	out := append(make(values, 0, len(v)+1), v[:at]...)
	if raw != nil {
		out = append(out, value{key, raw})
	}
	return append(out, v[after:]...)
}

func (v values) equal(w values) bool {
	return slices.EqualFunc(v, w, func(a, b value) bool { return a.key == b.key && bytes.Equal(a.raw, b.raw) })
}

// MarshalJSON and UnmarshalJSON are for encoding/json, which sees an object.
func (v values) MarshalJSON() ([]byte, error) {
	object := make(map[string]json.RawMessage, len(v))
	for _, e := range v {
		object[e.key] = e.raw
	}
	return json.Marshal(object)
}

func (v *values) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	out := make(values, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		out = append(out, value{key, object[key]})
	}
	*v = out
	return nil
}
