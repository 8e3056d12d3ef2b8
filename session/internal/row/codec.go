package row

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/internal/jsonform"
)

// Codec writes rows in their compact form and reads both forms, because every
// request reads a row and many write one.
//
// Of the JSON form it writes the same bytes as encoding/json. It parses its own
// output in a fraction of the time, and leaves all other input to encoding/json.
type Codec struct {
	JSON bool // write the JSON form
}

// The names of the two forms.
const (
	NameCompact = "row"
	NameJSON    = "json"
)

// Name returns the name of the form that is written.
func (c Codec) Name() string {
	if c.JSON {
		return NameJSON
	}
	return NameCompact
}

// Reads returns the name of the other form: such rows are read and replaced.
func (c Codec) Reads() []string { return []string{Codec{JSON: !c.JSON}.Name()} }

// Version returns the format of the rows that are written.
func (c Codec) Version() int {
	if c.JSON {
		return versionJSON
	}
	return Version
}

// DataStays promises that values are never changed in place.
func (Codec) DataStays() {}

// Encode returns the form of the row's version.
func (Codec) Encode(v any) ([]byte, error) {
	r, ok := v.(*Row)
	switch {
	case !ok:
		return json.Marshal(v)
	case r.Version > versionJSON:
		return appendCompact(make([]byte, 0, compactSize(r)), r)
	}
	return appendRow(make([]byte, 0, rowSize(r)), r)
}

// Decode reads either form into v.
func (Codec) Decode(data []byte, v any) error {
	if r, ok := v.(*Row); ok {
		if IsCompact(data) {
			return decodeCompact(data, r)
		}
		p := parse(data)
		if p.row(r); p.done() {
			return nil
		}
		*r = Row{}
		return decodeRow(data, r)
	}
	return json.Unmarshal(data, v)
}

// decodeRow reads any JSON of a row. Of a newer version whose other fields do
// not fit, it reads those that every version has.
func decodeRow(data []byte, r *Row) error {
	err := json.Unmarshal(data, r)
	if err == nil {
		return nil
	}
	var secrets struct {
		Version       int     `json:"v"`
		Hash          []byte  `json:"hash"`
		HashKey       string  `json:"hashKey"`
		Previous      []byte  `json:"prev"`
		PreviousKey   string  `json:"prevKey"`
		PreviousUntil Instant `json:"prevUntil"`
		Retired       []byte  `json:"retired"`
		RetiredKey    string  `json:"retiredKey"`
		RetiredUntil  Instant `json:"retiredUntil"`
	}
	if json.Unmarshal(data, &secrets) != nil || secrets.Version <= Version {
		*r = Row{}
		return err
	}
	*r = Row{
		Version: secrets.Version, Hash: secrets.Hash, HashKey: secrets.HashKey,
		Previous: secrets.Previous, PreviousKey: secrets.PreviousKey, PreviousUntil: secrets.PreviousUntil,
		Retired: secrets.Retired, RetiredKey: secrets.RetiredKey, RetiredUntil: secrets.RetiredUntil,
	}
	return nil
}

// Signed returns the bytes that a MAC of the row covers, without those of its
// id: the form of its version with an empty MAC. That is so in whatever form the
// row was stored.
func (r *Row) Signed() ([]byte, error) {
	c := *r
	c.MAC = nil
	return Codec{}.Encode(&c)
}

// EncodeValues returns the JSON of the values alone, which is what is sealed.
func EncodeValues(v Values) []byte {
	w := writer{}
	w.values(v)
	return w.b
}

// DecodeValues reads what EncodeValues returns.
func DecodeValues(data []byte) (v Values, err error) {
	p := parse(data)
	if v = p.values(); !p.done() {
		err = json.Unmarshal(data, &v)
	}
	return v, err
}

// EncodeValue is json.Marshal of what v points to, with a fast path for strings
// and ints, the types of most values. A panic of the value's methods is an
// error.
func EncodeValue(v any) (raw json.RawMessage, err error) {
	switch v := v.(type) {
	case *string:
		w := writer{b: make([]byte, 0, len(*v)+len(`""`))}
		if !utf8.ValidString(*v) {
			break // for the error
		}
		w.string(*v)
		return w.b, w.err
	case *int:
		return strconv.AppendInt(nil, int64(*v), 10), nil
	}
	defer func() {
		if p := recover(); p != nil {
			raw, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	if raw, err = json.Marshal(v); err == nil {
		err = jsonform.CheckText(v, raw)
	}
	if err == nil && depth(raw) > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	return raw, err
}

// maxDepth is far from the 10,000 that encoding/json refuses to decode: a row
// with such a value could never be read.
const maxDepth = 1000

// depth returns how deep the arrays and objects of valid JSON are nested.
func depth(raw []byte) (deepest int) {
	at, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\':
			i++ // only strings have it
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			at++
			deepest = max(deepest, at)
		case c == ']', c == '}':
			at--
		}
	}
	return deepest
}

