package expiry

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Codec turns values into the bytes that a backend keeps. It is safe for
// concurrent use.
type Codec interface {
	// Name is stored with each record; a record under another name is
	// ErrCorrupt to this codec. 1 to 32 bytes.
	Name() string
	// Encode returns bytes that the codec does not use again: a backend may
	// keep them.
	Encode(v any) ([]byte, error)
	// Decode may keep the data: nobody changes it any more.
	Decode(data []byte, v any) error
}

// JSON is the codec by default: the semantics of [encoding/json], every type
// and tag included.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                    { return "json" }
func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// Gob is a codec for values that JSON does not carry, such as maps with struct
// keys, complex numbers or NaN, at the price of being read by Go programs
// alone. Types behind interfaces must be registered, see [encoding/gob], and
// UpdatePartial needs JSON.
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

// encode returns the bytes of a value, not yet sealed. ErrInvalid for what the
// codec refuses; its own text may quote the value and stays out of the
// message.
func encode(c Codec, v any) ([]byte, error) {
	data, err := c.Encode(v)
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, "the value cannot be encoded as "+c.Name(), err)
	}
	return data, nil
}

// pack makes encoded bytes the value of a write, sealed where the store seals.
// The bytes are the write's from now on.
func (s *Store[T]) pack(w *driver.Write, plain []byte) (err error) {
	w.Record.Value, w.Record.Encoding, w.ValueOwned = plain, s.codec.Name(), true
	if s.opts.Seal != nil {
		w.Record.Encoding = sealedEncoding
		w.Record.Value, _, err = s.opts.Seal.seal(w.Record.ID, s.codec.Name(), plain)
	}
	return err
}

// unpack returns the encoded bytes of a record. A record that is not sealed is
// ErrCorrupt to a store that seals, unless it may be: otherwise whoever writes
// to the server could do without the key.
func (s *Store[T]) unpack(rec *model.Record) ([]byte, error) {
	if s.opts.Seal != nil && rec.Encoding == sealedEncoding {
		return s.opts.Seal.open(rec.ID, s.codec.Name(), rec.Value)
	}
	switch {
	case rec.Encoding != s.codec.Name():
		return nil, model.NewError(model.ErrCorrupt, fmt.Sprintf("stored as %.32q, read as %q", rec.Encoding, s.codec.Name()), nil)
	case s.opts.Seal != nil && !s.opts.OpenUnsealed:
		return nil, model.NewError(model.ErrCorrupt, "the value is not sealed", nil)
	}
	return rec.Value, nil
}

// decode returns ErrCorrupt for bytes that are no value of v's type.
func decode(c Codec, plain []byte, v any) error {
	if err := c.Decode(plain, v); err != nil {
		return model.NewError(model.ErrCorrupt, "the stored "+c.Name()+" is no value of this type", err)
	}
	return nil
}
