// Package jsonform knows which Go types come back from JSON as they went in.
package jsonform

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
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
	top := base(t)
	if !decodesItself(top) {
		switch top.Kind() {
		case reflect.Pointer, reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
			return fmt.Errorf("no JSON decodes into %v", top)
		}
	}
	return elements(top, true, map[visit]bool{})
}

// base returns what a type of pointers points to, and a pointer type for one
// that points to itself.
func base(t reflect.Type) reflect.Type {
	for n := 0; t.Kind() == reflect.Pointer && n < 16; n++ {
		t = t.Elem()
	}
	return t
}

// loses reports whether a struct has content of which JSON writes nothing.
func loses(t reflect.Type) bool {
	lost := false
	for i := range t.NumField() {
		f := t.Field(i)
		inner := base(f.Type)
		switch {
		case f.Anonymous && inner.Kind() == reflect.Struct:
			if inner == t || inner.NumField() == 0 {
				continue
			}
			if !loses(inner) {
				return false
			}
			lost = true
		case f.IsExported():
			return false
		case f.Name != "_":
			lost = true
		}
	}
	return lost
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

// elements looks for parts of a type that do not come back: those whose methods
// that encode need an address that encoding/json cannot take, and those whose
// JSON nothing decodes. What has methods for both ways is trusted.
func elements(t reflect.Type, addressable bool, seen map[visit]bool) error {
	if seen[visit{t, addressable}] {
		return nil
	}
	seen[visit{t, addressable}] = true
	switch t.Kind() {
	case reflect.Pointer:
		return elements(t.Elem(), true, seen)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("no JSON decodes into %v, an interface with methods", t)
		}
		return nil
	}
	p := reflect.PointerTo(t)
	if !addressable && !t.Implements(marshaler) && !t.Implements(textMarshaler) &&
		(p.Implements(marshaler) && p.Implements(unmarshaler) || p.Implements(textMarshaler) && p.Implements(textUnmarshaler)) {
		return fmt.Errorf("encoding/json would skip the method of *%v that encodes it, since the value is in a map: let the map hold pointers", t)
	}
	switch {
	case decodesItself(t), t.Implements(marshaler), addressable && p.Implements(marshaler):
		return nil
	case t.Implements(textMarshaler), addressable && p.Implements(textMarshaler):
		if t.Kind() == reflect.String || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return nil
		}
		return fmt.Errorf("%v is written as a text by its MarshalText, and has no UnmarshalText to read it", t)
	}
	switch t.Kind() {
	case reflect.Slice:
		return elements(t.Elem(), true, seen)
	case reflect.Array:
		return elements(t.Elem(), addressable, seen)
	case reflect.Map:
		if err := key(t.Key()); err != nil {
			return err
		}
		return elements(t.Elem(), false, seen)
	case reflect.Struct:
		if loses(t) && (t.PkgPath() != "sync" || t.Name() == "Map") { // locks have no content
			return fmt.Errorf("%v has no exported field, so that JSON would lose its content", t)
		}
		return members(t, addressable, seen)
	}
	return nil
}

// members looks into the fields of a struct.
func members(t reflect.Type, addressable bool, seen map[visit]bool) error {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		inner := base(f.Type)
		embeds := f.Anonymous && inner.Kind() == reflect.Struct
		var err error
		switch {
		case tag == "-", !f.IsExported() && !embeds:
		case embeds && !f.IsExported() && f.Type.Kind() == reflect.Pointer && inner.NumField() > 0 && !loses(inner):
			err = fmt.Errorf("encoding/json writes what the embedded %v points to and cannot read it: embed the struct, or export its name", f.Type)
		case embeds && name == "":
			if at := (visit{inner, addressable || f.Type.Kind() == reflect.Pointer}); !seen[at] {
				seen[at] = true
				err = members(inner, at.addressable, seen)
			}
		default:
			err = elements(f.Type, addressable, seen)
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return nil
}

// key judges the keys of a map, of which encoding/json takes no address.
func key(t reflect.Type) error {
	p := reflect.PointerTo(t)
	writes, reads := t.Implements(textMarshaler), p.Implements(textUnmarshaler)
	switch {
	case t.Kind() == reflect.String: // written as it is
		return nil
	case writes && !reads:
		return fmt.Errorf("the map's key %v is written by its MarshalText, and has no UnmarshalText to read it", t)
	case reads && !writes && p.Implements(textMarshaler):
		return fmt.Errorf("encoding/json would skip the MarshalText of *%v, since the value is the key of a map", t)
	}
	return nil
}

// Fields returns the names of the top-level fields that encoding/json decodes
// into a type. Open reports that the type takes any name: a map, an interface,
// or a type that decodes itself.
func Fields(t reflect.Type) (names []string, open bool) {
	t = base(t)
	if t.Kind() != reflect.Struct || decodesItself(t) {
		return nil, true
	}
	found := map[string]place{}
	fields(t, 0, found, map[reflect.Type]bool{})
	for name, at := range found {
		if at.count == 1 { // encoding/json ignores the fields of an ambiguous name
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, false
}

// place says where a name was found: the least depth of embedded structs goes
// first, then a name that a tag gives.
type place struct {
	depth  int
	tagged bool
	count  int
}

func fields(t reflect.Type, depth int, found map[string]place, above map[reflect.Type]bool) {
	if above[t] {
		return
	}
	above[t] = true
	defer delete(above, t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		inner := base(f.Type)
		embeds := f.Anonymous && inner.Kind() == reflect.Struct
		switch {
		case tag == "-":
		case embeds && name == "":
			fields(inner, depth+1, found, above)
		case f.IsExported() || embeds:
			at := place{depth, name != "", 1}
			name = cmp.Or(name, f.Name)
			switch old, has := found[name]; {
			case !has, at.depth < old.depth, at.depth == old.depth && at.tagged && !old.tagged:
				found[name] = at
			case at.depth == old.depth && at.tagged == old.tagged:
				old.count++
				found[name] = old
			}
		}
	}
}

// Folds reports whether encoding/json decodes names that differ only in case
// into one field of the type. A map keeps them apart.
func Folds(t reflect.Type) bool {
	t = base(t)
	return t.Kind() != reflect.Map && t.Kind() != reflect.Interface
}
