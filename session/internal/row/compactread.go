package row

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// errCompact is about bytes that are not the compact form of a row. It says
// nothing of the row.
var errCompact = errors.New("the compact row is damaged")

// compactReader reads what compactWriter has written. It accepts only the one
// compact form of a row, and gives up at the first byte that is not in it.
type compactReader struct {
	data []byte // what is left
	lost bool
	base Instant
}

// decodeCompact reads the compact form. Of a newer version it skips the fields
// that it does not know, and those that do not fit, unless every version has them.
func decodeCompact(data []byte, r *Row) error {
	p := compactReader{data: data[1:]}
	version := p.uvarint()
	if p.lost || version < Version || version > 1<<30 {
		return errCompact
	}
	*r = Row{Version: int(version)}
	newer := version > Version
	before := uint64(0)
	for !p.lost && len(p.data) > 0 {
		tag := p.uvarint()
		p.lost = p.lost || tag>>1 <= before>>1
		before = tag
		f := compactReader{base: r.CreatedAt}
		n := int64(0)
		if tag&1 == kindBytes {
			f.data = p.take(p.uvarint())
			p.lost = p.lost || len(f.data) == 0
		} else {
			n = p.varint()
		}
		if p.lost {
			break
		}
		known := f.field(r, tag, n)
		p.lost = (!known || f.lost) && (!newer || tag <= fieldGone)
	}
	if p.lost {
		*r = Row{}
		return errCompact
	}
	return nil
}

// field sets the field with the tag to the number or to what is left. It returns
// false for a tag that it does not know.
func (p *compactReader) field(r *Row, tag uint64, n int64) bool {
	switch tag {
	case fieldCreatedAt:
		r.CreatedAt = Instant(p.present(n))
	case fieldHash:
		r.Hash = p.data
	case fieldHashKey:
		r.HashKey = string(p.data)
	case fieldPrevious:
		r.Previous = p.data
	case fieldPreviousKey:
		r.PreviousKey = string(p.data)
	case fieldPreviousUntil:
		r.PreviousUntil = p.instant(n)
	case fieldRetired:
		r.Retired = p.data
	case fieldRetiredKey:
		r.RetiredKey = string(p.data)
	case fieldRetiredUntil:
		r.RetiredUntil = p.instant(n)
	case fieldGone:
		r.Gone = string(p.data)
	case fieldSalt:
		r.Salt = p.data
	case fieldRotatedAt:
		r.RotatedAt = p.instant(n)
	case fieldAuthenticatedAt:
		r.AuthenticatedAt = p.instant(n)
	case fieldWrittenAt:
		r.WrittenAt = p.instant(n)
	case fieldAbsolute:
		r.Absolute = p.instant(n)
	case fieldIdle:
		r.Idle = p.present(n)
	case fieldLife:
		r.Life = p.present(n)
	case fieldNotAfter:
		r.NotAfter = p.instant(n)
	case fieldParked:
		r.Parked = p.instant(n)
	case fieldViews:
		r.Views = p.present(n)
	default:
		return p.more(r, tag, n)
	}
	return true
}

// more is field for what is not about secrets and times.
func (p *compactReader) more(r *Row, tag uint64, n int64) bool {
	switch tag {
	case fieldPrincipal:
		r.Principal = string(p.data)
	case fieldLevel:
		r.Level = p.int(p.present(n))
	case fieldElevated:
		r.Elevated = p.elevations()
	case fieldActor:
		a := Actor{ID: p.text(), Handle: p.text(), Reason: p.text()}
		if p.end() {
			r.Actor = &a
		}
	case fieldSID:
		r.SID = string(p.data)
	case fieldLabels:
		r.Labels = p.labels()
	case fieldUserAgent:
		r.Client.UserAgent = string(p.data)
	case fieldAddress:
		p.lost = r.Client.Address.UnmarshalBinary(p.data) != nil
	case fieldName:
		r.Name = string(p.data)
	case fieldPersistence:
		r.Persistence = p.int(p.present(n))
	case fieldData:
		r.Data = p.values()
	case fieldSealKey:
		r.SealKey = string(p.data)
	case fieldSealed:
		r.Sealed = p.data
	case fieldMACKey:
		r.MACKey = string(p.data)
	case fieldMAC:
		r.MAC = p.data
	default:
		return false
	}
	return true
}

