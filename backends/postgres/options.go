package postgres

import (
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may have, at most 50. Each
	// label has an index. Nil means "principal". Empty means no labels.
	Labels []string
	// Schema is the schema of the table, which must exist. Empty means the first
	// one of the connection's search_path that has the table.
	Schema string
	// MaxValue is the largest value in bytes. A larger one is ErrTooLarge. Zero
	// means 16 MiB, and at most 256 MiB are allowed.
	MaxValue int
}

const (
	defaultMaxValue = 16 << 20
	// A message of the protocol has at most 1 GB. With the simple protocol a
	// value takes two characters a byte, and an answer may have it once.
	maxMaxValue = 256 << 20
	maxName     = 63 // bytes of an identifier
)

// withDefaults returns the validated options with their defaults.
func (o *Options) withDefaults(db DB, table string) (out Options, err error) {
	if o != nil {
		out = *o
	}
	if isNil(db) {
		return out, model.NewError(model.ErrInvalid, "the database is nil", nil)
	}
	if err := checkName("the table's name", table); err != nil {
		return out, err
	}
	if out.Schema != "" {
		if err := checkName("Options.Schema", out.Schema); err != nil {
			return out, err
		}
	}
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, 0); err != nil {
		return out, err
	}
	if out.MaxValue < 0 || out.MaxValue > maxMaxValue {
		return out, model.NewError(model.ErrInvalid, "Options.MaxValue is not between 0 and "+strconv.Itoa(maxMaxValue), nil)
	}
	if out.MaxValue == 0 {
		out.MaxValue = defaultMaxValue
	}
	return out, nil
}

func isNil(db DB) bool {
	v := reflect.ValueOf(db)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// checkName returns ErrInvalid for a name that PostgreSQL would refuse or cut
// off.
func checkName(what, name string) error {
	switch {
	case name == "":
		what += " is empty"
	case len(name) > maxName:
		what += " has more than " + strconv.Itoa(maxName) + " bytes"
	case !utf8.ValidString(name), strings.IndexByte(name, 0) >= 0:
		what += " is not UTF-8 without NUL"
	default:
		return nil
	}
	return model.NewError(model.ErrInvalid, what, nil)
}
