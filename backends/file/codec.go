package file

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// A record's file, numbers in little endian:
//
//	 0  7  "sojourn"
//	 7  1  format version
//	 8  4  CRC32C of all other bytes
//	12  4  length of the file
//	16 16  revision
//	32  8  expiry, milliseconds since 1970; zero: never
//	40  2  length of the id        2  of the encoding        2  number of labels
//	46     id, encoding, labels (2 name's length, 2 value's length, name, value; sorted), value
const (
	magic       = "sojourn"
	version     = 1
	crcAt       = 8
	lengthAt    = 12
	revAt       = 16
	expiryAt    = 32
	countsAt    = 40
	headerBytes = 46

	// maxMillis is the first instant that no longer has a four-digit year.
	maxMillis = 253402300800_000

	// maxValue bounds what one call holds in memory.
	maxValue = 64 << 20
	// maxFile bounds what is read of a file with a record's name.
	maxFile = maxValue + 1<<20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeRecord(r *model.Record) []byte {
	size := headerBytes + len(r.ID) + len(r.Encoding) + len(r.Value)
	for name, value := range r.Labels {
		size += 4 + len(name) + len(value)
	}
	out := make([]byte, headerBytes, size)
	copy(out, magic)
	out[len(magic)] = version
	le := binary.LittleEndian
	le.PutUint32(out[lengthAt:], uint32(size))
	copy(out[revAt:], r.Rev[:])
	if !r.ExpiresAt.IsZero() {
		le.PutUint64(out[expiryAt:], uint64(r.ExpiresAt.UnixMilli()))
	}
	le.PutUint16(out[countsAt:], uint16(len(r.ID)))
	le.PutUint16(out[countsAt+2:], uint16(len(r.Encoding)))
	le.PutUint16(out[countsAt+4:], uint16(len(r.Labels)))
	out = append(out, r.ID...)
	out = append(out, r.Encoding...)
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		value := r.Labels[name]
		out = le.AppendUint16(out, uint16(len(name)))
		out = le.AppendUint16(out, uint16(len(value)))
		out = append(out, name...)
		out = append(out, value...)
	}
	out = append(out, r.Value...)
	le.PutUint32(out[crcAt:], checksum(out))
	return out
}

func checksum(file []byte) uint32 {
	sum := crc32.Update(0, castagnoli, file[:crcAt])
	return crc32.Update(sum, castagnoli, file[crcAt+4:])
}

// decodeRecord returns ErrCorrupt for anything but a whole record. The record
// shares memory with the file's bytes.
func decodeRecord(file []byte) (model.Record, error) {
	le := binary.LittleEndian
	if len(file) <= len(magic) || string(file[:len(magic)]) != magic {
		return model.Record{}, corrupt("no record's file, or truncated")
	}
	if v := file[len(magic)]; v > version {
		return model.Record{}, corrupt("format " + strconv.Itoa(int(v)) + ", newer than " + strconv.Itoa(version) + " that this version reads")
	}
	switch {
	case len(file) < headerBytes:
		return model.Record{}, corrupt("truncated")
	case uint64(le.Uint32(file[lengthAt:])) != uint64(len(file)):
		return model.Record{}, corrupt("not of the length that was written")
	case le.Uint32(file[crcAt:]) != checksum(file):
		return model.Record{}, corrupt("the checksum does not match")
	}
	rec := model.Record{Rev: model.Revision(file[revAt:expiryAt])}
	ms := int64(le.Uint64(file[expiryAt:]))
	if ms != 0 {
		rec.ExpiresAt = time.UnixMilli(ms).UTC()
	}
	rest := cutter{left: file[headerBytes:], bad: ms < 0 || ms >= maxMillis}
	rec.ID = rest.text(le.Uint16(file[countsAt:]))
	rec.Encoding = rest.text(le.Uint16(file[countsAt+2:]))
	rec.Labels = rest.labels(int(le.Uint16(file[countsAt+4:])))
	rec.Value = rest.left
	if rest.bad || file[len(magic)] != version || rec.Rev.IsZero() || model.CheckID(rec.ID) != nil {
		return model.Record{}, corrupt("the fields make no record")
	}
	return rec, nil
}

// cutter takes fields off the front of a file's bytes.
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

// labels accepts sorted names only, so that a record has one form.
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

func corrupt(detail string) error { return model.Fault(model.ErrCorrupt, detail, nil) }
