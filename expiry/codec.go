package expiry

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/sojourn-go/sojourn/internal/jsonform"
	"github.com/sojourn-go/sojourn/model"
)

// Codec turns values into the bytes that a backend keeps. It is safe for
// concurrent use. A panic of a codec is an error.
type Codec interface {
	// Name has 1 to 32 bytes and is stored with each record. A record with
	// another codec's name is ErrCorrupt, unless the codec has a method Reads,
	// without arguments, that returns a []string with that name. Then Decode
	// reads such records too, which it knows by their bytes, and an update
	// replaces them. So a store can move to another codec while it is in use.
	Name() string
	// Encode returns the bytes of *v, where v is a pointer to the store's
	// type, as for Decode. The codec does not use the bytes again, and nothing
	// of the value leads to them, since a backend may keep them.
	Encode(v any) ([]byte, error)
	// Decode may keep the data in *v. The Store then gives it a copy, unless
	// the codec has a method DataStays, without arguments and results, which
	// promises that nobody changes the data through *v.
	Decode(data []byte, v any) error
}

// dataStays marks codecs whose values do not change the data that they were
// decoded from.
type dataStays interface{ DataStays() }

// reader is a codec that reads what other codecs have written.
type reader interface{ Reads() []string }

// typed is a codec that knows before any value which types it can encode.
type typed interface{ checkType(t reflect.Type) error }

// JSON returns the default codec, with the semantics of [encoding/json]. NewStore
// returns ErrInvalid for a type that no JSON decodes into, such as an interface
// with methods. It also refuses map elements whose MarshalJSON or MarshalText
// needs a pointer: encoding/json would skip that method. A string that is not
// UTF-8 is ErrInvalid: encoding/json would replace its bytes.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                    { return "json" }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }
func (jsonCodec) DataStays()                      {}
func (jsonCodec) checkType(t reflect.Type) error  { return jsonform.CheckType(t) }

func (jsonCodec) Encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if err := jsonform.CheckText(v, data); err != nil {
		return nil, safeError{err}
	}
	return data, nil
}

// safeError marks an error of a codec whose text quotes nothing of the value.
type safeError struct{ error }

// Gob returns a codec for values that JSON cannot encode, such as maps with
// struct keys, complex numbers or NaN. Only Go programs read them. Types behind
// interfaces must be registered, see [encoding/gob]. UpdatePartial needs JSON.
func Gob() Codec { return gobCodec{} }

type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }
func (gobCodec) DataStays()   {}

func (gobCodec) Encode(v any) ([]byte, error) {
	for p := reflect.ValueOf(v); p.Kind() == reflect.Pointer; p = p.Elem() {
		if p.IsNil() {
			return nil, errors.New("gob has no nil pointer: it would come back as a zero value")
		}
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Decode(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

// Bytes returns a codec that stores values as they are, for a store of []byte
// or string, or of a type with one of these as its underlying type. Another
// type is ErrInvalid in NewStore. A nil slice comes back empty. UpdatePartial
// needs JSON.
func Bytes() Codec { return bytesCodec{} }

type bytesCodec struct{}

func (bytesCodec) Name() string { return "bytes" }
func (bytesCodec) DataStays()   {}

func (c bytesCodec) Encode(v any) ([]byte, error) {
	switch p := v.(type) {
	case *[]byte:
		return append([]byte{}, *p...), nil
	case *string:
		return []byte(*p), nil
	}
	e := reflect.ValueOf(v).Elem()
	if err := c.checkType(e.Type()); err != nil {
		return nil, err
	}
	if e.Kind() == reflect.String {
		return []byte(e.String()), nil
	}
	return append([]byte{}, e.Bytes()...), nil
}

func (c bytesCodec) Decode(data []byte, v any) error {
	switch p := v.(type) {
	case *[]byte:
		*p = append([]byte{}, data...)
		return nil
	case *string:
		*p = string(data)
		return nil
	}
	e := reflect.ValueOf(v).Elem()
	if err := c.checkType(e.Type()); err != nil {
		return err
	}
	if e.Kind() == reflect.String {
		e.SetString(string(data))
	} else {
		e.SetBytes(append([]byte{}, data...))
	}
	return nil
}

func (bytesCodec) checkType(t reflect.Type) error {
	if t.Kind() == reflect.String || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return nil
	}
	return fmt.Errorf("%v is neither bytes nor a string", t)
}

// encode returns the bytes of the value that v points to, not yet sealed. It
// returns ErrInvalid if the codec fails or panics. The codec's own text may
// quote the value, so it is not in the message.
func encode(c Codec, v any) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			data, err = nil, panicked(model.ErrInvalid, c, "encode", p)
		}
	}()
	if data, err = c.Encode(v); err != nil {
		detail := "the value cannot be encoded as " + c.Name()
		var safe safeError
		if errors.As(err, &safe) {
			detail += ": " + safe.Error()
		}
		return nil, model.NewError(model.ErrInvalid, detail, causeOf(err))
	}
	return data, nil
}

// decode returns ErrCorrupt for bytes that do not decode into v.
func decode(c Codec, plain []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(model.ErrCorrupt, c, "decode", p)
		}
	}()
	if err := c.Decode(plain, v); err != nil {
		return model.NewError(model.ErrCorrupt, "the stored "+c.Name()+" does not decode into the store's type", causeOf(err))
	}
	return nil
}

// panicked returns the error of a codec, or a method of the value, that
// panicked. What it panicked with may quote the value, so it is the cause only.
func panicked(kind error, c Codec, verb string, p any) error {
	cause, ok := p.(error)
	if !ok {
		cause = fmt.Errorf("panic: %v", p)
	}
	return model.NewError(kind, "the codec "+c.Name()+" panicked while it tried to "+verb+" the value", causeOf(cause))
}

// causeOf returns an error of the value's own methods as a cause. One that has a
// kind, such as that of another store, or is a context's, must not give the
// Store's error a second kind.
func causeOf(err error) error {
	if model.Kind(err) == nil && !isContext(err) {
		return err
	}
	return errors.New(err.Error())
}
