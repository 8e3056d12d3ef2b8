package expiry

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzPatch compares with the same change made through a map, which knows the
// meaning but not the bytes.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":1.10,"b":{"c":[1,2]},"a":3}`, `[]`, `null`, `{"a":`, `{"a" : "\u003c<" }`, ` {"é":1,"z":null} `} {
		f.Add(s, "a", `{"x":1}`)
		f.Add(s, "b", `null`)
		f.Add(s, "new", `1`)
	}
	f.Fuzz(func(t *testing.T, object, name, replacement string) {
		if !json.Valid([]byte(replacement)) {
			return
		}
		p := &patch{fields: map[string]json.RawMessage{name: json.RawMessage(replacement)}}
		out, err := p.apply([]byte(object))
		var want map[string]any
		if json.Unmarshal([]byte(object), &want) != nil || want == nil {
			if err == nil && !json.Valid([]byte(object)) && json.Valid(out) {
				// What follows a complete object is not looked at: a codec
				// refuses such bytes before they get here.
				return
			}
			if err == nil && json.Valid([]byte(object)) {
				t.Fatalf("%q is no object and became %q", object, out)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		var v any
		_ = json.Unmarshal([]byte(replacement), &v)
		want[normal(name)] = v
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q became %q: %v", object, out, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q", object, out)
		}
	})
}

// normal is the name after encoding/json replaced bytes that are not UTF-8.
func normal(name string) string {
	return string([]rune(name))
}
