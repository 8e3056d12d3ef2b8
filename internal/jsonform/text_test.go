package jsonform_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/jsonform"
)

const torn = "caf\xe9" // Latin-1

type (
	textual   struct{ s string }
	byPointer struct{ s string }
	keyText   struct{ s string }
	own       struct{ s string }
	grade     uint8
	embedded  struct{ City string }
	address   struct {
		embedded
		Lines []string
		Codes map[string]string
		Any   any
		Next  *address `json:",omitempty"`
		Skip  string   `json:"-"`
		inner string
	}
)

func (t textual) MarshalText() ([]byte, error)    { return []byte(t.s), nil }
func (t *byPointer) MarshalText() ([]byte, error) { return []byte(t.s), nil }
func (t keyText) MarshalText() ([]byte, error)    { return []byte(t.s), nil }
func (grade) MarshalText() ([]byte, error)        { return []byte(torn), nil }
func (o own) MarshalJSON() ([]byte, error)        { return []byte(`"\ufffd"`), nil }

// TestCheckText encodes values whose strings come back changed, and some that
// look as if they did.
func TestCheckText(t *testing.T) {
	text := torn
	for name, tt := range map[string]struct {
		v   any
		bad string // the field's path; "." for none, empty for no error
	}{
		"text":                       {"café", ""},
		"text that is not UTF-8":     {torn, "."},
		"half of a pair":             {"\xed\xa0\x80", "."},
		"the replacement itself":     {"\ufffd", ""},
		"its escape as a text":       {`\ufffd`, ""},
		"its escape as JSON":         {json.RawMessage(`"\ufffd"`), ""},
		"its escape by MarshalJSON":  {own{torn}, ""},
		"escape beside a bad text":   {[]any{own{}, torn}, "."},
		"bytes":                      {[]byte(torn), ""},
		"pointer to a pointer":       {&text, "."},
		"nil":                        {(*string)(nil), ""},
		"MarshalText":                {textual{torn}, "."},
		"MarshalText of a pointer":   {[]byPointer{{torn}}, "."},
		"numbers with MarshalText":   {[2]grade{1, 2}, "."},
		"nil with MarshalText":       {[]*byPointer{nil, {torn}}, "."},
		"key":                        {map[string]int{torn: 1}, "."},
		"key with MarshalText":       {map[keyText]int{{torn}: 1}, "."},
		"element of a map":           {map[string][]string{"a": {"b", torn}}, "."},
		"field of an embedded":       {address{embedded: embedded{City: torn}}, "embedded.City"},
		"element of a field":         {address{Lines: []string{"a", torn}}, "Lines"},
		"key in a field":             {address{Codes: map[string]string{torn: "a"}}, "Codes"},
		"field of an interface":      {address{Any: &address{Lines: []string{torn}}}, "Any.Lines"},
		"deep":                       {address{Next: &address{Next: &address{Any: torn}}}, "Next.Next.Any"},
		"fields that are not stored": {address{Skip: torn, inner: torn, Any: own{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(&tt.v)
			if err != nil {
				t.Fatal(err)
			}
			err = jsonform.CheckText(&tt.v, data)
			if (err == nil) != (tt.bad == "") {
				t.Fatalf("got %v for %s", err, data)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), "not UTF-8") || strings.Contains(err.Error(), "caf") {
				t.Errorf("the error is %q", err)
			}
			if at := "field " + tt.bad + " "; tt.bad != "." && !strings.Contains(err.Error(), at) {
				t.Errorf("the error is %q, want the %s", err, at)
			}
		})
	}
}

// FuzzCheckText stores a string that CheckText accepts, which comes back as it
// was, and refuses only one that does not.
func FuzzCheckText(f *testing.F) {
	for _, s := range []string{"", "café", torn, "\ufffd", `\ufffd`, "\x00\u2028<&>", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := map[string]any{s: []string{s}}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string][]string
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		same := len(got[s]) == 1 && got[s][0] == s
		if err := jsonform.CheckText(&v, data); (err == nil) != same {
			t.Errorf("%q: %v, and it comes back unchanged: %v", s, err, same)
		}
	})
}
