package s3

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what S3 calls an ETag, no secret
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// A record's object, numbers in little endian:
//
//	 0  7  "sojourn"
//	 7  1  format version
//	 8  1  'r', or 't' for a tombstone          3  zero
//	12  4  length of the head, at least 128
//	16  4  CRC32C of the head's other bytes
//	20  4  number of labels
//	24  8  length of the value
//	32  8  expiry, milliseconds since 1970; zero: never
//	40 16  revision
//	56  8  stamp of this write
//	64  8  stamp of the index entry by expiry; zero: none
//	72 16  the first half of the value's SHA-256
//	88  2  length of the id                     2  of the encoding's name
//	92     id, encoding, labels (2 name's length, 2 value's length, 8 stamp, name, value; sorted), zeros
//
// and behind the head the value. A tombstone is 64 bytes, always the same.
const (
	magic     = "sojourn"
	version   = 1
	kindAt    = 8
	headAt    = 12
	crcAt     = 16
	labelsAt  = 20
	sizeAt    = 24
	expiryAt  = 32
	revAt     = 40
	stampAt   = 56
	dueAt     = 64
	digestAt  = 72
	lengthsAt = 88
	fixedHead = 92

	kindRecord    = 'r'
	kindTombstone = 't'

	// minHead keeps every record longer than a tombstone, so that a lifecycle
	// rule tells them apart by size.
	minHead       = 128
	tombstoneSize = 64
	// maxHead bounds what is read of an object that calls itself a record.
	maxHead = 64 << 10

	// maxMillis is the first instant that no longer has a four-digit year.
	maxMillis = 253402300800_000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp names one write, or the one that made an index entry.
type stamp [8]byte

func newStamp() stamp {
	var s stamp
	_, _ = rand.Read(s[:])
	return s
}

func (s stamp) String() string { return hex.EncodeToString(s[:]) }

// digest is of a value.
type digest [16]byte

func digestOf(value []byte) digest {
	sum := sha256.Sum256(value)
	return digest(sum[:len(digest{})])
}

// label is one that a record bears, and the write that made its index entry.
type label struct {
	name, value string
	stamp       stamp
}

// head is all of a record but its value.
type head struct {
	id, encoding string
	rev          model.Revision
	expiresAt    time.Time
	labels       []label // sorted by name
	stamp        stamp   // of the write: makes every object's ETag another
	due          stamp   // of the entry in the index by expiry; zero: none
	size         int64   // of the value
	digest       digest
}

// record is the head as a model.Record, without hint and value.
func (h *head) record() model.Record {
	r := model.Record{ID: h.id, Revision: h.rev, ExpiresAt: h.expiresAt, Encoding: h.encoding}
	if len(h.labels) > 0 {
		r.Labels = make(map[string]string, len(h.labels))
		for _, l := range h.labels {
			r.Labels[l.name] = l.value
		}
	}
	return r
}

// label returns the one of that name, nil where it is not borne.
func (h *head) label(name string) *label {
	for i := range h.labels {
		if h.labels[i].name == name {
			return &h.labels[i]
		}
	}
	return nil
}

// encode is the object of the record with that value, or without one its head
// alone.
func (h *head) encode(value []byte) []byte {
	n := fixedHead + len(h.id) + len(h.encoding)
	for _, l := range h.labels {
		n += 4 + len(l.stamp) + len(l.name) + len(l.value)
	}
	n = max(n, minHead)
	out := make([]byte, fixedHead, n+len(value))
	le := binary.LittleEndian
	copy(out, magic)
	out[len(magic)], out[kindAt] = version, kindRecord
	le.PutUint32(out[headAt:], uint32(n))
	le.PutUint32(out[labelsAt:], uint32(len(h.labels)))
	le.PutUint64(out[sizeAt:], uint64(h.size))
	if !h.expiresAt.IsZero() {
		le.PutUint64(out[expiryAt:], uint64(h.expiresAt.UnixMilli()))
	}
	copy(out[revAt:], h.rev[:])
	copy(out[stampAt:], h.stamp[:])
	copy(out[dueAt:], h.due[:])
	copy(out[digestAt:], h.digest[:])
	le.PutUint16(out[lengthsAt:], uint16(len(h.id)))
	le.PutUint16(out[lengthsAt+2:], uint16(len(h.encoding)))
	out = append(append(out, h.id...), h.encoding...)
	for _, l := range h.labels {
		out = le.AppendUint16(out, uint16(len(l.name)))
		out = le.AppendUint16(out, uint16(len(l.value)))
		out = append(append(append(out, l.stamp[:]...), l.name...), l.value...)
	}
	out = out[:n] // the rest is zero
	le.PutUint32(out[crcAt:], headSum(out))
	return append(out, value...)
}

func headSum(raw []byte) uint32 {
	sum := crc32.Update(0, castagnoli, raw[:crcAt])
	return crc32.Update(sum, castagnoli, raw[crcAt+4:])
}

// makeTombstone is the object that stands for a removed record where the server
// cannot delete on a condition.
func makeTombstone() []byte {
	out := make([]byte, tombstoneSize)
	copy(out, magic)
	out[len(magic)], out[kindAt] = version, kindTombstone
	binary.LittleEndian.PutUint32(out[headAt:], tombstoneSize)
	binary.LittleEndian.PutUint32(out[crcAt:], headSum(out))
	return out
}

var (
	tombstone     = makeTombstone()
	tombstoneETag = etagOf(tombstone)
)

// etagOf is the ETag of a small object, unless the server encrypts with keys
// of its key service: a guess that saves a request, never more.
func etagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // what S3 calls an ETag, no secret
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// Why a stored object is corrupt.
const (
	whyForeign   = "the object stored there is no record, or is damaged"
	whyNewer     = "it has a newer format than this version can read"
	whyTruncated = "the object is not of the length that was written"
	whyOther     = "the object is the record of another id"
	whyDigest    = "the value is not the one that was written"
)

func corrupt(why string) error { return model.NewError(model.ErrCorrupt, why, nil) }

// headLength is how long an object's head says that it is, given its first
// bytes and how many it has in all.
func headLength(raw []byte, total int64) (int, error) {
	if len(raw) < tombstoneSize || string(raw[:len(magic)]) != magic {
		return 0, corrupt(whyForeign)
	}
	if v := raw[len(magic)]; v > version {
		return 0, corrupt(whyNewer + ": " + strconv.Itoa(int(v)))
	}
	n := binary.LittleEndian.Uint32(raw[headAt:])
	switch {
	case raw[kindAt] == kindTombstone && n == tombstoneSize && total == tombstoneSize:
	case raw[kindAt] != kindRecord || n < minHead || n > maxHead:
		return 0, corrupt(whyForeign)
	case uint64(total)-uint64(n) != binary.LittleEndian.Uint64(raw[sizeAt:]):
		return 0, corrupt(whyTruncated)
	}
	return int(n), nil
}

// decodeHead reads a head of just that length; nil for a tombstone.
func decodeHead(raw []byte) (*head, error) {
	le := binary.LittleEndian
	if le.Uint32(raw[crcAt:]) != headSum(raw) || raw[len(magic)] != version {
		return nil, corrupt(whyForeign)
	}
	if raw[kindAt] == kindTombstone {
		return nil, nil //nolint:nilnil // no record
	}
	ms := le.Uint64(raw[expiryAt:])
	size := le.Uint64(raw[sizeAt:])
	h := &head{
		rev: model.Revision(raw[revAt:stampAt]), stamp: stamp(raw[stampAt:dueAt]), due: stamp(raw[dueAt:digestAt]),
		digest: digest(raw[digestAt:lengthsAt]), size: int64(size),
	}
	if ms != 0 {
		h.expiresAt = time.UnixMilli(int64(ms)).UTC()
	}
	rest := cutter{left: raw[fixedHead:], bad: ms >= maxMillis || size > maxMaxValue}
	h.id = rest.text(le.Uint16(raw[lengthsAt:]))
	h.encoding = rest.text(le.Uint16(raw[lengthsAt+2:]))
	h.labels = rest.labels(le.Uint32(raw[labelsAt:]))
	if rest.bad || h.rev.IsZero() || model.CheckID(h.id) != nil {
		return nil, corrupt(whyForeign)
	}
	return h, nil
}

// cutter takes fields off the front of a head's bytes.
type cutter struct {
	left []byte
	bad  bool
}

func (c *cutter) take(n int) []byte {
	if n > len(c.left) {
		c.bad = true
		return nil
	}
	out := c.left[:n]
	c.left = c.left[n:]
	return out
}

func (c *cutter) text(n uint16) string { return string(c.take(int(n))) }

// labels accepts sorted names only, so that a record has one form.
func (c *cutter) labels(n uint32) []label {
	var out []label
	last := ""
	for range n {
		fixed := c.take(4 + len(stamp{}))
		if c.bad {
			return nil
		}
		l := label{stamp: stamp(fixed[4:])}
		l.name = c.text(binary.LittleEndian.Uint16(fixed))
		l.value = c.text(binary.LittleEndian.Uint16(fixed[2:]))
		if c.bad || l.name <= last || model.CheckLabelName(l.name) != nil || model.CheckLabelValue(l.value) != nil {
			c.bad = true
			return nil
		}
		last = l.name
		out = append(out, l)
	}
	return out
}

// A hint is the version's ETag and its head: with both a write that finds the
// ETag unchanged knows all of the record but its value.
func hintOf(etag string, h *head) string {
	return etag + "\n" + string(h.encode(nil))
}

// fromHint is the version that a hint tells of; nil for a hint that is none or
// of another id.
func fromHint(hint, id string) *stored {
	etag, raw, ok := strings.Cut(hint, "\n")
	if !ok || etag == "" || len(raw) < minHead || raw[:len(magic)] != magic {
		return nil
	}
	b := []byte(raw)
	if uint64(binary.LittleEndian.Uint32(b[headAt:])) != uint64(len(b)) {
		return nil
	}
	h, err := decodeHead(b)
	if err != nil || h == nil || h.id != id {
		return nil
	}
	return &stored{etag: etag, head: h}
}

// stored is what lies under a record's key: nothing, a tombstone or a record.
type stored struct {
	etag  string // empty: nothing
	head  *head  // nil: nothing or a tombstone
	value []byte // nil where only the head was read
}

// record is the model's form; nil where there is no record.
func (s *stored) record() *model.Record {
	if s.head == nil {
		return nil
	}
	r := s.head.record()
	r.Value = s.value
	r.ServerVersion = hintOf(s.etag, s.head)
	return &r
}

// live reports whether there is a record that has not expired.
func (s *stored) live(now time.Time) bool {
	return s.head != nil && (s.head.expiresAt.IsZero() || now.Before(s.head.expiresAt))
}

// bears reports whether the record belongs to a label's listing.
func (s *stored) bears(name, value string) bool {
	if s.head == nil {
		return false
	}
	l := s.head.label(name)
	return l != nil && l.value == value
}

// sortedLabels are a record's labels, with the stamps that old has for those
// that stay and the new one for the others, and whether any is another than in
// old.
func sortedLabels(labels map[string]string, old *head, s stamp) (out []label, changed bool) {
	for name, value := range labels {
		l := label{name, value, s}
		if old != nil {
			if was := old.label(name); was != nil && was.value == value {
				l.stamp = was.stamp
			}
		}
		changed = changed || l.stamp == s
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b label) int { return strings.Compare(a.name, b.name) })
	return out, changed || old != nil && len(old.labels) != len(out)
}

// setValue makes the head that of a value.
func (h *head) setValue(value []byte, encoding string) {
	h.size, h.digest, h.encoding = int64(len(value)), digestOf(value), encoding
}

// holds reports whether a value is the head's.
func (h *head) holds(value []byte, encoding string) bool {
	return h.size == int64(len(value)) && h.encoding == encoding && h.digest == digestOf(value)
}

// lines joins keys to the body of an index entry.
func lines(keys []string) []byte {
	if len(keys) == 0 {
		return nil
	}
	return []byte(strings.Join(keys, "\n") + "\n")
}

func splitLines(body []byte) []string {
	return strings.Fields(string(bytes.ToValidUTF8(body, nil)))
}
