package row

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// Values are the values of a session as JSON, sorted by key. They are never
// changed in place.
type Values []Value

// Value is the value of one key.
type Value struct {
	Key string
	Raw json.RawMessage // never nil
}

func (v Values) find(key string) (int, bool) {
	return slices.BinarySearchFunc(v, key, func(e Value, key string) int { return cmp.Compare(e.Key, key) })
}

// Get returns the value of the key, or nil if the key is absent.
func (v Values) Get(key string) json.RawMessage {
	if i, ok := v.find(key); ok {
		return v[i].Raw
	}
	return nil
}

// With returns a copy in which the key has the value. Nil removes the key.
func (v Values) With(key string, raw json.RawMessage) Values {
	at, found := v.find(key)
	after := at
	if found {
		after++
	}
	out := append(make(Values, 0, len(v)+1), v[:at]...)
	if raw != nil {
		out = append(out, Value{key, raw})
	}
	return append(out, v[after:]...)
}

// Equal reports whether both have the same keys with the same bytes.
func (v Values) Equal(w Values) bool {
	return slices.EqualFunc(v, w, func(a, b Value) bool { return a.Key == b.Key && bytes.Equal(a.Raw, b.Raw) })
}

// MarshalJSON returns an object with one member for each key.
func (v Values) MarshalJSON() ([]byte, error) {
	object := make(map[string]json.RawMessage, len(v))
	for _, e := range v {
		object[e.Key] = e.Raw
	}
	return json.Marshal(object)
}

// UnmarshalJSON reads the object that MarshalJSON returns.
func (v *Values) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	out := make(Values, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		out = append(out, Value{key, object[key]})
	}
	*v = out
	return nil
}
