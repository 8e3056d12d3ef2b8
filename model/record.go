package model

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"time"
)

// Revision names one value of one record. It is random, minted for each write,
// and compared for identity only: revisions have no order. The zero Revision
// names nothing; as a condition it is ErrInvalid, so that a lost revision can
// never come to mean "no check".
type Revision [16]byte

// NewRevision mints a revision. [crypto/rand.Read] cannot fail since Go 1.24.
func NewRevision() Revision {
	var r Revision
	_, _ = rand.Read(r[:])
	return r
}

// IsZero reports whether r names nothing.
func (r Revision) IsZero() bool { return r == Revision{} }

// String returns 32 lower-case hexadecimal digits.
func (r Revision) String() string { return hex.EncodeToString(r[:]) }

// MarshalText encodes r as String does.
func (r Revision) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts what MarshalText produces, else ErrInvalid.
func (r *Revision) UnmarshalText(text []byte) error {
	var out Revision
	if len(text) != 2*len(out) {
		return NewError(ErrInvalid, "a revision has 32 hexadecimal digits", nil)
	}
	if _, err := hex.Decode(out[:], text); err != nil {
		return NewError(ErrInvalid, "a revision has 32 hexadecimal digits", nil)
	}
	*r = out
	return nil
}

// ParseRevision is UnmarshalText for a string.
func ParseRevision(s string) (Revision, error) {
	var r Revision
	err := r.UnmarshalText([]byte(s))
	return r, err
}

// Record is what crosses between the front and a backend. A record handed to a
// backend or returned by one belongs to the receiver: neither side keeps or
// changes memory that the other can see.
type Record struct {
	ID       string   // 1 to 512 bytes of UTF-8 without NUL
	Revision Revision // minted by the front at each write; kept by Touch

	// Hint is the backend's own word for the stored version (an ETag, a
	// sequence number). It saves a round trip, may be stale, and is never
	// identity. Backends without a use for it leave it empty.
	ServerVersion string

	ExpiresAt time.Time         // zero: never; else whole milliseconds, UTC
	Labels    map[string]string // declared names; values of 1 to 256 bytes
	Value     []byte            // encoded by the front, opaque to the backend
	Encoding  string            // the codec's name: "json", "gob", …
}

// Expired reports whether the record is gone at now: from the instant
// ExpiresAt on, and never where ExpiresAt is zero.
func (r Record) Expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}

// Clone returns a deep copy.
func (r Record) Clone() Record {
	c := r
	c.Labels = maps.Clone(r.Labels)
	if r.Value != nil {
		c.Value = append(make([]byte, 0, len(r.Value)), r.Value...)
	}
	return c
}

// Head returns a deep copy without the value.
func (r Record) Head() Record {
	c := r
	c.Labels = maps.Clone(r.Labels)
	c.Value = nil
	return c
}
