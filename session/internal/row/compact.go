package row

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// The compact form of a row is one byte with which no JSON begins, the version,
// and fields. A field is its tag, which has its number and its kind, and then a
// number or bytes with their length. Numbers are signed varints. Fields come in
// the order of their numbers, and those that are zero are left out. So a row has
// one compact form.
//
// A newer version may add fields with other tags, and an older one skips them. A
// field of another shape gets another tag. The fields up to fieldGone have their
// tags in every version.
const compactMark = 0xC1 // in no UTF-8

// A kind says how to skip a field.
const (
	kindNumber = iota
	kindBytes
)

// The tags. Times are differences to fieldCreatedAt.
const (
	fieldCreatedAt       = 1<<1 + kindNumber
	fieldHash            = 2<<1 + kindBytes
	fieldHashKey         = 3<<1 + kindBytes
	fieldPrevious        = 4<<1 + kindBytes
	fieldPreviousKey     = 5<<1 + kindBytes
	fieldPreviousUntil   = 6<<1 + kindNumber
	fieldRetired         = 7<<1 + kindBytes
	fieldRetiredKey      = 8<<1 + kindBytes
	fieldRetiredUntil    = 9<<1 + kindNumber
	fieldGone            = 10<<1 + kindBytes
	fieldSalt            = 11<<1 + kindBytes
	fieldRotatedAt       = 12<<1 + kindNumber
	fieldAuthenticatedAt = 13<<1 + kindNumber
	fieldWrittenAt       = 14<<1 + kindNumber
	fieldAbsolute        = 15<<1 + kindNumber
	fieldIdle            = 16<<1 + kindNumber
	fieldLife            = 17<<1 + kindNumber
	fieldNotAfter        = 18<<1 + kindNumber
	fieldParked          = 19<<1 + kindNumber
	fieldViews           = 20<<1 + kindNumber
	fieldPrincipal       = 21<<1 + kindBytes
	fieldLevel           = 22<<1 + kindNumber
	fieldElevated        = 23<<1 + kindBytes
	fieldActor           = 24<<1 + kindBytes
	fieldSID             = 25<<1 + kindBytes
	fieldLabels          = 26<<1 + kindBytes
	fieldUserAgent       = 27<<1 + kindBytes
	fieldAddress         = 28<<1 + kindBytes
	fieldName            = 29<<1 + kindBytes
	fieldPersistence     = 30<<1 + kindNumber
	fieldData            = 31<<1 + kindBytes
	fieldSealKey         = 32<<1 + kindBytes
	fieldSealed          = 33<<1 + kindBytes
	fieldMACKey          = 34<<1 + kindBytes
	fieldMAC             = 35<<1 + kindBytes
)

// IsCompact reports whether the bytes of a row are its compact form.
func IsCompact(data []byte) bool { return len(data) > 0 && data[0] == compactMark }

// JSON returns the JSON of a row in either form. Of a newer version it has the
// fields that this version knows.
func JSON(data []byte) ([]byte, error) {
	var r Row
	if !IsCompact(data) {
		return data, Codec{}.Decode(data, &r)
	}
	if err := decodeCompact(data, &r); err != nil {
		return nil, err
	}
	return appendRow(make([]byte, 0, rowSize(&r)), &r)
}

