package mongo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/sojourn-go/sojourn/model"
)

// The fields of a document; see doc.go.
const (
	fieldID     = "_id"
	fieldFormat = "sojourn"
	fieldRev    = "rev"
	fieldExpiry = "exp"
	fieldEver   = "ever"
	fieldLabels = "lab"
	fieldCodec  = "enc"
	fieldValue  = "val"
	fieldCopy   = "copy"
)

// formatVersion marks the documents that this version reads. It is part of
// every filter, so that no write changes another's.
const formatVersion = int32(1)

// lastInstant is the expiry of records that never expire, which ever marks: so
// a comparison alone says what is live, $max extends without shortening, and
// no client meets a year that it cannot represent.
const lastInstant = bson.DateTime(253402300799999) // 9999-12-31T23:59:59.999Z

func dateOf(t time.Time) bson.DateTime { return bson.DateTime(t.UnixMilli()) }

// expiryFields are the fields of an expiry, those to remove set to nil.
func expiryFields(t time.Time) (exp bson.DateTime, ever bool) {
	if t.IsZero() {
		return lastInstant, true
	}
	return dateOf(t), false
}

// labelFields are the labels as a document, in the order in which they are
// declared; nil for none.
func (b *Backend) labelFields(labels map[string]string) bson.D {
	if len(labels) == 0 {
		return nil
	}
	d := make(bson.D, 0, len(labels))
	for _, name := range b.labels {
		if v, ok := labels[name]; ok {
			d = append(d, bson.E{Key: name, Value: v})
		}
	}
	return d
}

// valueField is text where it can be, so that people can read it.
func valueField(value []byte) any {
	if utf8.Valid(value) {
		return string(value)
	}
	return bson.Binary{Data: value}
}

// document is the record as it is stored, and the size of its copy.
func (b *Backend) document(rec *model.Record) (doc bson.D, copied int) {
	exp, ever := expiryFields(rec.ExpiresAt)
	d := make(bson.D, 0, 9)
	d = append(d,
		bson.E{Key: fieldID, Value: rec.ID},
		bson.E{Key: fieldFormat, Value: formatVersion},
		bson.E{Key: fieldRev, Value: bson.Binary{Data: rec.Revision[:]}},
		bson.E{Key: fieldExpiry, Value: exp},
	)
	if ever {
		d = append(d, bson.E{Key: fieldEver, Value: true})
	}
	if labels := b.labelFields(rec.Labels); labels != nil {
		d = append(d, bson.E{Key: fieldLabels, Value: labels})
	}
	d = append(d, bson.E{Key: fieldCodec, Value: rec.Encoding}, bson.E{Key: fieldValue, Value: valueField(rec.Value)})
	if c, ok := b.copyOf(rec); ok {
		d = append(d, bson.E{Key: fieldCopy, Value: c})
		copied = len(c.Value)
	}
	return d, copied
}

// change is an update that replaces a record but for what the write keeps.
func (b *Backend) change(rec *model.Record, keepExpiry, keepLabels bool) bson.D {
	set := bson.D{
		{Key: fieldRev, Value: bson.Binary{Data: rec.Revision[:]}},
		{Key: fieldCodec, Value: rec.Encoding},
		{Key: fieldValue, Value: valueField(rec.Value)},
	}
	var unset bson.D
	put := func(there bool, field string, value any) {
		if there {
			set = append(set, bson.E{Key: field, Value: value})
		} else {
			unset = append(unset, bson.E{Key: field, Value: ""})
		}
	}
	if !keepExpiry {
		exp, ever := expiryFields(rec.ExpiresAt)
		put(true, fieldExpiry, exp)
		put(ever, fieldEver, true)
	}
	if !keepLabels {
		labels := b.labelFields(rec.Labels)
		put(labels != nil, fieldLabels, labels)
	}
	c, ok := b.copyOf(rec)
	put(ok, fieldCopy, c)
	update := bson.D{{Key: "$set", Value: set}}
	if unset != nil {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update
}

// decode reads a document. Without its value field it has none.
func decode(raw bson.Raw) (model.Record, error) {
	bad := func() (model.Record, error) { return model.Record{}, corrupt(whyForeign) }
	elements, err := raw.Elements()
	if err != nil {
		return bad()
	}
	var rec model.Record
	var format int64
	var ever, hasID, hasRev, hasExpiry bool
	for _, e := range elements {
		key, err := e.KeyErr()
		if err != nil {
			return bad()
		}
		ok := true
		switch v := e.Value(); key {
		case fieldID:
			rec.ID, hasID = v.StringValueOK()
		case fieldFormat:
			format, ok = v.AsInt64OK()
		case fieldRev:
			var data []byte
			_, data, ok = v.BinaryOK()
			hasRev = ok && len(data) == len(rec.Revision)
			copy(rec.Revision[:], data)
		case fieldExpiry:
			var ms int64
			ms, hasExpiry = v.DateTimeOK()
			rec.ExpiresAt = time.UnixMilli(ms).UTC()
		case fieldEver:
			ever, ok = v.BooleanOK()
		case fieldLabels:
			rec.Labels, ok = decodeLabels(v)
		case fieldCodec:
			rec.Encoding, ok = v.StringValueOK()
		case fieldValue:
			rec.Value, ok = decodeValue(v)
		}
		if !ok {
			return bad()
		}
	}
	switch {
	case format > int64(formatVersion):
		return model.Record{}, corrupt(whyNewer)
	case format != int64(formatVersion), !hasID, !hasRev, !hasExpiry, ever && rec.ExpiresAt.UnixMilli() != int64(lastInstant):
		return bad()
	}
	if ever {
		rec.ExpiresAt = time.Time{}
	}
	return rec, nil
}

func decodeLabels(v bson.RawValue) (map[string]string, bool) {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil, false
	}
	elements, err := doc.Elements()
	if err != nil {
		return nil, false
	}
	if len(elements) == 0 {
		return nil, true
	}
	labels := make(map[string]string, len(elements))
	for _, e := range elements {
		key, err := e.KeyErr()
		if err != nil {
			return nil, false
		}
		if labels[key], ok = e.Value().StringValueOK(); !ok {
			return nil, false
		}
	}
	return labels, true
}

