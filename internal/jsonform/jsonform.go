// Package jsonform knows which Go types come back from JSON as they went in.
package jsonform

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

var (
	marshaler       = reflect.TypeFor[json.Marshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// CheckType returns an error that names the part of a type which encoding/json
// would not decode as it encodes it, given a pointer to a value.
func CheckType(t reflect.Type) error {
	for top := t; ; top = top.Elem() {
		if decodesItself(top) {
			break
		}
		switch top.Kind() {
		case reflect.Pointer:
			continue
		case reflect.Interface:
			if top.NumMethod() > 0 {
				return fmt.Errorf("no JSON decodes into %v, an interface with methods", top)
			}
		case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
			return fmt.Errorf("no JSON decodes into %v", top)
		case reflect.Struct:
			if top.NumField() > 0 && !anyExported(top) {
				return fmt.Errorf("%v has no exported field, so that JSON would lose its content", top)
			}
		}
		break
	}
	return elements(t, true, map[visit]bool{})
}

// anyExported reports whether JSON writes anything of a struct.
func anyExported(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous {
			return true
		}
	}
	return false
}

// decodesItself reports whether a pointer to the type has a method that decodes
// JSON.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshaler) || p.Implements(textUnmarshaler)
}

type visit struct {
	t           reflect.Type
	addressable bool
}

// elements looks for values that encoding/json cannot take the address of and
// whose methods that encode need one, while those that decode would be called.
func elements(t reflect.Type, addressable bool, seen map[visit]bool) error {
	if seen[visit{t, addressable}] {
		return nil
	}
	seen[visit{t, addressable}] = true
	if t.Implements(marshaler) || t.Implements(textMarshaler) {
		return nil
	}
	if p := reflect.PointerTo(t); p.Implements(marshaler) && p.Implements(unmarshaler) || p.Implements(textMarshaler) && p.Implements(textUnmarshaler) {
		if !addressable {
			return fmt.Errorf("encoding/json would skip the method of *%v that encodes it, since the value is in a map: let the map hold pointers", t)
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return elements(t.Elem(), true, seen)
	case reflect.Array:
		return elements(t.Elem(), addressable, seen)
	case reflect.Map:
		return elements(t.Elem(), false, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if (!f.IsExported() && !f.Anonymous) || f.Tag.Get("json") == "-" {
				continue
			}
			if err := elements(f.Type, addressable, seen); err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
		}
	}
	return nil
}

// Fields returns the names of the top-level fields that encoding/json decodes
// into a type. Open reports that the type takes any name: a map, an interface,
// or a type that decodes itself.
func Fields(t reflect.Type) (names []string, open bool) {
	for t.Kind() == reflect.Pointer && !decodesItself(t.Elem()) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || decodesItself(t) {
		return nil, true
	}
	return fields(t, nil, map[reflect.Type]bool{}), false
}

func fields(t reflect.Type, names []string, seen map[reflect.Type]bool) []string {
	if seen[t] {
		return names
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case tag == "-":
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			names = fields(inner, names, seen)
		case !f.IsExported():
		case name != "":
			names = append(names, name)
		default:
			names = append(names, f.Name)
		}
	}
	return names
}

// Folds reports whether encoding/json decodes names that differ only in case
// into one field of the type. A map keeps them apart.
func Folds(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() != reflect.Map && t.Kind() != reflect.Interface
}
