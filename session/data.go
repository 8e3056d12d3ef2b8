package session

import (
	"bytes"
	"encoding/json"
	"maps"
)

// record notes a change and applies it. The caller has the turn.
func (s *Session) record(o op, result json.RawMessage) {
	s.mark(func() {
		data := maps.Clone(s.data)
		if data == nil {
			data = map[string]json.RawMessage{}
		}
		set(data, o.key, result)
		s.data = data
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

// replay applies the changes, in order, to another state of the data, which it
// leaves alone. An update runs anew; its error ends the replay.
func replay(base map[string]json.RawMessage, ops []op) (map[string]json.RawMessage, error) {
	data := maps.Clone(base)
	if data == nil {
		data = make(map[string]json.RawMessage, len(ops))
	}
	for _, o := range ops {
		raw := o.raw
		if o.update != nil {
			var err error
			if raw, err = o.update(data[o.key]); err != nil {
				return nil, err
			}
		}
		set(data, o.key, raw)
	}
	return data, nil
}

func set(data map[string]json.RawMessage, key string, raw json.RawMessage) {
	if raw == nil {
		delete(data, key)
		return
	}
	data[key] = raw
}

func sameData(a, b map[string]json.RawMessage) bool {
	return maps.EqualFunc(a, b, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
}
