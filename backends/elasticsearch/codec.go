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

	"github.com/sojourn-go/sojourn/model"
)

// document is a record as it is stored, and as it is read.
type document struct {
	ID       string            `json:"id"`
	Format   int               `json:"format"`
	Revision string            `json:"revision"`
	Expires  *int64            `json:"expires,omitempty"` // ms since 1970; none: never
	Labels   map[string]string `json:"labels,omitempty"`
	Encoding *string           `json:"encoding"`
	Value    *string           `json:"value,omitempty"` // either this
	Bytes    *[]byte           `json:"bytes,omitempty"` // or this
	JSON     json.RawMessage   `json:"json,omitempty"`  // written, never read
}

// expiryOnly is what a touch changes of a document: null is never.
type expiryOnly struct {
	Doc struct {
		Expires *int64 `json:"expires"`
	} `json:"doc"`
}

// millis is an expiry as it is stored.
func millis(at time.Time) *int64 {
	if at.IsZero() {
		return nil
	}
	ms := at.UnixMilli()
	return &ms
}

// encode is the document of a record. A value that is text is stored as text,
// so that people can read it, unless its escapes would take more than base64.
func (b *Backend) encode(rec *model.Record) *document {
	d := &document{
		ID: rec.ID, Format: formatVersion, Revision: rec.Revision.String(), Expires: millis(rec.ExpiresAt),
		Labels: rec.Labels, Encoding: &rec.Encoding,
	}
	if isText(rec.Value) {
		s := string(rec.Value)
		d.Value = &s
	} else {
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
	return escapes <= len(value)/3+16 // a little of it is fine for short values
}

// decode reads a document's source. A head has no value: the document was read
// without it.
func decode(id string, source json.RawMessage, head bool) (model.Record, error) {
	var d document
	if err := json.Unmarshal(source, &d); err != nil {
		return model.Record{}, corrupt(whyForeign)
	}
	if d.Format > formatVersion {
		return model.Record{}, corrupt(whyNewer)
	}
	rec := model.Record{ID: id, Labels: d.Labels}
	rev, err := model.ParseRevision(d.Revision)
	if err != nil || d.Format < 1 || d.ID != id || d.Encoding == nil {
		return model.Record{}, corrupt(whyForeign)
	}
	rec.Revision, rec.Encoding = rev, *d.Encoding
	if len(d.Labels) == 0 {
		rec.Labels = nil
	}
	if d.Expires != nil {
		rec.ExpiresAt = time.UnixMilli(*d.Expires).UTC()
	}
	switch {
	case head:
	case d.Value != nil && d.Bytes == nil:
		rec.Value = []byte(*d.Value)
	case d.Bytes != nil && d.Value == nil:
		rec.Value = *d.Bytes
	default:
		return model.Record{}, corrupt(whyForeign)
	}
	return rec, nil
}

// position names a version of a document: the epoch of the index that holds it,
// and what Elasticsearch calls the version there. Sequence numbers begin again
// with each index, so that they mean nothing without the epoch.
type position struct {
	epoch     string
	seq, term int64
}

// hint is the position and a checksum over it and the record, so that a hint is
// only taken together with the record that it came with: what the record says
// of its expiry and labels can be relied on then, as long as the document is
// still at that position.
func (p position) hint(rec *model.Record) string {
	if p.epoch == "" {
		return ""
	}
	s := p.epoch + "." + strconv.FormatInt(p.seq, 10) + "." + strconv.FormatInt(p.term, 10)
	return s + "." + hintSum(s, rec)
}

const hintSumSize = 8

func hintSum(s string, rec *model.Record) string {
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
	return hex.EncodeToString(sum[:hintSumSize])
}

// positionOf is what the hint of a record says, if the record is the one that
// it came with.
func positionOf(rec *model.Record) (position, bool) {
	parts := strings.Split(rec.ServerVersion, ".")
	if len(parts) != 4 || !isEpoch(parts[0]) {
		return position{}, false
	}
	seq, err1 := strconv.ParseInt(parts[1], 10, 64)
	term, err2 := strconv.ParseInt(parts[2], 10, 64)
	p := position{parts[0], seq, term}
	return p, err1 == nil && err2 == nil && seq >= 0 && term > 0 && p.hint(rec) == rec.ServerVersion
}

// What the native copy of a value may have: the flattened field refuses deeper
// objects, and Lucene terms of over 32 KB. A term is a path and a value, and
// values of more than ignoreAbove characters have none.
const (
	copyDepth   = 16
	copyPath    = 4096 // bytes of a path
	copyNumber  = 64   // bytes of a number
	copyMembers = 4096
	ignoreAbove = 1024
	copySize    = 1 << 20
)

var errNoCopy = errors.New("Elasticsearch cannot hold it") //nolint:staticcheck // a name

// nativeCopy is a JSON object as it may stand beside its own bytes, nil where
// Elasticsearch cannot hold it: only objects, with names once each and no NUL
// in them, nested less than 16 deep.
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

// copier checks a value while it reads it.
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

// object reads the members of an object, up to its end.
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
