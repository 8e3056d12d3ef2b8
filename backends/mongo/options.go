package mongo

import (
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may have, at most 50. Each
	// label has an index, and MongoDB allows 64 indexes. Nil means "principal".
	// Empty means no labels.
	Labels []string
	// GraceTTL is how long after its expiry the server may remove a record by
	// itself, rounded up to whole seconds. It must exceed the difference between
	// the clocks of callers and server, or live records are removed. Zero means
	// one hour. If it is negative, only DeleteExpired removes records.
	// CreateStorage applies a change.
	GraceTTL time.Duration
	// MaxValue is the largest value in bytes. A larger one is ErrTooLarge. Zero
	// means the most that fits into a document of 16 MB, which is also the
	// maximum.
	MaxValue int
	// Queryable stores a native copy of a JSON value beside its bytes, in the
	// field copy, for your own queries and indexes. It is never read back. The
	// copy is left out if the value is not JSON, is nested more than 90 levels
	// deep, or does not fit into the document together with its copy. Whole
	// numbers that fit are stored as long, others as double. A $ at the start of
	// a name becomes ＄.
	Queryable bool
	// Logger receives the warnings of CreateStorage. Nil means slog.Default.
	Logger *slog.Logger
}

const (
	defaultGraceTTL = time.Hour
	maxLabels       = 60
	maxGraceSeconds = math.MaxInt32 // the server's limit
	// maxDocument is the server's limit. maxHead is an upper bound for what a
	// document has besides value and copy: an id, field names, 60 labels with
	// names of 64 and values of 256 bytes.
	maxDocument = 16 << 20
	maxHead     = 64 << 10
	maxValue    = maxDocument - maxHead
)

// withDefaults returns the validated options with their defaults, and the grace
// in whole seconds, -1 if the server removes nothing.
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
		return out, 0, model.NewError(model.ErrInvalid, "Options.GraceTTL is longer than "+strconv.Itoa(maxGraceSeconds)+" seconds", nil)
	}
	grace = -1
	if out.GraceTTL > 0 {
		grace = int32((out.GraceTTL + time.Second - 1) / time.Second)
	}
	if out.MaxValue, err = driverkit.MaxValue(out.MaxValue, maxValue, maxValue); err != nil {
		return out, 0, err
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, grace, nil
}

// checkName returns ErrInvalid for a name that MongoDB does not accept for a
// collection.
func checkName(db, name string) error {
	var why string
	switch {
	case name == "":
		why = "is empty"
	case len(db)+1+len(name) > 255:
		why = "has more than 255 bytes with the database's name"
	case !utf8.ValidString(name):
		why = "is not UTF-8"
	case strings.ContainsAny(name, "$\x00"):
		why = "contains $ or NUL"
	case strings.HasPrefix(name, "system."):
		why = "begins with system."
	case strings.HasPrefix(name, "."), strings.HasSuffix(name, "."):
		why = "begins or ends with a dot"
	default:
		return nil
	}
	return model.NewError(model.ErrInvalid, "the collection's name "+why, nil)
}

// Client returns the client that the backend uses: the one of the database that
// New was given, or the one that the backend opened from a URL. Close
// disconnects the latter.
func (b *Backend) Client() *mongodriver.Client { return b.coll.Database().Client() }

// Collection returns the store's collection, with the concerns that the backend
// reads and writes with.
func (b *Backend) Collection() *mongodriver.Collection { return b.coll }
