package elasticsearch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// marshal encodes v as JSON without the escapes that protect browsers.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return buf.Bytes(), err
}

// document is the stored form of a record.
type document struct {
	ID       string            `json:"id"`
	Format   int               `json:"format"`
	Revision string            `json:"revision"`
	Expires  *int64            `json:"expires,omitempty"` // milliseconds since 1970; nil: never
	Labels   map[string]string `json:"labels,omitempty"`
	Encoding *string           `json:"encoding"`
	Size     *int              `json:"size,omitempty"`  // of the value, in bytes; nil: from before this field
	Value    *string           `json:"value,omitempty"` // the value if it is text, else nil
	Bytes    *[]byte           `json:"bytes,omitempty"` // the value if it is not text, else nil
	// A long value is in one of these fields instead, which reads of many
	// documents leave out at first.
	LongValue *string         `json:"long_value,omitempty"`
	LongBytes *[]byte         `json:"long_bytes,omitempty"`
	JSON      json.RawMessage `json:"json,omitempty"` // the native copy: written, never read
}

// shortSize is the size of the longest value that a read of many documents
// returns at once, in bytes: a page of the most records has then 8 MB of them.
const shortSize = 8 << 10

// expiryOnly is the update that a touch sends. Null means never.
type expiryOnly struct {
	Doc struct {
		Expires *int64 `json:"expires"`
	} `json:"doc"`
}

// millis returns the stored form of an expiry.
func millis(at time.Time) *int64 {
	if at.IsZero() {
		return nil
	}
	ms := at.UnixMilli()
	return &ms
}

// encode returns the document of a record. A value that is text is stored as
// text, so that people can read it, unless its escapes need more space than
// base64.
func (b *Backend) encode(rec *model.Record) *document {
	d := &document{
		ID: rec.ID, Format: formatVersion, Revision: rec.Revision.String(), Expires: millis(rec.ExpiresAt),
		Labels: rec.Labels, Encoding: &rec.Encoding,
	}
	size := len(rec.Value)
	d.Size = &size
	readable, value := isText(rec.Value), ""
	if readable {
		value = string(rec.Value)
	}
	switch long := size > shortSize; {
	case readable && long:
		d.LongValue = &value
	case readable:
		d.Value = &value
	case long:
		d.LongBytes = &rec.Value
	default:
		d.Bytes = &rec.Value
	}
	if b.queryable && rec.Encoding == "json" {
		d.JSON = nativeCopy(rec.Value)
	}
	return d
}

func isText(value []byte) bool {
	if !utf8.Valid(value) {
		return false
	}
	escapes := 0
	for _, c := range value {
		switch {
		case c < ' ':
			escapes += len(`u0000`)
		case c == '"' || c == '\\':
			escapes++
		}
	}
	return escapes <= len(value)/3+16 // short values may have a few more
}

// source is the decoded source of a document.
type source struct {
	document
	foreign bool // it is not of the form of a document
}

// isolate decodes the sources one by one, after they could not be decoded
// together: one that is not of the form of a document must not spoil the others.
func isolate(docs []foundDoc, sources []onlySource) error {
	if len(docs) != len(sources) {
		return badRead()
	}
	for i := range docs {
		s := source{}
		s.foreign = json.Unmarshal(sources[i].Source, &s.document) != nil
		docs[i].Source = s
	}
	return nil
}

// onlySource is a document of which only the source is read, as it is.
type onlySource struct {
	Source json.RawMessage `json:"_source"`
}

// part says how much of a document was read.
type part int

const (
	whole  part = iota
	short       // without a long value
	noMore      // without its value
)

// lacks reports whether the document has a long value that was not read.
func (s *source) lacks() bool {
	return !s.foreign && s.Value == nil && s.Bytes == nil && s.LongValue == nil && s.LongBytes == nil && s.Size != nil && *s.Size > shortSize
}

