package postgres

import (
	"reflect"

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
	if err = driverkit.CheckName("the table's name", table, maxName); err == nil && out.Schema != "" {
		err = driverkit.CheckName("Options.Schema", out.Schema, maxName)
	}
	if err == nil {
		out.Labels, err = driverkit.DeclaredLabels(out.Labels, 0)
	}
	if err == nil {
		out.MaxValue, err = driverkit.MaxValue(out.MaxValue, defaultMaxValue, maxMaxValue)
	}
	return out, err
}

func isNil(db DB) bool {
	v := reflect.ValueOf(db)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
