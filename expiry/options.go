package expiry

import (
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// StoreOptions configures a Store. The zero value of every field is its
// default.
type StoreOptions struct {
	// TTL is how long a record lives that Create or Upsert stores without an
	// Expiry of its own. Zero: it never expires.
	TTL time.Duration
	// Codec encodes the values. Nil: JSON.
	Codec Codec
	// Seal encrypts every value with authentication, bound to its record's id.
	// Ids, labels and expiries stay readable. A value that was changed, moved
	// to another record, sealed with a key that the keyring lacks, or not
	// sealed at all is ErrCorrupt. Nil: values are stored as encoded.
	Seal *Keyring
	// OpenUnsealed reads values that are not sealed as well, while a store is
	// being moved to sealing: every write seals.
	OpenUnsealed bool
	// Clock decides what is live. Nil: the system's clock.
	Clock Clock
	// Observe is told of every finished call. Nil: nobody is.
	Observe Observer
	// LookTimeout limits the one look after a lost answer. Zero: two seconds.
	LookTimeout time.Duration
	// Attempts bounds the compare-and-set loops of Mutate and UpdatePartial,
	// and the rounds of DeleteByLabel. Zero: 100.
	Attempts int
	// Grace is how long expired records are left in the store before
	// DeleteExpired removes them, so that a clock that runs fast cannot
	// destroy what is alive elsewhere. Zero: one minute. Negative: none.
	Grace time.Duration
}

const (
	defaultLook     = 2 * time.Second
	defaultAttempts = 100
	defaultGrace    = time.Minute
)

func (o *StoreOptions) withDefaults() (StoreOptions, error) {
	var out StoreOptions
	if o != nil {
		out = *o
	}
	if out.TTL < 0 || out.LookTimeout < 0 || out.Attempts < 0 {
		return out, model.NewError(model.ErrInvalid, "StoreOptions: TTL, LookTimeout and Attempts are not negative", nil)
	}
	if out.Codec == nil {
		out.Codec = JSON()
	}
	if n := out.Codec.Name(); n == "" || len(n) > 32 {
		return out, model.NewError(model.ErrInvalid, "StoreOptions: a codec's name has 1 to 32 bytes", nil)
	}
	if out.Clock == nil {
		out.Clock = SystemClock()
	}
	if out.LookTimeout == 0 {
		out.LookTimeout = defaultLook
	}
	if out.Attempts == 0 {
		out.Attempts = defaultAttempts
	}
	switch {
	case out.Grace == 0:
		out.Grace = defaultGrace
	case out.Grace < 0:
		out.Grace = 0
	}
	return out, nil
}

// Expiry says when a record shall expire. The zero Expiry is the default of
// the operation: the store's TTL for Create and Upsert, Keep for the updates.
type Expiry struct {
	kind expiryKind
	at   time.Time
	d    time.Duration
}

type expiryKind uint8

const (
	expiryDefault expiryKind = iota
	expiryKeep
	expiryAt
	expiryAfter
	expiryNever
)

// Keep leaves the expiry in force as it is. For updates only.
func Keep() Expiry { return Expiry{kind: expiryKeep} }

// At expires the record at t, rounded up to a whole millisecond.
func At(t time.Time) Expiry { return Expiry{kind: expiryAt, at: t} }

// After expires the record d from now.
func After(d time.Duration) Expiry { return Expiry{kind: expiryAfter, d: d} }

// Never keeps the record until it is deleted.
func Never() Expiry { return Expiry{kind: expiryNever} }

// resolve turns the expiry into an instant, or says that the one in force is
// kept. Durations count from the clock's unrounded time.
func (e Expiry) resolve(now time.Time, ttl time.Duration, update bool) (at time.Time, keep bool, err error) {
	switch e.kind {
	case expiryKeep:
		if !update {
			return time.Time{}, false, model.NewError(model.ErrInvalid, "a create or upsert has no expiry to keep", nil)
		}
		return time.Time{}, true, nil
	case expiryAt:
		if e.at.IsZero() {
			return time.Time{}, false, model.NewError(model.ErrInvalid, "an expiry at the zero time; Never() says never", nil)
		}
		return model.Millis(e.at), false, nil
	case expiryAfter:
		if e.d <= 0 {
			return time.Time{}, false, model.NewError(model.ErrInvalid, "a lifetime that is not positive", nil)
		}
		return model.Millis(now.Add(e.d)), false, nil
	case expiryNever:
		return time.Time{}, false, nil
	}
	if update {
		return time.Time{}, true, nil
	}
	if ttl == 0 {
		return time.Time{}, false, nil
	}
	return model.Millis(now.Add(ttl)), false, nil
}

// WriteOptions are the extras of one write; nil is all defaults.
type WriteOptions struct {
	// Expiry of the record. Zero: the store's TTL for Create and Upsert; kept
	// for the updates.
	Expiry Expiry
	// Labels of the record: declared names, values of 1 to 256 bytes. Nil:
	// none for Create and Upsert; kept for the updates. Empty: none.
	Labels map[string]string
	// If makes an Update a compare-and-set at that version; ErrConflict where
	// the record is at another. Not for Create and Upsert.
	IfMatch *Known
}

// TouchOptions are the extras of a Touch; nil is all defaults.
type TouchOptions struct {
	// Extend never shortens the life of the record, and leaves one that never
	// expires alone.
	Extend bool
	// Prev is what the caller knows of the record. It saves a round trip on
	// some backends and decides nothing.
	Known *Known
}

// DeleteOptions are the extras of a Delete; nil is all defaults.
type DeleteOptions struct {
	// If deletes only that version; ErrConflict where the record is at
	// another.
	IfMatch *Known
	// Prev is what the caller knows of the record. It saves a round trip on
	// some backends and decides nothing.
	Known *Known
}

// ListOptions say which records a listing has; nil is all of them.
type ListOptions struct {
	Label, Value string // only records that bear the value under the label
	KeysOnly     bool   // leave the values zero
	PageSize     int    // records a driver call, 1 to 1000. Zero: 100
	After        string // for Page: the Next of the page before
}

// SweepOptions are the extras of a DeleteExpired; nil is all defaults.
type SweepOptions struct {
	// Limit is how many records one call removes at most. Zero: 1000.
	Limit int
	// Each sees every record before its removal, at least once, with ID, Rev,
	// ExpiresAt and Labels. A record for which it returns an error stays, and
	// the sweep goes on.
	OnExpire func(model.Record) error
}
