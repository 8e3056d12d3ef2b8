package driverkit

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// MaxValue validates Options.MaxValue. Zero means the usual size, and ErrInvalid
// is returned for a size below zero or above the largest one, in bytes.
func MaxValue(size, usual, largest int) (int, error) {
	switch {
	case size < 0 || size > largest:
		return 0, model.NewError(model.ErrInvalid, "Options.MaxValue is not between 0 and "+strconv.Itoa(largest), nil)
	case size == 0:
		return usual, nil
	}
	return size, nil
}

// CheckName returns ErrInvalid for a name that is empty, has more bytes than that,
// or is not UTF-8 without NUL. What says whose name it is.
func CheckName(what, name string, most int) error {
	switch {
	case name == "":
		what += " is empty"
	case len(name) > most:
		what += " has more than " + strconv.Itoa(most) + " bytes"
	case !IsText(name):
		what += " is not UTF-8 without NUL"
	default:
		return nil
	}
	return model.NewError(model.ErrInvalid, what, nil)
}

// IsText reports whether a text is UTF-8 without NUL, which servers can store as
// one.
func IsText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// TextEncoding is a check for Gate.CheckWrites: it returns ErrInvalid for a name
// of an encoding that is not UTF-8 without NUL.
func TextEncoding(w *driver.Write) error {
	if !IsText(w.Record.Encoding) {
		return model.NewError(model.ErrInvalid, "the encoding's name is not UTF-8 without NUL", nil)
	}
	return nil
}

// Finding returns what a Check found. If it is not right, it has the level and
// what to do.
func Finding(name, need, seen string, right bool, level driver.CheckLevel, fix string) driver.Finding {
	if right {
		level, fix = driver.CheckRight, ""
	}
	return driver.Finding{Name: name, Level: level, Seen: seen, Need: need, Fix: fix}
}