// decodeValue copies the value: the rest of an answer may be freed then.
func decodeValue(v bson.RawValue) ([]byte, bool) {
	data := v.Value
	switch v.Type {
	case bson.TypeString: // its length, its bytes, NUL
		if len(data) < 5 {
			return nil, false
		}
		data = data[4 : len(data)-1]
	case bson.TypeBinary:
		var ok bool
		if _, data, ok = v.BinaryOK(); !ok {
			return nil, false
		}
	default:
		return nil, false
	}
	return append(make([]byte, 0, len(data)), data...), true
}

// storedID is what is known of the id of a document that cannot be read.
func storedID(raw bson.Raw) string {
	id, _ := raw.Lookup(fieldID).StringValueOK()
	return id
}

// Why a value has no native copy.
var (
	errTooDeep = errors.New("nested too deep")
	errNoName  = errors.New("a name holds a NUL")
	errNotOne  = errors.New("not one JSON value")
)

// maxCopyDepth leaves room below the server's limit of 100 levels.
const maxCopyDepth = 90

// copyOf is the value in the server's own types; none where Options.Queryable
// is not set or it cannot be had.
func (b *Backend) copyOf(rec *model.Record) (bson.RawValue, bool) {
	if !b.queryable || rec.Encoding != "json" {
		return bson.RawValue{}, false
	}
	v, err := native(rec.Value)
	if err != nil {
		return bson.RawValue{}, false
	}
	kind, data, err := bson.MarshalValue(v)
	if err != nil || len(data)+len(rec.Value)+maxHead > maxDocument {
		return bson.RawValue{}, false
	}
	return bson.RawValue{Type: kind, Value: data}, true
}

// native reads a JSON value, in the order of its members.
func native(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := nativeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotOne
	}
	return v, nil
}

func nativeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxCopyDepth {
		return nil, errTooDeep
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n, nil
		}
		return t.Float64()
	case json.Delim:
		if t == '[' {
			return nativeArray(d, depth+1)
		}
		return nativeObject(d, depth+1)
	}
	return t, nil // text, a boolean or nil
}

func nativeArray(d *json.Decoder, depth int) (any, error) {
	out := bson.A{}
	for d.More() {
		v, err := nativeValue(d, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func nativeObject(d *json.Decoder, depth int) (any, error) {
	out := bson.D{}
	at := map[string]int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if strings.IndexByte(name, 0) >= 0 {
			return nil, errNoName
		}
		if rest, ok := strings.CutPrefix(name, "$"); ok {
			name = "＄" + rest // a name with a $ is an operator to the server
		}
		v, err := nativeValue(d, depth)
		if err != nil {
			return nil, err
		}
		if i, twice := at[name]; twice {
			out[i].Value = v // the last one counts, as for encoding/json
			continue
		}
		at[name] = len(out)
		out = append(out, bson.E{Key: name, Value: v})
	}
	_, err := d.Token()
	return out, err
}