// record returns the record of a document's source, of which that part was
// read.
func (s *source) record(id string, read part) (model.Record, error) {
	d := &s.document
	if s.foreign {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	if d.Format > formatVersion {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyNewer)
	}
	rec := model.Record{ID: id, Labels: d.Labels}
	rev, err := model.ParseRevision(d.Revision)
	if err != nil || d.Format < 1 || d.ID == "" || d.Encoding == nil {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	if d.ID != id {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyOtherID)
	}
	rec.Revision, rec.Encoding = rev, *d.Encoding
	if len(d.Labels) == 0 {
		rec.Labels = nil
	}
	if d.Expires != nil {
		rec.ExpiresAt = time.UnixMilli(*d.Expires).UTC()
	}
	if read == noMore || read == short && s.lacks() {
		return rec, nil
	}
	value, ok := d.value()
	if !ok || d.Size != nil && *d.Size != len(value) {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	rec.Value = value
	return rec, nil
}

// value returns the document's only value.
func (d *document) value() (value []byte, ok bool) {
	n := 0
	for _, t := range []*string{d.Value, d.LongValue} {
		if t != nil {
			value, n = []byte(*t), n+1
		}
	}
	for _, b := range []*[]byte{d.Bytes, d.LongBytes} {
		if b != nil {
			value, n = *b, n+1
		}
	}
	d.Value, d.LongValue = nil, nil // value is a copy
	return value, n == 1
}

// docVersion names a version of a document: the epoch of its index, and the
// sequence number and primary term there. Sequence numbers start again with each
// index, so they mean nothing without the epoch.
type docVersion struct {
	epoch     string
	seq, term int64
}

// serverVersion returns the version with a checksum over it and the record. It
// is accepted only together with the same record. The expiry and labels of that
// record are then those in force, if the document still has the version.
func (v docVersion) serverVersion(rec *model.Record) string {
	if v.epoch == "" {
		return ""
	}
	s := v.epoch + "." + strconv.FormatInt(v.seq, 10) + "." + strconv.FormatInt(v.term, 10)
	return s + "." + versionSum(s, rec)
}

const versionSumSize = 8

func versionSum(s string, rec *model.Record) string {
	buf := make([]byte, 0, 256)
	add := func(part string) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(part)))
		buf = append(buf, part...)
	}
	add(s)
	add(rec.ID)
	buf = append(buf, rec.Revision[:]...)
	if rec.ExpiresAt.IsZero() {
		add("")
	} else {
		add(strconv.FormatInt(rec.ExpiresAt.UnixMilli(), 10))
	}
	add(rec.Encoding)
	for _, name := range slices.Sorted(maps.Keys(rec.Labels)) {
		add(name)
		add(rec.Labels[name])
	}
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:versionSumSize])
}

// versionOf returns the version in the record's server version. It reports false
// if the record is not the one that the server version came with.
func versionOf(rec *model.Record) (docVersion, bool) {
	parts := strings.Split(rec.ServerVersion, ".")
	if len(parts) != 4 || !isEpoch(parts[0]) {
		return docVersion{}, false
	}
	seq, err1 := strconv.ParseInt(parts[1], 10, 64)
	term, err2 := strconv.ParseInt(parts[2], 10, 64)
	v := docVersion{parts[0], seq, term}
	return v, err1 == nil && err2 == nil && seq >= 0 && term > 0 && v.serverVersion(rec) == rec.ServerVersion
}

// The limits of a native copy. Elasticsearch refuses deeper objects in a
// flattened field, and Lucene refuses terms larger than 32 KB. A term is a path
// and a value. A string with more than ignoreAbove characters has no term.
const (
	copyDepth   = 16
	copyPath    = 4096 // bytes of a path
	copyNumber  = 64   // bytes of a number
	copyMembers = 4096
	ignoreAbove = 1024
	copySize    = 1 << 20
)

var errNoCopy = errors.New("Elasticsearch cannot hold the copy") //nolint:staticcheck // a name

// nativeCopy returns the value if it is a JSON object that Elasticsearch can
// hold, else nil. Each name must be unique in its object, not empty and without
// a NUL, and objects may be nested at most 16 deep.
func nativeCopy(value []byte) json.RawMessage {
	if len(value) > copySize {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	c := copier{left: copyMembers}
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return nil
	}
	if err := c.object(d, 1, 0); err != nil {
		return nil
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil
	}
	return json.RawMessage(value)
}

// copier checks a value while it decodes it.
type copier struct{ left int }

func (c *copier) next(d *json.Decoder, depth, path int) error {
	if c.left--; c.left < 0 {
		return errNoCopy
	}
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		if depth >= copyDepth {
			return errNoCopy
		}
		if t == '{' {
			return c.object(d, depth+1, path)
		}
		for d.More() {
			if err := c.next(d, depth+1, path); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	case json.Number:
		if len(t) > copyNumber {
			return errNoCopy
		}
	case string:
		if strings.IndexByte(t, 0) >= 0 {
			return errNoCopy
		}
	}
	return nil
}

// object checks the members of an object, up to its end.
func (c *copier) object(d *json.Decoder, depth, path int) error {
	names := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		below := path + len(name) + 1
		if name == "" || names[name] || below > copyPath || strings.IndexByte(name, 0) >= 0 {
			return errNoCopy
		}
		names[name] = true
		if err := c.next(d, depth, below); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}
