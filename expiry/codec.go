package expiry

import (
	"bytes"
	"encoding/gob"
	"encoding/json"

	"github.com/sojourn-go/sojourn/model"
)

// Codec turns values into the bytes that a backend keeps. It is safe for
// concurrent use.
type Codec interface {
	// Name has 1 to 32 bytes and is stored with each record. A record with
	// another codec's name is ErrCorrupt.
	Name() string
	// Encode returns bytes that the codec does not use again, since a backend
	// may keep them.
	Encode(v any) ([]byte, error)
	// Decode may keep the data, which nobody changes.
	Decode(data []byte, v any) error
}

// JSON returns the default codec, with the semantics of [encoding/json].
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                    { return "json" }
func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// Gob returns a codec for values that JSON cannot encode, such as maps with
// struct keys, complex numbers or NaN. Only Go programs read them. Types behind
// interfaces must be registered, see [encoding/gob]. UpdatePartial needs JSON.
func Gob() Codec { return gobCodec{} }

type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Decode(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

// encode returns the bytes of a value, not yet sealed. It returns ErrInvalid if
// the codec fails. The codec's own text may quote the value, so it is not in
// the message.
func encode(c Codec, v any) ([]byte, error) {
	data, err := c.Encode(v)
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, "the value cannot be encoded as "+c.Name(), err)
	}
	return data, nil
}

// decode returns ErrCorrupt for bytes that do not decode into v.
func decode(c Codec, plain []byte, v any) error {
	if err := c.Decode(plain, v); err != nil {
		return model.NewError(model.ErrCorrupt, "the stored "+c.Name()+" does not decode into the store's type", err)
	}
	return nil
}
