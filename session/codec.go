package session

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strconv"
)

// rowCodec is encoding/json for rows, which every request reads and many
// write: it makes the same bytes, and reads what looks like its own work in a
// fraction of the time. All else encoding/json reads.
type rowCodec struct{}

func (rowCodec) Name() string { return "json" }

func (rowCodec) Encode(v any) ([]byte, error) {
	r, ok := v.(row)
	if !ok {
		return json.Marshal(v)
	}
	return appendRow(make([]byte, 0, rowSize(&r)), &r)
}

func (rowCodec) Decode(data []byte, v any) error {
	if r, ok := v.(*row); ok {
		p := parse(data)
		if p.row(r); p.done() {
			return nil
		}
		*r = row{}
	}
	return json.Unmarshal(data, v)
}

// encodeValues and decodeValues are for the values alone, when they are sealed.
func encodeValues(v values) []byte {
	w := writer{}
	w.values(v)
	return w.b
}

func decodeValues(data []byte) (v values, err error) {
	p := parse(data)
	if v = p.values(); !p.done() {
		err = json.Unmarshal(data, &v)
	}
	return v, err
}

// encodeValue and decodeValue are encoding/json, with a short way for the types
// that most values have.
func encodeValue(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case string:
		w := writer{b: make([]byte, 0, len(v)+len(`""`))}
		w.string(v)
		return w.b, w.err
	case int:
		return strconv.AppendInt(nil, int64(v), 10), nil
	}
	return json.Marshal(v)
}

func decodeValue(raw json.RawMessage, v any) error {
	switch v := v.(type) {
	case *string:
		p := parse(raw)
		if s := p.part(); p.done() {
			*v = s
			return nil
		}
	case *int:
		p := parse(raw)
		if n := p.int(); p.done() {
			*v = n
			return nil
		}
	}
	return json.Unmarshal(raw, v)
}

// rowSize is a little more than the JSON of nearly every row takes.
func rowSize(r *row) int {
	n := 320 + len(r.Principal) + len(r.SID) + len(r.Client.UserAgent) + len(r.Name) + 4*len(r.Sealed)/3
	for _, v := range r.Data {
		n += len(v.key) + len(v.raw) + len(`"":,`)
	}
	return n
}

// writer appends JSON. What a field takes beside its value is its name with the
// comma before and the colon behind it.
type writer struct {
	b   []byte
	err error
}

func appendRow(b []byte, r *row) ([]byte, error) {
	w := writer{b: b}
	w.int(`{"v":`, int64(r.Version))
	w.bytes(`,"hash":`, r.Hash)
	w.optional(`,"hashKey":`, r.HashKey)
	if len(r.Prev) > 0 {
		w.bytes(`,"prev":`, r.Prev)
	}
	w.optional(`,"prevKey":`, r.PrevKey)
	w.optionalInt(`,"prevUntil":`, int64(r.PrevUntil))
	w.int(`,"rotatedAt":`, int64(r.RotatedAt))
	w.int(`,"createdAt":`, int64(r.CreatedAt))
	w.optionalInt(`,"authenticatedAt":`, int64(r.AuthenticatedAt))
	w.int(`,"writtenAt":`, int64(r.WrittenAt))
	w.optionalInt(`,"absolute":`, int64(r.Absolute))
	w.optionalInt(`,"idle":`, r.Idle)
	w.optionalInt(`,"life":`, r.Life)
	w.optionalInt(`,"notAfter":`, int64(r.NotAfter))
	w.optional(`,"principal":`, r.Principal)
	w.optionalInt(`,"level":`, int64(r.Level))
	if r.Elevated != nil {
		w.any(`,"elevated":`, r.Elevated)
	}
	if r.Actor != nil {
		w.any(`,"actor":`, r.Actor)
	}
	w.optional(`,"sid":`, r.SID)
	if r.Client != (Client{}) {
		w.client(&r.Client)
	}
	w.optional(`,"name":`, r.Name)
	if len(r.Data) > 0 {
		w.name(`,"data":`)
		w.values(r.Data)
	}
	w.optional(`,"sealKey":`, r.SealKey)
	if len(r.Sealed) > 0 {
		w.bytes(`,"sealed":`, r.Sealed)
	}
	return append(w.b, '}'), w.err
}

func (w *writer) name(s string) { w.b = append(w.b, s...) }

func (w *writer) int(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) optionalInt(name string, n int64) {
	if n != 0 {
		w.int(name, n)
	}
}

func (w *writer) bytes(name string, b []byte) {
	w.name(name)
	if b == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, b)
	w.b = append(w.b, '"')
}

func (w *writer) optional(name, s string) {
	if s != "" {
		w.name(name)
		w.string(s)
	}
}

func (w *writer) client(c *Client) {
	w.name(`,"client":{`)
	address := `"address":`
	if c.UserAgent != "" {
		w.optional(`"userAgent":`, c.UserAgent)
		address = `,"address":`
	}
	switch {
	case c.Address == netip.Addr{}:
	case c.Address.Zone() != "":
		w.optional(address, c.Address.String())
	default:
		w.name(address)
		w.b = append(c.Address.AppendTo(append(w.b, '"')), '"')
	}
	w.b = append(w.b, '}')
}

// string leaves to encoding/json what has to be escaped.
func (w *writer) string(s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			w.any("", s)
			return
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

// any appends what is rare.
func (w *writer) any(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.err = err
	}
	w.name(name)
	w.b = append(w.b, b...)
}

// values appends an object of values, which are JSON already.
func (w *writer) values(list values) {
	w.b = append(w.b, '{')
	for i, v := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.string(v.key)
		w.b = append(append(w.b, ':'), v.raw...)
	}
	w.b = append(w.b, '}')
}
