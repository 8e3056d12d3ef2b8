package expiry

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/sojourn-go/sojourn/model"
)

// patch has the top-level fields to replace. A nil value removes the field.
type patch map[string]json.RawMessage

func newPatch(codec Codec, fields map[string]any) (patch, error) {
	p := make(patch, len(fields))
	for name, v := range fields {
		if v == nil {
			p[name] = nil
			continue
		}
		data, err := encode(codec, v)
		if err != nil {
			return nil, err
		}
		p[name] = data
	}
	return p, nil
}

// apply replaces and removes fields in place and appends new ones, sorted by
// name. All other fields keep their order and bytes, which json.Marshal of a map
// would not.
func (p patch) apply(object []byte) ([]byte, error) {
	notObject := model.NewError(model.ErrInvalid, "the stored value is not a JSON object", nil)
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, notObject
	}
	out := bytes.NewBuffer(make([]byte, 0, len(object)+64))
	out.WriteByte('{')
	seen := make(map[string]bool, len(p))
	for dec.More() {
		name, raw, err := nextField(dec)
		if err != nil {
			return nil, notObject
		}
		if v, named := p[name]; named {
			if seen[name] || v == nil {
				continue
			}
			seen[name], raw = true, v
		}
		if err := writeField(out, name, raw); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name] != nil && !seen[name] {
			if err := writeField(out, name, p[name]); err != nil {
				return nil, err
			}
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
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
