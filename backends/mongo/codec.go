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

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The fields of a document, as doc.go describes them.
const (
	fieldID       = "_id"
	fieldFormat   = "sojourn"
	fieldRevision = "rev"
	fieldExpiry   = "exp"
	fieldForever  = "ever"
	fieldLabels   = "lab"
	fieldEncoding = "enc"
	fieldValue    = "val"
	fieldCopy     = "copy"
)

// formatVersion marks the documents that this version reads. It is part of
// every filter, so that a write leaves other documents alone.
const formatVersion = int32(1)

// lastInstant is the stored expiry of records that never expire. With it, one
// comparison tells what is live, $max extends without shortening, and every
// client can represent the year. The field ever tells it from an expiry at that
// instant.
const lastInstant = bson.DateTime(253402300799999) // 9999-12-31T23:59:59.999Z

func dateOf(t time.Time) bson.DateTime { return bson.DateTime(t.UnixMilli()) }

// expiryFields returns the stored expiry, and whether the record never expires.
func expiryFields(t time.Time) (exp bson.DateTime, forever bool) {
	if t.IsZero() {
		return lastInstant, true
	}
	return dateOf(t), false
}

// labelFields returns the labels as a document in the order of their names, or
// nil if there are none.
func (b *Backend) labelFields(labels map[string]string) bson.D {
	if len(labels) == 0 {
		return nil
	}
	d := make(bson.D, 0, len(labels))
	for _, name := range b.gate.Labels() {
		if v, ok := labels[name]; ok {
			d = append(d, bson.E{Key: name, Value: v})
		}
	}
	return d
}

// valueField returns the value as text if it is UTF-8, so that people can read
// it, else as binary.
func valueField(value []byte) any {
	if utf8.Valid(value) {
		return string(value)
	}
	return bson.Binary{Data: value}
}

// document returns the stored form of a record, and the size of its copy in
// bytes.
func (b *Backend) document(rec *model.Record) (doc bson.D, copied int) {
	exp, forever := expiryFields(rec.ExpiresAt)
	d := make(bson.D, 0, 9)
	d = append(d,
		bson.E{Key: fieldID, Value: rec.ID},
		bson.E{Key: fieldFormat, Value: formatVersion},
		bson.E{Key: fieldRevision, Value: bson.Binary{Data: rec.Revision[:]}},
		bson.E{Key: fieldExpiry, Value: exp},
	)
	if forever {
		d = append(d, bson.E{Key: fieldForever, Value: true})
	}
	if labels := b.labelFields(rec.Labels); labels != nil {
		d = append(d, bson.E{Key: fieldLabels, Value: labels})
	}
	d = append(d, bson.E{Key: fieldEncoding, Value: rec.Encoding}, bson.E{Key: fieldValue, Value: valueField(rec.Value)})
	if c, ok := b.nativeCopy(rec); ok {
		d = append(d, bson.E{Key: fieldCopy, Value: c})
		copied = len(c.Value)
	}
	return d, copied
}

// updateOf returns the update that replaces a record except what w keeps.
func (b *Backend) updateOf(w *driver.Write) bson.D {
	rec := &w.Record
	set := bson.D{
		{Key: fieldRevision, Value: bson.Binary{Data: rec.Revision[:]}},
		{Key: fieldEncoding, Value: rec.Encoding},
		{Key: fieldValue, Value: valueField(rec.Value)},
	}
	var unset bson.D
	put := func(present bool, field string, value any) {
		if present {
			set = append(set, bson.E{Key: field, Value: value})
		} else {
			unset = append(unset, bson.E{Key: field, Value: ""})
		}
	}
	if !w.Keep.Expiry {
		exp, forever := expiryFields(rec.ExpiresAt)
		put(true, fieldExpiry, exp)
		put(forever, fieldForever, true)
	}
	if !w.Keep.Labels {
		labels := b.labelFields(rec.Labels)
		put(labels != nil, fieldLabels, labels)
	}
	c, ok := b.nativeCopy(rec)
	put(ok, fieldCopy, c)
	update := bson.D{{Key: "$set", Value: set}}
	if unset != nil {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update
}

// decode returns the record of a document, or ErrCorrupt. If the projection
// left out the value, the record has none.
func decode(raw bson.Raw) (model.Record, error) {
	bad := func() (model.Record, error) { return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign) }
	elements, err := raw.Elements()
	if err != nil {
		return bad()
	}
	var rec model.Record
	var format int64
	var forever, hasID, hasRevision, hasExpiry, hasEncoding bool
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
		case fieldRevision:
			subtype, data, isBinary := v.BinaryOK()
			ok = isBinary && subtype == bson.TypeBinaryGeneric
			hasRevision = ok && len(data) == len(rec.Revision)
			copy(rec.Revision[:], data)
		case fieldExpiry:
			var ms int64
			ms, hasExpiry = v.DateTimeOK()
			rec.ExpiresAt = time.UnixMilli(ms).UTC()
		case fieldForever:
			forever, ok = v.BooleanOK()
		case fieldLabels:
			rec.Labels, ok = decodeLabels(v)
		case fieldEncoding:
			rec.Encoding, hasEncoding = v.StringValueOK()
			ok = hasEncoding
		case fieldValue:
			rec.Value, ok = decodeValue(v)
		}
		if !ok {
			return bad()
		}
	}
	switch {
	case format > int64(formatVersion):
		return model.Record{}, driverkit.Corrupt(driverkit.WhyNewer)
	case format != int64(formatVersion), !hasID, !hasRevision, !hasExpiry, !hasEncoding, forever && rec.ExpiresAt.UnixMilli() != int64(lastInstant):
		return bad()
	}
	if forever {
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

// decodeValue returns a copy of the value, so that it does not keep the whole
// answer in memory.
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

// storedID returns the id of a document, or nothing if it is not a string.
func storedID(raw bson.Raw) string {
	id, _ := raw.Lookup(fieldID).StringValueOK()
	return id
}

// Why a value has no native copy.
var (
	errTooDeep   = errors.New("the value is nested too deep")
	errNUL       = errors.New("a name contains a NUL")
	errNotSingle = errors.New("the value is not a single JSON value")
)

// maxCopyDepth leaves room below the server's limit of 100 levels.
const maxCopyDepth = 90

// nativeCopy returns the value in the server's own types. It returns false
// without Options.Queryable, and for a value that has no copy.
func (b *Backend) nativeCopy(rec *model.Record) (bson.RawValue, bool) {
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

// native returns a JSON value in the server's own types. Members keep their
// order.
func native(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := nativeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotSingle
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
	return t, nil // a string, a boolean or nil
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
			return nil, errNUL
		}
		if rest, ok := strings.CutPrefix(name, "$"); ok {
			name = "＄" + rest // the server takes a name with a $ for an operator
		}
		v, err := nativeValue(d, depth)
		if err != nil {
			return nil, err
		}
		if i, ok := at[name]; ok {
			out[i].Value = v // the last duplicate counts, as in encoding/json
			continue
		}
		at[name] = len(out)
		out = append(out, bson.E{Key: name, Value: v})
	}
	_, err := d.Token()
	return out, err
}
