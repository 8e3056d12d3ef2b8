package driver

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Counter is an optional interface of a backend that counts without listing.
type Counter interface {
	// Count returns the number of live records that a listing of q has. Only
	// q.Label and q.Value matter.
	Count(ctx context.Context, now time.Time, q Query) (int, error)
}

// StorageManager is an optional interface of a backend whose storage must be
// created. Both calls succeed if many nodes make the same one at once.
//
// A CreateStorage beside a DeleteStorage succeeds, or returns ErrUnavailable and
// can be repeated. A call on records beside a DeleteStorage comes before or after
// it, or returns ErrUnavailable. What it stores has all its index entries. A
// backend that removes one thing after another may break this for a create, until
// the next DeleteStorage. It says so then.
type StorageManager interface {
	// CreateStorage creates what the store needs. It may be repeated.
	//
	//   - R96: It refuses a place that holds what another program made, with
	//     ErrCorrupt and a text that says what was found, and changes nothing.
	CreateStorage(ctx context.Context) error
	// DeleteStorage removes the store with all its records, and nothing else.
	// It may be repeated.
	//
	//   - R97: What another program made in the same place stays. The error is
	//     ErrCorrupt then, and its text says what was found.
	DeleteStorage(ctx context.Context) error
}

// Checker is an optional interface of a backend that can look whether its
// server is as the contract needs it. CreateStorage makes the same checks, but for
// the clock, and returns Checks.Err.
type Checker interface {
	// Check looks at the server and at the storage and changes nothing that
	// lasts. It returns an error if it could not look. It may be repeated.
	Check(ctx context.Context) (Checks, error)
}

// Checks are what a Checker has found, with what is right.
type Checks []Finding

// Finding is one property of a server or of the storage.
type Finding struct {
	Name  string // short and stable: "conditional writes", "eviction policy"
	Level CheckLevel
	Seen  string // what was found
	Need  string // what the contract needs
	Fix   string // what to do; empty with CheckRight

	// Missing means that something is not there that CreateStorage makes. If it finds
	// that itself, another node has removed it meanwhile.
	Missing bool
}

// CheckLevel says how bad a finding is.
type CheckLevel uint8

// The levels.
const (
	CheckRight   CheckLevel = iota // as it must be
	CheckWarning                   // works, but costs more or keeps expired records longer
	CheckUnsafe                    // a promise of the contract does not hold
	CheckUnknown                   // it could not be seen, for example without the permission
)

// String returns "right", "warning", "unsafe" or "unknown".
func (l CheckLevel) String() string {
	switch l {
	case CheckRight:
		return "right"
	case CheckWarning:
		return "warning"
	case CheckUnsafe:
		return "unsafe"
	}
	return "unknown"
}

// Err returns nil if no check is CheckUnsafe. Else it returns an ErrUnsupported
// that says of each what was seen, what is needed and what to do. If each of them is
// Missing, it is an ErrUnavailable: CreateStorage can make it.
func (c Checks) Err() error {
	var bad []string
	kind := model.ErrUnavailable
	for _, one := range c {
		if one.Level == CheckUnsafe {
			if !one.Missing {
				kind = model.ErrUnsupported
			}
			bad = append(bad, one.Name+": found "+one.Seen+", needed "+one.Need+"; "+one.Fix)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return model.NewError(kind, strings.Join(bad, "; "), nil)
}

// Statter is an optional interface of a backend that can tell a record's size
// without sending its value.
type Statter interface {
	// Stat returns the live record with the id, without its value, and the
	// number of bytes of that value, as they are stored.
	//
	//   - R98: The result is that of Get, but for the value.
	Stat(ctx context.Context, now time.Time, g Get) (Stat, error)
}

// Stat is a record without its value.
type Stat struct {
	Record model.Record // without its value
	Size   int          // of the value, in bytes
}

// Pinger is an optional interface of a backend that can check its server.
type Pinger interface {
	// Ping returns nil if the server answers.
	Ping(ctx context.Context) error
}

// Unwrapper is implemented by wrappers around a backend. A wrapper also
// implements the optional interfaces; driverkit.Wrapper forwards all of them.
type Unwrapper interface {
	Unwrap() ModelExpirySupport
}

// countPage is the number of ids that Count lists with one call, if the
// backend is not a Counter.
const countPage = 1000

// Count counts live records with the backend's Counter, or by listing ids.
func Count(ctx context.Context, b ModelExpirySupport, now time.Time, q Query) (int, error) {
	if c, ok := b.(Counter); ok {
		return c.Count(ctx, now, q)
	}
	n := 0
	q = Query{Label: q.Label, Value: q.Value, Limit: countPage, KeysOnly: true}
	for {
		p, err := b.Page(ctx, now, q)
		if err != nil {
			return 0, err
		}
		n += len(p.Records)
		if p.Next == "" {
			return n, nil
		}
		q.After = p.Next
	}
}

// CreateStorage calls the backend's StorageManager. It does nothing if the
// backend has none.
func CreateStorage(ctx context.Context, b ModelExpirySupport) error {
	if m, ok := b.(StorageManager); ok {
		return m.CreateStorage(ctx)
	}
	return nil
}

// DeleteStorage calls the backend's StorageManager. It does nothing if the
// backend has none.
func DeleteStorage(ctx context.Context, b ModelExpirySupport) error {
	if m, ok := b.(StorageManager); ok {
		return m.DeleteStorage(ctx)
	}
	return nil
}

// Check calls the backend's Checker, or returns no checks.
func Check(ctx context.Context, b ModelExpirySupport) (Checks, error) {
	if c, ok := b.(Checker); ok {
		return c.Check(ctx)
	}
	return nil, nil
}

// GetStat calls the backend's Statter, or gets the record.
func GetStat(ctx context.Context, b ModelExpirySupport, now time.Time, g Get) (Stat, error) {
	if s, ok := b.(Statter); ok {
		return s.Stat(ctx, now, g)
	}
	rec, err := b.Get(ctx, now, g)
	if err != nil {
		return Stat{}, err
	}
	return Stat{Record: rec.Head(), Size: len(rec.Value)}, nil
}

// Ping calls the backend's Pinger, or reads an id that no program uses.
func Ping(ctx context.Context, b ModelExpirySupport, now time.Time) error {
	if p, ok := b.(Pinger); ok {
		return p.Ping(ctx)
	}
	if _, err := b.Get(ctx, now, Get{ID: "\x01ping"}); err != nil && !errors.Is(err, model.ErrNotFound) {
		return err
	}
	return nil
}
