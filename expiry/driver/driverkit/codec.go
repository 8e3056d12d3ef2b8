package driverkit

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// The record format, numbers in little endian:
//
//	 0  7  "sojourn"
//	 7  1  format version
//	 8  4  CRC32C of all other bytes
//	12  4  length in bytes
//	16 16  revision
//	32  8  expiry, milliseconds since 1970; zero: never
//	40  2  length of the id        2  of the encoding        2  number of labels
//	46     id, encoding, labels (2 name's length, 2 value's length, name, value; sorted), value
const (
	magic       = "sojourn"
	version     = 1
	sumAt       = 8
	lengthAt    = 12
	revisionAt  = 16
	expiryAt    = 32
	countsAt    = 40
	headerBytes = 46

	// maxMillis is the first instant after the year 9999.
	maxMillis = 253402300800_000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendRecord appends the encoded record to to and returns the extended slice.
// The format has a version and a checksum. The server version is not part of
// it.
func AppendRecord(to []byte, r *model.Record) []byte {
	size := headerBytes + len(r.ID) + len(r.Encoding) + len(r.Value)
	for name, value := range r.Labels {
		size += 4 + len(name) + len(value)
	}
	start := len(to)
	to = slices.Grow(to, size)[:start+headerBytes]
	out := to[start:]
	clear(out)
	copy(out, magic)
	out[len(magic)] = version
	le := binary.LittleEndian
	le.PutUint32(out[lengthAt:], uint32(size))
	copy(out[revisionAt:], r.Revision[:])
	if !r.ExpiresAt.IsZero() {
		le.PutUint64(out[expiryAt:], uint64(r.ExpiresAt.UnixMilli()))
	}
	le.PutUint16(out[countsAt:], uint16(len(r.ID)))
	le.PutUint16(out[countsAt+2:], uint16(len(r.Encoding)))
	le.PutUint16(out[countsAt+4:], uint16(len(r.Labels)))
	to = append(to, r.ID...)
	to = append(to, r.Encoding...)
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		value := r.Labels[name]
		to = le.AppendUint16(to, uint16(len(name)))
		to = le.AppendUint16(to, uint16(len(value)))
		to = append(to, name...)
		to = append(to, value...)
	}
	to = append(to, r.Value...)
	le.PutUint32(to[start+sumAt:], checksum(to[start:]))
	return to
}

func checksum(data []byte) uint32 {
	sum := crc32.Update(0, castagnoli, data[:sumAt])
	return crc32.Update(sum, castagnoli, data[sumAt+4:])
}

// DecodeRecord returns the record that AppendRecord encoded. It returns
// ErrCorrupt for truncated, changed or foreign bytes and for a newer format.
// The value shares memory with data.
func DecodeRecord(data []byte) (model.Record, error) {
	le := binary.LittleEndian
	if len(data) <= len(magic) || string(data[:len(magic)]) != magic {
		return model.Record{}, Corrupt(WhyForeign)
	}
	if v := data[len(magic)]; v > version {
		return model.Record{}, Corrupt(WhyNewer + ": format " + strconv.Itoa(int(v)) + ", newer than " + strconv.Itoa(version))
	}
	switch {
	case len(data) < headerBytes:
		return model.Record{}, Corrupt("the record is truncated")
	case uint64(le.Uint32(data[lengthAt:])) != uint64(len(data)):
		return model.Record{}, Corrupt("the record has another length than was written")
	case le.Uint32(data[sumAt:]) != checksum(data):
		return model.Record{}, Corrupt("the record's checksum does not match")
	}
	rec := model.Record{Revision: model.Revision(data[revisionAt:expiryAt])}
	ms := int64(le.Uint64(data[expiryAt:]))
	if ms != 0 {
		rec.ExpiresAt = time.UnixMilli(ms).UTC()
	}
	rest := cutter{left: data[headerBytes:], bad: ms < 0 || ms >= maxMillis}
	rec.ID = rest.text(le.Uint16(data[countsAt:]))
	rec.Encoding = rest.text(le.Uint16(data[countsAt+2:]))
	rec.Labels = rest.labels(int(le.Uint16(data[countsAt+4:])))
	rec.Value = rest.left
	if rest.bad || data[len(magic)] != version || rec.Revision.IsZero() || model.CheckID(rec.ID) != nil {
		return model.Record{}, Corrupt(WhyForeign)
	}
	return rec, nil
}

// cutter takes fields off the front of the encoded bytes.
type cutter struct {
	left []byte
	bad  bool
}

func (c *cutter) take(n uint16) []byte {
	if int(n) > len(c.left) {
		c.bad = true
		return nil
	}
	out := c.left[:n]
	c.left = c.left[n:]
	return out
}

func (c *cutter) text(n uint16) string { return string(c.take(n)) }

// labels accepts only sorted names, so that a record has one encoded form.
func (c *cutter) labels(n int) map[string]string {
	if n == 0 {
		return nil
	}
	out := map[string]string{}
	last := ""
	for range n {
		head := c.take(4)
		if c.bad {
			return nil
		}
		name := c.text(binary.LittleEndian.Uint16(head))
		value := c.text(binary.LittleEndian.Uint16(head[2:]))
		if c.bad || name <= last || model.CheckLabelName(name) != nil || model.CheckLabelValue(value) != nil {
			c.bad = true
			return nil
		}
		last = name
		out[name] = value
	}
	return out
}