// DecodeValue is json.Unmarshal with a fast path for strings and ints. A panic
// of the value's methods is an error.
func DecodeValue(raw json.RawMessage, v any) (err error) {
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
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return json.Unmarshal(raw, v)
}

// rowSize returns a capacity in bytes that is enough for the JSON of nearly every
// row.
func rowSize(r *Row) int {
	n := 320 + len(r.Principal) + len(r.SID) + len(r.Client.UserAgent) + len(r.Name) + 4*len(r.Sealed)/3 + 4*len(r.MAC) + 2*len(r.Retired)
	for _, v := range r.Data {
		n += len(v.Key) + len(v.Raw) + len(`"":,`)
	}
	return n
}

// writer appends JSON. Its methods take the name of a field with the comma
// before it and the colon after it.
type writer struct {
	b   []byte
	err error
}

func appendRow(b []byte, r *Row) ([]byte, error) {
	w := writer{b: b}
	w.int(`{"v":`, int64(r.Version))
	w.bytes(`,"hash":`, r.Hash)
	w.optional(`,"hashKey":`, r.HashKey)
	w.bytes(`,"prev":`, r.Previous)
	w.optional(`,"prevKey":`, r.PreviousKey)
	w.optionalInt(`,"prevUntil":`, int64(r.PreviousUntil))
	w.bytes(`,"retired":`, r.Retired)
	w.optional(`,"retiredKey":`, r.RetiredKey)
	w.optionalInt(`,"retiredUntil":`, int64(r.RetiredUntil))
	w.bytes(`,"salt":`, r.Salt)
	w.optionalInt(`,"rotatedAt":`, int64(r.RotatedAt))
	w.optionalInt(`,"createdAt":`, int64(r.CreatedAt))
	w.optionalInt(`,"authenticatedAt":`, int64(r.AuthenticatedAt))
	w.optionalInt(`,"writtenAt":`, int64(r.WrittenAt))
	w.optionalInt(`,"absolute":`, int64(r.Absolute))
	w.optionalInt(`,"idle":`, r.Idle)
	w.optionalInt(`,"life":`, r.Life)
	w.optionalInt(`,"notAfter":`, int64(r.NotAfter))
	w.optionalInt(`,"parked":`, int64(r.Parked))
	w.optionalInt(`,"views":`, r.Views)
	w.optional(`,"principal":`, r.Principal)
	w.optionalInt(`,"level":`, int64(r.Level))
	if r.Elevated != nil {
		w.any(`,"elevated":`, r.Elevated)
	}
	if r.Actor != nil {
		w.any(`,"actor":`, r.Actor)
	}
	w.optional(`,"sid":`, r.SID)
	if len(r.Labels) > 0 {
		w.any(`,"labels":`, r.Labels)
	}
	if r.Client != (Client{}) {
		w.client(&r.Client)
	}
	w.optional(`,"name":`, r.Name)
	w.optionalInt(`,"persist":`, int64(r.Persistence))
	w.optional(`,"gone":`, r.Gone)
	if len(r.Data) > 0 {
		w.name(`,"data":`)
		w.values(r.Data)
	}
	w.optional(`,"sealKey":`, r.SealKey)
	w.bytes(`,"sealed":`, r.Sealed)
	w.optional(`,"macKey":`, r.MACKey)
	w.bytes(`,"mac":`, r.MAC)
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
	if len(b) == 0 {
		return
	}
	w.name(name)
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

// string appends a JSON string. encoding/json appends strings that need escapes.
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

// any appends a rare field with encoding/json.
func (w *writer) any(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.err = err
	}
	w.name(name)
	w.b = append(w.b, b...)
}

// values appends an object. Its values are JSON already.
func (w *writer) values(list Values) {
	w.b = append(w.b, '{')
	for i, v := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.string(v.Key)
		w.b = append(append(w.b, ':'), v.Raw...)
	}
	w.b = append(w.b, '}')
}
