package expiry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/internal/jsonform"
	"github.com/sojourn-go/sojourn/model"
)

// patch replaces top-level fields.
type patch struct {
	fields map[string]json.RawMessage // a nil value removes the field
	folds  bool                       // names that differ only in case decode into one field
}

// newPatch encodes the fields. It returns ErrInvalid for a name that would be
// stored without effect.
func (s *Store[T]) newPatch(fields map[string]any) (*patch, error) {
	if s.codec.Name() != JSON().Name() {
		return nil, model.NewError(model.ErrUnsupported, "UpdatePartial needs the JSON codec, the store has "+s.codec.Name(), nil)
	}
	known, open := jsonform.Fields(reflect.TypeFor[T]())
	p := &patch{make(map[string]json.RawMessage, len(fields)), jsonform.Folds(reflect.TypeFor[T]())}
	for name, v := range fields {
		if err := checkField(name, v == nil, known, open); err != nil {
			return nil, err
		}
		if v == nil {
			p.fields[name] = nil
			continue
		}
		if err := jsonform.CheckType(reflect.TypeOf(v)); err != nil {
			return nil, model.NewError(model.ErrInvalid, fmt.Sprintf("the field %q: %v", name, err), nil)
		}
		// Methods of a pointer to the value encode it too.
		at := reflect.New(reflect.TypeOf(v))
		at.Elem().Set(reflect.ValueOf(v))
		data, err := encode(s.codec, at.Interface())
		if err != nil {
			return nil, err
		}
		p.fields[name] = data
	}
	return p, nil
}

// checkField returns ErrInvalid for the name of a field that JSON cannot have
// or that the store's type would not decode, for encoding/json ignores case.
// What the type does not know may be removed.
func checkField(name string, removed bool, known []string, open bool) error {
	if !utf8.ValidString(name) {
		return model.NewError(model.ErrInvalid, "the name of a field is not valid UTF-8", nil)
	}
	if open || slices.Contains(known, name) {
		return nil
	}
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return model.NewError(model.ErrInvalid, fmt.Sprintf("the field %q is spelt %q in the store's type", name, k), nil)
		}
	}
	if !removed {
		return model.NewError(model.ErrInvalid, fmt.Sprintf("the store's type has no field %q", name), nil)
	}
	return nil
}

// difference returns what turns the top-level fields of one JSON object into
// those of another.
func difference(before, after []byte, folds bool) (*patch, error) {
	var from, to map[string]json.RawMessage
	if json.Unmarshal(before, &from) != nil || json.Unmarshal(after, &to) != nil {
		return nil, notObject()
	}
	p := &patch{map[string]json.RawMessage{}, folds}
	for name, raw := range to {
		if !bytes.Equal(from[name], raw) {
			p.fields[name] = raw
		}
	}
	for name := range from {
		if _, stays := to[name]; !stays {
			p.fields[name] = nil
		}
	}
	return p, nil
}

func notObject() error {
	return model.NewError(model.ErrInvalid, "the stored value is not a JSON object", nil)
}

// apply replaces and removes fields in place and appends new ones, sorted by
// name. All other fields keep their order and bytes, which json.Marshal of a map
// would not. A stored field that differs from a named one only in case is
// ErrInvalid: encoding/json would decode both into one field.
func (p *patch) apply(object []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, notObject()
	}
	out := bytes.NewBuffer(make([]byte, 0, len(object)+64))
	out.WriteByte('{')
	seen := make(map[string]bool, len(p.fields))
	for dec.More() {
		name, raw, err := nextField(dec)
		if err != nil {
			return nil, notObject()
		}
		if v, named := p.fields[name]; named {
			if seen[name] || v == nil {
				continue
			}
			seen[name], raw = true, v
		} else if other, folds := p.folded(name); folds {
			return nil, model.NewError(model.ErrInvalid, fmt.Sprintf("the field %q is stored as %q: name that one, or replace the whole value", other, name), nil)
		}
		if err := writeField(out, name, raw); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.fields)) {
		if p.fields[name] != nil && !seen[name] {
			if err := writeField(out, name, p.fields[name]); err != nil {
				return nil, err
			}
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// folded returns the field of the patch that differs from the name only in
// case.
func (p *patch) folded(name string) (string, bool) {
	if !p.folds {
		return "", false
	}
	for other := range p.fields {
		if other != name && strings.EqualFold(other, name) {
			return other, true
		}
	}
	return "", false
}

func nextField(dec *json.Decoder) (string, json.RawMessage, error) {
	t, err := dec.Token()
	if err != nil {
		return "", nil, err
	}
	name, ok := t.(string)
	if !ok {
		return "", nil, errors.New("the field has no name")
	}
	var raw json.RawMessage
	err = dec.Decode(&raw)
	return name, raw, err
}

func writeField(out *bytes.Buffer, name string, raw json.RawMessage) error {
	key, err := json.Marshal(name)
	if err != nil {
		return model.NewError(model.ErrInvalid, "the field's name is not a JSON string", err)
	}
	if out.Len() > 1 {
		out.WriteByte(',')
	}
	out.Write(key)
	out.WriteByte(':')
	out.Write(raw)
	return nil
}
