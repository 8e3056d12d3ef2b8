package expiry

import (
	"encoding/json"

	"github.com/sojourn-go/sojourn/model"
)

// Codec turns values into the bytes that a backend keeps. It is safe for
// concurrent use.
type Codec interface {
	// Name is stored with each record; a record under another name is
	// ErrCorrupt to this codec. 1 to 32 bytes.
	Name() string
	Encode(v any) ([]byte, error)
	Decode(data []byte, v any) error
}

// JSON is the codec by default: the semantics of [encoding/json], every type
// and tag included.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                    { return "json" }
func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// encode returns ErrInvalid for what the codec refuses. The codec's own text
// may quote a value and stays out of the message.
func encode(c Codec, v any) ([]byte, error) {
	data, err := c.Encode(v)
	if err != nil {
		return nil, model.Fault(model.ErrInvalid, "the value cannot be encoded as "+c.Name(), err)
	}
	return data, nil
}

// decode returns ErrCorrupt for bytes that are no value of v's type.
func decode(c Codec, rec *model.Record, v any) error {
	if rec.Encoding != c.Name() {
		return model.Fault(model.ErrCorrupt, "stored as "+rec.Encoding+", read as "+c.Name(), nil)
	}
	if err := c.Decode(rec.Value, v); err != nil {
		return model.Fault(model.ErrCorrupt, "the stored "+c.Name()+" is no value of this type", err)
	}
	return nil
}
