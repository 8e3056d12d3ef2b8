package jsonform

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// replaced is what encoding/json writes for a byte that is not UTF-8. It writes
// the character itself, U+FFFD, as three bytes.
var replaced = []byte(`\ufffd`)

// CheckText returns an error if encoding/json replaced bytes of a string when it
// encoded what v points to as data: the string would come back as another one.
// The error names the field, and nothing of the value.
func CheckText(v any, data []byte) error {
	if !bytes.Contains(data, replaced) {
		return nil
	}
	// It may be a text that was escaped before, such as a json.RawMessage.
	if path, bad := badText(reflect.ValueOf(v), "", 0); bad {
		where := "a string"
		if path != "" {
			where += " of the field " + path[1:]
		}
		return fmt.Errorf("%s is not UTF-8, and JSON cannot keep its bytes: use []byte", where)
	}
	return nil
}

// maxDepth is that of encoding/json's decoder.
const maxDepth = 10_000

// badText looks for a string that is not UTF-8 in what encoding/json encodes of
// the value. It returns the names of the fields that lead to it.
func badText(v reflect.Value, path string, depth int) (string, bool) {
	if !v.IsValid() || depth > maxDepth {
		return "", false
	}
	if text, encodes := ownText(v); encodes {
		return path, !utf8.ValidString(text)
	}
	switch v.Kind() {
	case reflect.String:
		return path, !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return badText(v.Elem(), path, depth+1)
	case reflect.Slice, reflect.Array:
		if e := v.Type().Elem(); isNumber(e.Kind()) && !reflect.PointerTo(e).Implements(textMarshaler) {
			return "", false // a long slice of bytes has no texts
		}
		for i := range v.Len() {
			if at, bad := badText(v.Index(i), path, depth+1); bad {
				return at, true
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if badKey(entries.Key()) {
				return path, true
			}
			if at, bad := badText(entries.Value(), path, depth+1); bad {
				return at, true
			}
		}
	case reflect.Struct:
		return badField(v, path, depth)
	}
	return "", false
}

func isNumber(k reflect.Kind) bool { return k >= reflect.Bool && k <= reflect.Float64 }

func badField(v reflect.Value, path string, depth int) (string, bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		embeds := f.Anonymous && base(f.Type).Kind() == reflect.Struct
		if f.Tag.Get("json") == "-" || !f.IsExported() && !embeds {
			continue
		}
		if at, bad := badText(v.Field(i), path+"."+f.Name, depth+1); bad {
			return at, true
		}
	}
	return "", false
}

// badKey reports whether a key of a map is not UTF-8. A string is written as it
// is, whatever methods it has.
func badKey(k reflect.Value) bool {
	if k.Kind() == reflect.String {
		return !utf8.ValidString(k.String())
	}
	text, encodes := ownText(k)
	return encodes && !utf8.ValidString(text)
}

// ownText returns the text by which a value encodes itself, and whether it does.
// What it writes as JSON is its own, so that the text is then empty.
func ownText(v reflect.Value) (text string, encodes bool) {
	if v.Kind() == reflect.Pointer && v.IsNil() || !v.CanInterface() {
		return "", false
	}
	for _, candidate := range []reflect.Value{v, address(v)} {
		if !candidate.IsValid() {
			continue
		}
		switch m := candidate.Interface().(type) {
		case json.Marshaler:
			return "", true
		case encoding.TextMarshaler:
			b, err := m.MarshalText()
			return string(b), err == nil
		}
	}
	return "", false
}

// address returns a pointer to the value, or the zero Value.
func address(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	return reflect.Value{}
}
