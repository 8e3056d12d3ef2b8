package mongo

import (
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may bear, at most 60:
	// each has an index, and MongoDB allows 64 of them. Nil: "principal".
	// Empty: none.
	Labels []string
	// GraceTTL is how much later than its expiry the server may reap a record
	// by itself, rounded up to whole seconds. Clocks of callers and server that
	// differ by less than it cannot make a record vanish early. Zero: one hour.
	// Negative: the server reaps nothing, only DeleteExpired removes records.
	// CreateStorage puts a change into force.
	GraceTTL time.Duration
	// MaxValue is the size in bytes over which a value is ErrTooLarge. Zero:
	// what the server's limit of 16 MB for a document leaves, which is also the
	// most.
	MaxValue int
	// Queryable stores a native copy of a JSON value beside its bytes, in the
	// field copy, for queries and indexes of one's own. It is never read back.
	// A value has none where it is not JSON, is nested more than 90 levels
	// deep, or where document and copy together would be over the server's
	// limit. Numbers are long where they are whole and fit, else double; a $
	// that begins a name is replaced by ＄.
	Queryable bool
	// Logger gets the warnings of CreateStorage. Nil: slog.Default.
	Logger *slog.Logger
}

const (
	defaultGraceTTL = time.Hour
	maxLabels       = 60
	maxGraceSeconds = math.MaxInt32 // what the server takes
	// maxDocument is the server's limit; maxHead is more than a document has
	// beside value and copy: 60 labels of 64 and 256 bytes, an id, field names.
	maxDocument = 16 << 20
	maxHead     = 64 << 10
	maxValue    = maxDocument - maxHead
)

// withDefaults also returns the grace in whole seconds, -1 for none.
func (o *Options) withDefaults() (out Options, grace int32, err error) {
	if o != nil {
		out = *o
	}
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, maxLabels); err != nil {
		return out, 0, err
	}
	switch {
	case out.GraceTTL == 0:
		out.GraceTTL = defaultGraceTTL
	case out.GraceTTL/time.Second >= maxGraceSeconds:
		return out, 0, model.NewError(model.ErrInvalid, "Options.GraceTTL: more than "+strconv.Itoa(maxGraceSeconds)+" s", nil)
	}
	grace = -1
	if out.GraceTTL > 0 {
		grace = int32((out.GraceTTL + time.Second - 1) / time.Second)
	}
	if out.MaxValue < 0 || out.MaxValue > maxValue {
		return out, 0, model.NewError(model.ErrInvalid, "Options.MaxValue: 0 to "+strconv.Itoa(maxValue), nil)
	}
	if out.MaxValue == 0 {
		out.MaxValue = maxValue
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, grace, nil
}

// checkName accepts what MongoDB takes for the name of a collection.
func checkName(db, name string) error {
	if name == "" || len(db)+1+len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, "$\x00") ||
		strings.HasPrefix(name, "system.") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
		return model.NewError(model.ErrInvalid, "a collection's name has UTF-8 without $ and NUL, at most 255 bytes with the database's, "+
			"and neither begins with system. nor begins or ends with a dot", nil)
	}
	return nil
}
