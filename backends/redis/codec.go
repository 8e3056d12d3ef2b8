package redis

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// A record is one string:
//
//	 0      'S'
//	 1      format version
//	 2-17   revision
//	18-32   expiry, milliseconds since 1970 in 15 decimal digits; 0 for never
//	33-36   length of the value, big-endian
//	37-38   length of the labels section, big-endian
//	39-     labels section: for each label, sorted by name, the length of the
//	        name in a byte, the name, the length of the value in two bytes,
//	        big-endian, the value; length 0 stands for the name "principal"
//	        length of the encoding's name in a byte, that name
//	        the value
//
// The expiry has a fixed place, so that a touch overwrites 15 bytes. The lengths
// add up to the record's length, which reveals a truncated record.
const (
	formatMagic   = 'S'
	formatVersion = 1

	revisionAt = 2
	expiryAt   = 18
	valueLenAt = 33
	labelLenAt = 37
	labelsAt   = 39

	expiryDigits = 15
	// maxHead is larger than any head: 65535 bytes of labels, 255 of encoding.
	maxHead = 128 << 10
)

const never = "000000000000000"

// appendExpiry appends the 15 digits of an expiry.
func appendExpiry(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, never...)
	}
	var digits [expiryDigits]byte
	ms := t.UnixMilli()
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + ms%10)
		ms /= 10
	}
	return append(dst, digits[:]...)
}

// parseExpiry decodes 15 digits.
func parseExpiry(s string) (time.Time, bool) {
	if len(s) != expiryDigits {
		return time.Time{}, false
	}
	var ms int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		ms = ms*10 + int64(c-'0')
	}
	if ms == 0 {
		return time.Time{}, true
	}
	return time.UnixMilli(ms).UTC(), true
}

// usualLabel is the default of Options.Labels. A labels section does not spell it
// out. An entry of the index by id then has at most 64 bytes in most programs. Small
// sets of such entries take a third of the memory.
const usualLabel = "principal"

// appendLabel appends one entry of a labels section.
func appendLabel(dst []byte, name, value string) []byte {
	if name == usualLabel {
		name = ""
	}
	dst = append(append(dst, byte(len(name))), name...)
	return appendLabelValue(dst, value)
}

