package model

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"time"
)

// Revision identifies one value of one record. Each write gets a new random one.
// Revisions are equal or not; they have no order. The zero Revision identifies
// nothing and is ErrInvalid as a condition, so that a lost revision never means
// "no check".
type Revision [16]byte

// NewRevision returns a new random revision. [crypto/rand.Read] does not fail.
func NewRevision() Revision {
	var r Revision
	_, _ = rand.Read(r[:])
	return r
}

// IsZero reports whether r is the zero Revision.
func (r Revision) IsZero() bool { return r == Revision{} }

// String returns 32 lower-case hexadecimal digits.
func (r Revision) String() string { return hex.EncodeToString(r[:]) }

// MarshalText returns the text of String.
func (r Revision) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText decodes what MarshalText returned. It returns ErrInvalid for
// other text.
func (r *Revision) UnmarshalText(text []byte) error {
	var out Revision
	if len(text) != 2*len(out) {
		return NewError(ErrInvalid, "a revision must have 32 hexadecimal digits", nil)
	}
	if _, err := hex.Decode(out[:], text); err != nil {
		return NewError(ErrInvalid, "a revision must have 32 hexadecimal digits", nil)
	}
	*r = out
	return nil
}

// ParseRevision decodes what String returned. It returns ErrInvalid for other
// text.
func ParseRevision(s string) (Revision, error) {
	var r Revision
	err := r.UnmarshalText([]byte(s))
	return r, err
}

// Record is a record as a backend keeps it. It belongs to whoever receives it:
// neither side keeps or changes memory that the other side can see.
type Record struct {
	ID       string   // 1 to 512 bytes of UTF-8 without NUL
	Revision Revision // new with each write; kept by Touch

	// ServerVersion is the server's own name of the stored version, such as an
	// ETag or a sequence number. It saves round trips, may be stale, and never
	// decides. It is empty if the backend does not use it.
	ServerVersion string

	ExpiresAt time.Time         // zero: never; else whole milliseconds, UTC
	Labels    map[string]string // declared names; values of 1 to 256 bytes
	Value     []byte            // encoded, opaque to the backend
	Encoding  string            // the codec's name: "json", "gob", …
}

// Expired reports whether the record has expired at now: from ExpiresAt on. A
// record with a zero ExpiresAt never expires.
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
