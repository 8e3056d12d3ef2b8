package model

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits that hold on every backend.
const (
	MaxID    = 512 // bytes of a record's id
	MaxLabel = 256 // bytes of a label's value
)

// maxExpiry is the first instant after the year 9999.
var maxExpiry = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// CheckID returns ErrInvalid unless id has 1 to MaxID bytes of valid UTF-8
// without NUL. Every such string is a legal id on every backend.
func CheckID(id string) error {
	switch {
	case id == "":
		return NewError(ErrInvalid, "the id is empty", nil)
	case len(id) > MaxID:
		return NewError(ErrInvalid, "the id has more than "+strconv.Itoa(MaxID)+" bytes", nil)
	case !utf8.ValidString(id):
		return NewError(ErrInvalid, "the id is not valid UTF-8", nil)
	case strings.IndexByte(id, 0) >= 0:
		return NewError(ErrInvalid, "the id holds a NUL", nil)
	}
	return nil
}

// CheckLabelName returns ErrInvalid unless name is a legal name for a label:
// 1 to 64 characters of a-z, 0-9, '_' and '-', the first one a letter.
func CheckLabelName(name string) error {
	ok := name != "" && len(name) <= 64 && name[0] >= 'a' && name[0] <= 'z'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if !ok {
		return NewError(ErrInvalid, "a label's name must have 1 to 64 of a-z 0-9 _ - and start with a letter", nil)
	}
	return nil
}

// CheckLabelValue returns ErrInvalid unless value has 1 to MaxLabel bytes of
// valid UTF-8 without NUL.
func CheckLabelValue(value string) error {
	switch {
	case value == "":
		return NewError(ErrInvalid, "the label's value is empty", nil)
	case len(value) > MaxLabel:
		return NewError(ErrInvalid, "the label's value has more than "+strconv.Itoa(MaxLabel)+" bytes", nil)
	case !utf8.ValidString(value), strings.IndexByte(value, 0) >= 0:
		return NewError(ErrInvalid, "the label's value must be UTF-8 without NUL", nil)
	}
	return nil
}

// Millis rounds t up to a whole millisecond, in UTC. The zero time stays zero.
// Expiries are rounded up, so that no record expires early.
func Millis(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	ns := int64(t.Nanosecond())
	if rest := ns % 1e6; rest > 0 {
		ns += 1e6 - rest
	}
	return time.Unix(t.Unix(), ns).UTC()
}

// CheckExpiry returns ErrInvalid unless t is zero, which means never, or later
// than now, after 1970 and before the year 10000.
func CheckExpiry(now, t time.Time) error {
	switch {
	case t.IsZero():
		return nil
	case !now.Before(t):
		return NewError(ErrInvalid, "the expiry is already past", nil)
	case t.UnixMilli() <= 0:
		return NewError(ErrInvalid, "the expiry is before 1970", nil)
	case !t.Before(maxExpiry):
		return NewError(ErrInvalid, "the expiry is after the year 9999", nil)
	}
	return nil
}
