package expiry

import (
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// StoreOptions configures a Store. The zero value of every field is its
// default.
type StoreOptions struct {
	// TTL is the lifetime of records that Create or Upsert stores without an
	// Expiry. Zero means that they never expire.
	TTL time.Duration
	// Codec encodes the values. Nil means JSON.
	Codec Codec
	// Seal encrypts and authenticates every value, bound to its record's id
	// and the store's Purpose. Ids, labels and expiries stay readable.
	// ErrCorrupt is returned for a value that was changed, moved to another
	// record or from a store of another Purpose, sealed with an unknown key, or
	// not sealed. Only an Upsert replaces such a value, except one that was
	// changed or moved: an Update may replace that. Nil means that values are
	// stored as encoded.
	Seal *Keyring
	// Purpose says what the store's values are for, in 1 to 64 bytes, such as
	// "profiles". Seal needs it: two stores with one keyring and different
	// purposes cannot read each other's values. It must stay the same.
	Purpose string
	// SecretIDs is for ids that are secrets, such as those of reset links.
	// Only a hash of an id leaves the Store, also in errors, observations and
	// OnExpire. Get and the other methods that are given an id return it in
	// their items. Listings return the hash, which opens nothing.
	SecretIDs bool
	// NewID makes the id of a Create, Upsert or bulk operation that gives none,
	// such as RandomID. Nil means that an empty id is ErrInvalid.
	NewID func() string
	// OpenUnsealed also reads values that are not sealed, while a store moves
	// to sealing. Every write seals.
	OpenUnsealed bool
	// Clock decides what is live. Nil means the system's clock.
	Clock Clock
	// Observe is called after every call of a method. It may be nil.
	Observe Observer
	// LookTimeout bounds the reads after lost answers, all those of a call
	// together. Such a read ends at most 50 milliseconds after the caller's
	// deadline. Zero means two seconds.
	LookTimeout time.Duration
	// Attempts bounds the compare-and-set loops of Mutate and its like, and
	// the rounds of DeleteByLabel and DeleteAll that remove something. Zero
	// means 100.
	Attempts int
	// Grace is how long DeleteExpired leaves expired records in the store, so
	// that a clock that runs fast cannot destroy records that are live
	// elsewhere. Zero means one minute, a negative value means no grace.
	Grace time.Duration
}

const (
	maxPurpose      = 64
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
		return out, model.NewError(model.ErrInvalid, "StoreOptions: TTL, LookTimeout and Attempts must not be negative", nil)
	}
	if out.Seal != nil {
		if err := out.Seal.usable(); err != nil {
			return out, err
		}
		if out.Purpose == "" {
			return out, model.NewError(model.ErrInvalid, "StoreOptions: Seal needs a Purpose", nil)
		}
	}
	if len(out.Purpose) > maxPurpose {
		return out, model.NewError(model.ErrInvalid, "StoreOptions: Purpose has more than 64 bytes", nil)
	}
	if out.Codec == nil {
		out.Codec = JSON()
	}
	if n := out.Codec.Name(); n == "" || len(n) > 32 {
		return out, model.NewError(model.ErrInvalid, "StoreOptions: the codec's name must have 1 to 32 bytes", nil)
	}
	if isSealed(out.Codec.Name()) {
		return out, model.NewError(model.ErrInvalid, "StoreOptions: the codec's name is that of sealed values", nil)
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

// Expiry says when a record expires. The zero Expiry is the default of the
// operation: the store's TTL for Create and Upsert, Keep for updates.
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

// Keep leaves the expiry as it is. It is for updates only.
func Keep() Expiry { return Expiry{kind: expiryKeep} }

// At expires the record at t, rounded up to a whole millisecond.
func At(t time.Time) Expiry { return Expiry{kind: expiryAt, at: t} }

// After expires the record d from now.
func After(d time.Duration) Expiry { return Expiry{kind: expiryAfter, d: d} }

// Never lets the record live until it is deleted.
func Never() Expiry { return Expiry{kind: expiryNever} }

// resolve returns the instant of the expiry, or keep if the stored one stays.
// Durations start at the clock's unrounded time.
func (e Expiry) resolve(now time.Time, ttl time.Duration, update bool) (at time.Time, keep bool, err error) {
	switch e.kind {
	case expiryKeep:
		if !update {
			return time.Time{}, false, model.NewError(model.ErrInvalid, "a create or upsert cannot keep an expiry", nil)
		}
		return time.Time{}, true, nil
	case expiryAt:
		if e.at.IsZero() {
			return time.Time{}, false, model.NewError(model.ErrInvalid, "the expiry is the zero time; use Never for no expiry", nil)
		}
		return model.Millis(e.at), false, nil
	case expiryAfter:
		if e.d <= 0 {
			return time.Time{}, false, model.NewError(model.ErrInvalid, "the lifetime must be positive", nil)
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

// WriteOptions are the options of one write. Nil means the defaults.
type WriteOptions struct {
	// Expiry of the record. Zero means the store's TTL for Create and Upsert,
	// and Keep for updates.
	Expiry Expiry
	// Labels of the record: declared names, values of 1 to 256 bytes. Nil
	// means none for Create and Upsert, and the stored ones for updates. An
	// empty map means none.
	Labels map[string]string
	// IfMatch makes an update a compare-and-set: ErrConflict is returned if
	// the record has another revision. It is not for Create and Upsert.
	IfMatch *Known
}

// TouchOptions are the options of a Touch. Nil means the defaults.
type TouchOptions struct {
	// Extend never shortens the record's life, and leaves a record that never
	// expires as it is.
	Extend bool
	// IfMatch touches only that revision: ErrConflict is returned if the record
	// has another one. So a lease is extended by its holder alone.
	IfMatch *Known
	// Known is what the caller knows of the record. It saves a round trip on
	// some backends and decides nothing.
	Known *Known
}

// DeleteOptions are the options of a Delete. Nil means the defaults.
type DeleteOptions struct {
	// IfMatch deletes only that revision: ErrConflict is returned if the record
	// has another one.
	IfMatch *Known
	// Known is what the caller knows of the record. It saves a round trip on
	// some backends and decides nothing.
	Known *Known
}

// ListOptions choose the records of a listing. Nil means all of them.
type ListOptions struct {
	Label, Value string // only records with that label value
	KeysOnly     bool   // leave out the values
	PageSize     int    // records per round trip, 1 to 1000; zero means 100
	After        string // for Page: the Next of the page before
}

// SweepOptions are the options of a DeleteExpired. Nil means the defaults.
type SweepOptions struct {
	// Limit is the largest number of records that one call removes. Zero means
	// 1000.
	Limit int
	// OnExpire sees every record before its removal, at least once, with ID,
	// Revision, ExpiresAt and Labels. A record stays if OnExpire returns an
	// error for it, and the sweep goes on.
	OnExpire func(model.Record) error
}