// uvarint reads a number in its shortest form.
func (p *compactReader) uvarint() uint64 {
	if len(p.data) > 0 && p.data[0] < 1<<7 {
		n := uint64(p.data[0])
		p.data = p.data[1:]
		return n
	}
	n, size := binary.Uvarint(p.data)
	if size <= 0 || p.data[size-1] == 0 {
		p.lost = true
		return 0
	}
	p.data = p.data[size:]
	return n
}

func (p *compactReader) varint() int64 {
	u := p.uvarint()
	n := int64(u >> 1)
	if u&1 != 0 {
		n = ^n
	}
	return n
}

// take consumes n bytes.
func (p *compactReader) take(n uint64) []byte {
	if p.lost || n > uint64(len(p.data)) {
		p.lost = true
		return nil
	}
	b := p.data[:n:n]
	p.data = p.data[n:]
	return b
}

func (p *compactReader) text() string { return string(p.take(p.uvarint())) }

// end reports whether all of a field was read.
func (p *compactReader) end() bool {
	p.lost = p.lost || len(p.data) > 0
	return !p.lost
}

// present gives up at zero, which is not written.
func (p *compactReader) present(n int64) int64 {
	p.lost = p.lost || n == 0
	return n
}

func (p *compactReader) instant(n int64) Instant {
	return Instant(p.present(n + int64(p.base)))
}

func (p *compactReader) int(n int64) int {
	p.lost = p.lost || int64(int(n)) != n
	return int(n)
}

// elevations reads one or more elevations, which are a list.
func (p *compactReader) elevations() (list *Elevation) {
	for at := &list; ; at = &(*at).Then {
		*at = &Elevation{Level: p.int(p.varint()), At: Instant(p.varint()) + p.base, Until: Instant(p.varint()) + p.base}
		if p.lost {
			return nil
		}
		if len(p.data) == 0 {
			return list
		}
	}
}

func (p *compactReader) labels() map[string]string {
	labels, before := map[string]string{}, ""
	for !p.lost && len(p.data) > 0 {
		name := p.text()
		p.lost = p.lost || len(labels) > 0 && name <= before
		labels[name], before = p.text(), name
	}
	if p.lost {
		return nil
	}
	return labels
}

// values reads keys and values. The values share memory with the data, and the
// keys with one another.
func (p *compactReader) values() Values {
	n, size := 0, 0
	for count := *p; !count.lost && len(count.data) > 0; n++ {
		size += len(count.take(count.uvarint()))
		count.take(count.uvarint())
		if p.lost = count.lost; p.lost {
			return nil
		}
	}
	var names strings.Builder
	names.Grow(size)
	list := make(Values, n)
	for i := range list {
		at := names.Len()
		_, _ = names.Write(p.take(p.uvarint()))
		list[i] = Value{names.String()[at:], p.take(p.uvarint())}
		if i > 0 && list[i].Key <= list[i-1].Key || !utf8.ValidString(list[i].Key) || !validJSON(list[i].Raw) {
			p.lost = true
			return nil
		}
	}
	return list
}

// validJSON is json.Valid with a fast path for strings without escapes.
func validJSON(raw []byte) bool {
	if last := len(raw) - 1; last > 0 && raw[0] == '"' && raw[last] == '"' {
		plain := true
		for _, c := range raw[1:last] {
			if c < ' ' || c == '"' || c == '\\' {
				plain = false
				break
			}
		}
		if plain {
			return true
		}
	}
	return json.Valid(raw)
}
