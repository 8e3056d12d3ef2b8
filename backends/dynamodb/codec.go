package dynamodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// attributes are the attributes of an item in the form of the SDK.
type attributes = map[string]types.AttributeValue

func str(s string) types.AttributeValue  { return &types.AttributeValueMemberS{Value: s} }
func blob(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
func millis(t time.Time) types.AttributeValue { return number(t.UnixMilli()) }

// stringOf returns the value of a string attribute.
func stringOf(v types.AttributeValue) (string, bool) {
	s, ok := v.(*types.AttributeValueMemberS)
	if !ok {
		return "", false
	}
	return s.Value, true
}

// intOf returns the value of a number attribute that is a whole number.
func intOf(v types.AttributeValue) (int64, bool) {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	return i, err == nil
}

// labelMap returns labels as an attribute: a map of strings, which may be empty.
func labelMap(labels map[string]string) types.AttributeValue {
	m := make(attributes, len(labels))
	for name, value := range labels {
		m[name] = str(value)
	}
	return &types.AttributeValueMemberM{Value: m}
}

func labelsOf(v types.AttributeValue) (map[string]string, bool) {
	m, ok := v.(*types.AttributeValueMemberM)
	if !ok {
		return nil, false
	}
	if len(m.Value) == 0 {
		return nil, true
	}
	labels := make(map[string]string, len(m.Value))
	for name, v := range m.Value {
		value, ok := stringOf(v)
		if !ok {
			return nil, false
		}
		labels[name] = value
	}
	return labels, true
}

// valueAttribute returns a string attribute for a value that is UTF-8, so that
// people can read it, and else a binary one.
func valueAttribute(value []byte) types.AttributeValue {
	if utf8.Valid(value) {
		return str(string(value))
	}
	return blob(value)
}

func valueOf(v types.AttributeValue) ([]byte, bool) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return []byte(v.Value), true
	case *types.AttributeValueMemberB:
		return v.Value, true
	}
	return nil, false
}

// putValue sets the attributes of a value: revision, encoding and value. With
// Options.Queryable it adds the native copy if DynamoDB can represent it.
func (b *Backend) putValue(it attributes, rec *model.Record) {
	it[attrRevision] = blob(bytes.Clone(rec.Revision[:]))
	it[attrEncoding] = str(rec.Encoding)
	it[attrValue] = valueAttribute(rec.Value)
	if b.opts.Queryable && rec.Encoding == "json" {
		if native, ok := nativeCopy(rec.Value, b.gate.MaxValue()-len(rec.Value)); ok {
			it[attrJSON] = native
		}
	}
}

// putExpiry sets the attributes of an expiry: its time, the shard of the index
// by expiry, and the TTL. A record that never expires has none of them.
func (b *Backend) putExpiry(it attributes, id string, at time.Time) {
	if at.IsZero() {
		return
	}
	it[attrExpires] = millis(at)
	it[attrDue] = str(b.shardOf(id))
	if b.grace >= 0 {
		it[attrTTL] = number(b.ttl(at))
	}
}

// ttl returns the second from which DynamoDB may delete a record: its expiry
// and the grace, rounded up.
func (b *Backend) ttl(at time.Time) int64 {
	const second = int64(time.Second / time.Millisecond)
	return (at.UnixMilli() + b.grace + second - 1) / second
}

// encode returns the item of a record.
func (b *Backend) encode(rec *model.Record) attributes {
	it := recordKey(rec.ID)
	it[attrFormat] = number(formatVersion)
	it[attrLabels] = labelMap(rec.Labels)
	b.putValue(it, rec)
	b.putExpiry(it, rec.ID, rec.ExpiresAt)
	return it
}

// decode returns the record of an item, or ErrCorrupt. If head is set, the item
// was read without its value.
func decode(id string, it attributes, head bool) (model.Record, error) {
	foreign := func() (model.Record, error) { return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign) }
	switch version, ok := intOf(it[attrFormat]); {
	case !ok || version < 1:
		return foreign()
	case version > formatVersion:
		return model.Record{}, driverkit.Corrupt(driverkit.WhyNewer)
	}
	rec := model.Record{ID: id}
	rev, ok := it[attrRevision].(*types.AttributeValueMemberB)
	if !ok || len(rev.Value) != len(rec.Revision) {
		return foreign()
	}
	copy(rec.Revision[:], rev.Value)
	if rec.Labels, ok = labelsOf(it[attrLabels]); !ok {
		return foreign()
	}
	if rec.Encoding, ok = stringOf(it[attrEncoding]); !ok {
		return foreign()
	}
	if at, expires := it[attrExpires]; expires {
		ms, ok := intOf(at)
		if !ok {
			return foreign()
		}
		rec.ExpiresAt = time.UnixMilli(ms).UTC()
	}
	if head {
		return rec, nil
	}
	if rec.Value, ok = valueOf(it[attrValue]); !ok {
		return foreign()
	}
	return rec, nil
}