// appendLabelValue appends a value with its length, the prefix of the members
// of a label index.
func appendLabelValue(dst []byte, value string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// appendLabels appends a labels section.
func appendLabels(dst []byte, labels map[string]string) []byte {
	if len(labels) < 2 {
		for name, value := range labels {
			dst = appendLabel(dst, name, value)
		}
		return dst
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		dst = appendLabel(dst, name, labels[name])
	}
	return dst
}

// parseLabels decodes a labels section. An empty one returns nil.
func parseLabels(s string) (map[string]string, bool) {
	var labels map[string]string
	last := ""
	for len(s) > 0 {
		n := 1 + int(s[0])
		if len(s) < n+2 {
			return nil, false
		}
		name := s[1:n]
		switch name {
		case "":
			name = usualLabel
		case usualLabel:
			return nil, false
		}
		v := number(s[n : n+2])
		if n += 2; len(s) < n+v || name <= last {
			return nil, false
		}
		if labels == nil {
			labels = make(map[string]string, 1)
		}
		// Copies, so that labels do not keep the whole record in memory.
		labels[strings.Clone(name)] = strings.Clone(s[n : n+v])
		s, last = s[n+v:], name
	}
	return labels, true
}

// putHead fills in the fields before the labels section. Dst ends with that
// section.
func putHead(dst []byte, rec *model.Record) {
	dst[0], dst[1] = formatMagic, formatVersion
	copy(dst[revisionAt:], rec.Revision[:])
	appendExpiry(dst[:expiryAt], rec.ExpiresAt)
	binary.BigEndian.PutUint32(dst[valueLenAt:], uint32(len(rec.Value)))
	binary.BigEndian.PutUint16(dst[labelLenAt:], uint16(len(dst)-labelsAt))
}

// appendTail appends the fields after the labels section.
func appendTail(dst []byte, rec *model.Record) []byte {
	dst = append(append(dst, byte(len(rec.Encoding))), rec.Encoding...)
	return append(dst, rec.Value...)
}

// recordSize returns the length of the record in bytes, without the tail if
// split is set.
func recordSize(rec *model.Record, split bool) int {
	n := labelsAt
	for name, value := range rec.Labels {
		if n += 3 + len(value); name != usualLabel {
			n += len(name)
		}
	}
	if split {
		return n
	}
	return n + 1 + len(rec.Encoding) + len(rec.Value)
}

// decodeHead decodes everything but the value, from bytes that may end anywhere
// after the head. It also returns where the value begins and its length. A
// truncated head is ErrCorrupt.
func decodeHead(id, data string) (rec model.Record, at, size int, err error) {
	bad := func(why string) (model.Record, int, int, error) {
		return model.Record{}, 0, 0, driverkit.Corrupt(why)
	}
	if len(data) < 2 || data[0] != formatMagic {
		return bad(driverkit.WhyForeign)
	}
	if data[1] != formatVersion {
		return bad(driverkit.WhyNewer)
	}
	if len(data) < labelsAt+1 {
		return bad(driverkit.WhyForeign)
	}
	end := labelsAt + number(data[labelLenAt:labelsAt])
	if len(data) <= end {
		return bad(driverkit.WhyForeign)
	}
	at = end + 1 + int(data[end])
	if len(data) < at {
		return bad(driverkit.WhyForeign)
	}
	expiresAt, ok1 := parseExpiry(data[expiryAt:valueLenAt])
	labels, ok2 := parseLabels(data[labelsAt:end])
	if !ok1 || !ok2 {
		return bad(driverkit.WhyForeign)
	}
	rec = model.Record{ID: id, ExpiresAt: expiresAt, Labels: labels, Encoding: encodingName(data[end+1 : at])}
	copy(rec.Revision[:], data[revisionAt:expiryAt])
	return rec, at, number(data[valueLenAt:labelLenAt]), nil
}

// lengths returns upper bounds for the length of the head and of the record, by
// the first bytes of one. They are zero for other bytes.
func lengths(data string) (head, size int) {
	if len(data) < labelsAt || data[0] != formatMagic || data[1] != formatVersion {
		return 0, 0
	}
	head = labelsAt + number(data[labelLenAt:labelsAt]) + 1 + driverkit.MaxEncoding
	return head, head + number(data[valueLenAt:labelLenAt])
}

// encodingName returns a copy, except for the name that nearly every record has.
func encodingName(s string) string {
	if s == "json" {
		return "json"
	}
	return strings.Clone(s)
}

// decodeRecord decodes a whole record, which the caller passes both as a string
// and as bytes. The value shares memory with the bytes.
func decodeRecord(id, data string, raw []byte) (model.Record, error) {
	rec, at, size, err := decodeHead(id, data)
	if err != nil {
		return model.Record{}, err
	}
	if len(data) != at+size {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	rec.Value = raw[at:len(raw):len(raw)]
	return rec, nil
}

// number decodes big-endian bytes.
func number(s string) int {
	n := 0
	for i := range len(s) {
		n = n<<8 | int(s[i])
	}
	return n
}

// commonLength is the most common of the lengths added. Each length votes for
// itself, so that a rare other length does not replace it. It is safe for
// concurrent use, in which a vote may get lost.
type commonLength struct{ state atomic.Uint32 } // the length, and its votes in the lowest bits

const (
	voteBits = 8
	maxVotes = 2
)

func (c *commonLength) get() int { return int(c.state.Load() >> voteBits) }

func (c *commonLength) add(n int) {
	state := c.state.Load()
	length, votes := state>>voteBits, state&(1<<voteBits-1)
	switch {
	case length == uint32(n):
		votes = min(votes+1, maxVotes)
	case votes > 0:
		votes--
	default:
		length, votes = uint32(n), 1
	}
	c.state.Store(length<<voteBits | votes)
}
