package s3

import (
	"bytes"
	"crypto/md5" //nolint:gosec // S3 uses it for ETags, not for secrets
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The object of a record, numbers in little endian:
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
// The value follows the head. A tombstone is always the same 64 bytes.
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

	// minHead makes every record longer than a tombstone, so that a lifecycle
	// rule can select tombstones by size.
	minHead       = 128
	tombstoneSize = 64
	// maxHead is the largest head that a reader accepts.
	maxHead = 64 << 10

	// maxMillis is the first instant after the year 9999.
	maxMillis = 253402300800_000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp identifies one write. An index entry has the stamp of the write that
// created it.
type stamp [8]byte

func newStamp() stamp {
	var s stamp
	_, _ = rand.Read(s[:])
	return s
}

func (s stamp) String() string { return hex.EncodeToString(s[:]) }

// digest is the first half of a value's SHA-256.
type digest [16]byte

func digestOf(value []byte) digest {
	sum := sha256.Sum256(value)
	return digest(sum[:len(digest{})])
}

// label is a label of a record, with the stamp of its index entry.
type label struct {
	name, value string
	stamp       stamp
}

// head is a record without its value.
type head struct {
	id, encoding string
	rev          model.Revision
	expiresAt    time.Time
	labels       []label // sorted by name
	stamp        stamp   // of the write: it gives every write its own ETag
	due          stamp   // of the entry in the index by expiry; zero: no entry
	size         int64   // of the value
	digest       digest
}

// record returns the model's record, without server version and value.
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

// label returns the label with the name, or nil.
func (h *head) label(name string) *label {
	for i := range h.labels {
		if h.labels[i].name == name {
			return &h.labels[i]
		}
	}
	return nil
}

// encode returns the head of the record's object. The value follows it.
func (h *head) encode() []byte {
	n := fixedHead + len(h.id) + len(h.encoding)
	for _, l := range h.labels {
		n += 4 + len(l.stamp) + len(l.name) + len(l.value)
	}
	n = max(n, minHead)
	out := make([]byte, fixedHead, n)
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
	return out
}

func headSum(raw []byte) uint32 {
	sum := crc32.Update(0, castagnoli, raw[:crcAt])
	return crc32.Update(sum, castagnoli, raw[crcAt+4:])
}

// makeTombstone returns the object that replaces a removed record on servers
// without conditional deletes.
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

// etagOf returns the ETag that most servers give to a small object. Servers that
// encrypt with a key service give another one, so a match only saves a request.
func etagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // S3 uses it for ETags, not for secrets
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// Why a stored object is corrupt, beside driverkit's reasons.
const (
	whyTruncated = "the object has another length than was written"
	whyDigest    = "the value's checksum does not match"
)

// headLength returns the length of an object's head, given the object's first
// bytes and its total size.
func headLength(raw []byte, total int64) (int, error) {
	if len(raw) < tombstoneSize || string(raw[:len(magic)]) != magic {
		return 0, driverkit.Corrupt(driverkit.WhyForeign)
	}
	if v := raw[len(magic)]; v > version {
		return 0, driverkit.Corrupt(driverkit.WhyNewer + ": " + strconv.Itoa(int(v)))
	}
	n := binary.LittleEndian.Uint32(raw[headAt:])
	switch {
	case raw[kindAt] == kindTombstone && n == tombstoneSize && total == tombstoneSize:
	case raw[kindAt] != kindRecord || n < minHead || n > maxHead:
		return 0, driverkit.Corrupt(driverkit.WhyForeign)
	case uint64(total)-uint64(n) != binary.LittleEndian.Uint64(raw[sizeAt:]):
		return 0, driverkit.Corrupt(whyTruncated)
	}
	return int(n), nil
}

// decodeHead decodes a head. It returns nil for a tombstone.
func decodeHead(raw []byte) (*head, error) {
	le := binary.LittleEndian
	if le.Uint32(raw[crcAt:]) != headSum(raw) || raw[len(magic)] != version {
		return nil, driverkit.Corrupt(driverkit.WhyForeign)
	}
	if raw[kindAt] == kindTombstone {
		return nil, nil //nolint:nilnil // a tombstone
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
		return nil, driverkit.Corrupt(driverkit.WhyForeign)
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

// labels accepts only sorted names, so that a record has one encoded form.
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

// serverVersion returns the ETag and the head of a record. A write that finds
// the ETag unchanged then knows all of the stored record except its value.
func serverVersion(etag string, h *head) string {
	return etag + "\n" + string(h.encode())
}

// parseServerVersion returns what a server version says about the record with
// the id. It returns nil if the text is malformed or is of another id.
func parseServerVersion(text, id string) *stored {
	etag, raw, ok := strings.Cut(text, "\n")
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

// stored is what is stored under a record's key: nothing, a tombstone or a
// record.
type stored struct {
	etag  string // empty: nothing is stored
	head  *head  // nil: nothing or a tombstone is stored
	value []byte // nil if only the head was read
}

// record returns the model's record, or nil if no record is stored.
func (s *stored) record() *model.Record {
	if s.head == nil {
		return nil
	}
	r := s.head.record()
	r.Value = s.value
	r.ServerVersion = serverVersion(s.etag, s.head)
	return &r
}

// live reports whether a record is stored and has not expired.
func (s *stored) live(now time.Time) bool {
	return s.head != nil && (s.head.expiresAt.IsZero() || now.Before(s.head.expiresAt))
}

// bears reports whether a record is stored that bears the label value.
func (s *stored) bears(name, value string) bool {
	if s.head == nil {
		return false
	}
	l := s.head.label(name)
	return l != nil && l.value == value
}

// sortedLabels returns the labels of a record, sorted by name. A label that old
// also has keeps its stamp; the others get the new one. Changed reports whether
// the labels differ from those of old.
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

// setValue sets the fields that depend on the value.
func (h *head) setValue(value []byte, encoding string) {
	h.size, h.digest, h.encoding = int64(len(value)), digestOf(value), encoding
}

// holds reports whether the head describes the value.
func (h *head) holds(value []byte, encoding string) bool {
	return h.size == int64(len(value)) && h.encoding == encoding && h.digest == digestOf(value)
}

// lines returns the body of an index entry: one key on each line.
func lines(keys []string) []byte {
	if len(keys) == 0 {
		return nil
	}
	return []byte(strings.Join(keys, "\n") + "\n")
}

// splitLines returns the keys in the body of an index entry.
func splitLines(body []byte) []string {
	return strings.Fields(string(bytes.ToValidUTF8(body, nil)))
}