// Sizes as DynamoDB counts them. An attribute takes the length of its name and
// of its value. A number takes at most 21 bytes. A map or list takes 3 bytes,
// and 1 more for each member.
const (
	maxItem      = 400 << 10
	numberSize   = 21
	mapSize      = 3
	memberSize   = 1
	maxDigits    = 38 // of a number
	maxDepth     = 32 // of a document
	maxMagnitude = 125
	maxName      = 60 << 10 // bytes of a member's name
)

// headSize returns the largest size of a record without its value.
func headSize(labels []string, shards int) int {
	n := len(attrPK) + len(recordPrefix) + model.MaxID + len(attrSK) + len(recordSort) +
		len(attrFormat) + len(attrExpires) + len(attrTTL) + 3*numberSize + len(attrDue) + len(shardName(shards-1)) +
		len(attrRevision) + len(model.Revision{}) + len(attrEncoding) + driverkit.MaxEncoding +
		len(attrLabels) + mapSize + len(attrValue)
	for _, name := range labels {
		n += memberSize + len(name) + model.MaxLabel
	}
	return n
}

// nativeCopy returns a JSON value in DynamoDB's own types, and whether they can
// represent it in at most limit bytes. They cannot represent a value nested 32
// deep or more, numbers of more than 38 digits, or empty names.
func nativeCopy(value []byte, limit int) (types.AttributeValue, bool) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	c := copier{left: limit - len(attrJSON)}
	v, err := c.next(d, 1)
	if err != nil {
		return nil, false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	return v, true
}

var errNoCopy = errors.New("DynamoDB cannot represent the value")

// copier converts JSON to attribute values. Left is the number of bytes that
// the copy may still take.
type copier struct{ left int }

func (c *copier) take(n int) error {
	if c.left -= n; c.left < 0 {
		return errNoCopy
	}
	return nil
}

func (c *copier) next(d *json.Decoder, depth int) (types.AttributeValue, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return nil, errNoCopy
		}
		if err := c.take(mapSize); err != nil {
			return nil, err
		}
		if t == '[' {
			return c.list(d, depth)
		}
		return c.object(d, depth)
	case string:
		return str(t), c.take(len(t))
	case json.Number:
		if !holdsNumber(string(t)) {
			return nil, errNoCopy
		}
		return &types.AttributeValueMemberN{Value: string(t)}, c.take(numberSize)
	case bool:
		return &types.AttributeValueMemberBOOL{Value: t}, c.take(1)
	}
	return &types.AttributeValueMemberNULL{Value: true}, c.take(1)
}

func (c *copier) list(d *json.Decoder, depth int) (types.AttributeValue, error) {
	out := []types.AttributeValue{}
	for d.More() {
		if err := c.take(memberSize); err != nil {
			return nil, err
		}
		v, err := c.next(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return &types.AttributeValueMemberL{Value: out}, err
}

func (c *copier) object(d *json.Decoder, depth int) (types.AttributeValue, error) {
	out := attributes{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if name == "" || len(name) > maxName {
			return nil, errNoCopy
		}
		if err := c.take(memberSize + len(name)); err != nil {
			return nil, err
		}
		if out[name], err = c.next(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return &types.AttributeValueMemberM{Value: out}, err
}

// holdsNumber reports whether DynamoDB certainly keeps the JSON number exactly.
// DynamoDB's numbers have up to 38 digits and lie between 1e-130 and 1e126.
func holdsNumber(n string) bool {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(n, "-")), "e")
	digits := strings.Replace(mantissa, ".", "", 1)
	if len(digits) > maxDigits {
		return false
	}
	if strings.Trim(digits, "0") == "" {
		return true
	}
	e := 0
	if exponent != "" {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil {
			return false
		}
	}
	return e > -maxMagnitude+maxDigits && e < maxMagnitude-maxDigits
}