// appendCompact appends the compact form. It returns an error for a version that
// has none.
func appendCompact(b []byte, r *Row) ([]byte, error) {
	if r.Version < Version {
		return nil, fmt.Errorf("rows of version %d have no compact form", r.Version)
	}
	w := compactWriter{append(b, compactMark), r.CreatedAt}
	w.b = binary.AppendUvarint(w.b, uint64(r.Version))
	w.number(fieldCreatedAt, int64(r.CreatedAt))
	w.bytes(fieldHash, r.Hash)
	w.string(fieldHashKey, r.HashKey)
	w.bytes(fieldPrevious, r.Previous)
	w.string(fieldPreviousKey, r.PreviousKey)
	w.instant(fieldPreviousUntil, r.PreviousUntil)
	w.bytes(fieldRetired, r.Retired)
	w.string(fieldRetiredKey, r.RetiredKey)
	w.instant(fieldRetiredUntil, r.RetiredUntil)
	w.string(fieldGone, r.Gone)
	w.bytes(fieldSalt, r.Salt)
	w.instant(fieldRotatedAt, r.RotatedAt)
	w.instant(fieldAuthenticatedAt, r.AuthenticatedAt)
	w.instant(fieldWrittenAt, r.WrittenAt)
	w.instant(fieldAbsolute, r.Absolute)
	w.number(fieldIdle, r.Idle)
	w.number(fieldLife, r.Life)
	w.instant(fieldNotAfter, r.NotAfter)
	w.instant(fieldParked, r.Parked)
	w.number(fieldViews, r.Views)
	w.string(fieldPrincipal, r.Principal)
	w.number(fieldLevel, int64(r.Level))
	if r.Elevated != nil {
		w.nested(fieldElevated, func() {
			for e := r.Elevated; e != nil; e = e.Then {
				w.b = binary.AppendVarint(w.b, int64(e.Level))
				w.b = binary.AppendVarint(w.b, int64(e.At-r.CreatedAt))
				w.b = binary.AppendVarint(w.b, int64(e.Until-r.CreatedAt))
			}
		})
	}
	if a := r.Actor; a != nil {
		w.nested(fieldActor, func() { w.text(a.ID); w.text(a.Handle); w.text(a.Reason) })
	}
	w.string(fieldSID, r.SID)
	if len(r.Labels) > 0 {
		w.nested(fieldLabels, func() {
			for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
				w.text(name)
				w.text(r.Labels[name])
			}
		})
	}
	w.string(fieldUserAgent, r.Client.UserAgent)
	w.address(r.Client)
	w.string(fieldName, r.Name)
	w.number(fieldPersistence, int64(r.Persistence))
	w.values(r.Data)
	w.string(fieldSealKey, r.SealKey)
	w.bytes(fieldSealed, r.Sealed)
	w.string(fieldMACKey, r.MACKey)
	w.bytes(fieldMAC, r.MAC)
	return w.b, nil
}

// compactSize returns a capacity in bytes that is enough for the compact form of
// nearly every row.
func compactSize(r *Row) int {
	n := 88 + len(r.Hash) + len(r.Previous) + len(r.Retired) + len(r.Principal) + len(r.SID) +
		len(r.Client.UserAgent) + len(r.Name) + len(r.Sealed) + len(r.MAC)
	for i := range r.Data {
		n += len(r.Data[i].Key) + len(r.Data[i].Raw) + 3
	}
	return n
}

// compactWriter appends fields that are not zero.
type compactWriter struct {
	b    []byte
	base Instant
}

func (w *compactWriter) tag(tag byte, n int) {
	w.b = binary.AppendUvarint(append(w.b, tag), uint64(n))
}

func (w *compactWriter) number(tag byte, n int64) {
	if n != 0 {
		w.b = binary.AppendVarint(append(w.b, tag), n)
	}
}

// instant appends the difference, which wraps around for times that no clock has.
func (w *compactWriter) instant(tag byte, at Instant) {
	if at != 0 {
		w.b = binary.AppendVarint(append(w.b, tag), int64(at-w.base))
	}
}

func (w *compactWriter) bytes(tag byte, b []byte) {
	if len(b) > 0 {
		w.tag(tag, len(b))
		w.b = append(w.b, b...)
	}
}

func (w *compactWriter) string(tag byte, s string) {
	if s != "" {
		w.tag(tag, len(s))
		w.b = append(w.b, s...)
	}
}

// text appends a part of a field, which may be empty.
func (w *compactWriter) text(s string) {
	w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...)
}

func (w *compactWriter) address(c Client) {
	if !c.Address.IsValid() {
		return
	}
	var room [48]byte // an address with its zone
	b, _ := c.Address.AppendBinary(room[:0])
	w.bytes(fieldAddress, b)
}

// nested appends a field of which only its parts know the length.
func (w *compactWriter) nested(tag byte, parts func()) {
	outer := w.b
	w.b = nil
	parts()
	inner := w.b
	w.b = outer
	w.tag(tag, len(inner))
	w.b = append(w.b, inner...)
}

// values appends keys and values, which are JSON already.
func (w *compactWriter) values(list Values) {
	if len(list) == 0 {
		return
	}
	n := 0
	for i := range list {
		key, raw := len(list[i].Key), len(list[i].Raw)
		n += uvarintLen(key) + key + uvarintLen(raw) + raw
	}
	w.tag(fieldData, n)
	for i := range list {
		w.text(list[i].Key)
		w.b = append(binary.AppendUvarint(w.b, uint64(len(list[i].Raw))), list[i].Raw...)
	}
}

func uvarintLen(n int) (size int) {
	for size = 1; n >= 1<<7; size++ {
		n >>= 7
	}
	return size
}
