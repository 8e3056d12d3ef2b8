package session

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry"
)

// rowVersion is the newest format of a row that this version reads.
const rowVersion = 1

// row is what the store keeps of a session. The owner of a row never changes:
// a sign-in makes another row, so its label never does either.
//
// The row's own expiry is the earlier of the idle and the absolute deadline. A
// touch moves it without writing the row, so the idle deadline and the time of
// last use are derived from it and are nowhere in here.
type row struct {
	Version int `json:"v"`

	Hash      []byte    `json:"hash"`               // of the secret in force
	Prev      []byte    `json:"prev,omitempty"`     // of the one before a periodic rotation
	PrevUntil time.Time `json:"prevUntil,omitzero"` // zero: until the new one is first presented
	RotatedAt time.Time `json:"rotatedAt"`

	CreatedAt       time.Time `json:"createdAt"`
	AuthenticatedAt time.Time `json:"authenticatedAt,omitzero"`
	WrittenAt       time.Time `json:"writtenAt"`
	Absolute        time.Time `json:"absolute,omitzero"` // the deadline; zero: none
	Idle            int64     `json:"idle,omitempty"`    // milliseconds; zero: no limit

	Principal string `json:"principal,omitempty"`
	Level     int    `json:"level,omitempty"`
	Client    Client `json:"client,omitzero"`

	Data map[string]json.RawMessage `json:"data,omitempty"`
}

// Client is what is known of the program at the other end, for lists of one's
// own devices. It is a claim of the client and proves nothing.
type Client struct {
	UserAgent string `json:"userAgent,omitempty"` // cut after 256 bytes
}

const maxUserAgent = 256

func (c Client) trimmed() Client {
	s := c.UserAgent
	if len(s) > maxUserAgent {
		s = s[:maxUserAgent]
	}
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return Client{UserAgent: s}
}

// match says which of the row's secrets a hash belongs to.
type match uint8

const (
	matchNone match = iota
	matchRetired
	matchPrevious
	matchCurrent
)

// match compares in constant time, both hashes in every case.
func (r *row) match(hash []byte, now time.Time) match {
	current, previous := equalHash(hash, r.Hash), equalHash(hash, r.Prev)
	switch {
	case current:
		return matchCurrent
	case previous && (r.PrevUntil.IsZero() || now.Before(r.PrevUntil)):
		return matchPrevious
	case previous:
		return matchRetired
	}
	return matchNone
}

func (r *row) idle() time.Duration { return time.Duration(r.Idle) * time.Millisecond }

// deadline is the expiry of the row for a use at now; zero is impossible, since
// one of the two limits is in force.
func (r *row) deadline(now time.Time) time.Time {
	if r.Idle == 0 {
		return r.Absolute
	}
	at := now.Add(r.idle())
	if !r.Absolute.IsZero() && r.Absolute.Before(at) {
		return r.Absolute
	}
	return at
}

// due reports whether a use at now moves the expiry in force, and where to. It
// asks how long ago the deadline last moved rather than how far it would move:
// near the absolute deadline it moves less than a full step, once.
func (r *row) due(now, expiresAt time.Time, every time.Duration) (time.Time, bool) {
	if r.Idle == 0 {
		return time.Time{}, false
	}
	at := r.deadline(now)
	moved := expiresAt.Add(-r.idle())
	return at, at.After(expiresAt) && now.Sub(moved) >= every
}

// expired is for rows whose expiry lies beyond their absolute deadline, which
// no write of this package leaves behind.
func (r *row) expired(now time.Time) bool {
	return !r.Absolute.IsZero() && !now.Before(r.Absolute)
}

// Info is a session as lists and logs may show it: it holds no secret.
type Info struct {
	// Handle names the session in lists and logs. It is public: it gives no
	// access.
	Handle    string
	Principal string // empty: anonymous
	Level     int    // as given at sign-in
	Client    Client // at creation

	CreatedAt       time.Time
	AuthenticatedAt time.Time // zero: anonymous
	// LastSeen is when the session was last written or its idle deadline last
	// moved: up to Policy.TouchEvery before its last use. Once the idle
	// deadline has reached the absolute one it no longer advances with mere
	// reading.
	LastSeen time.Time
	// IdleDeadline ends the session unless it is used before; never later
	// than AbsoluteDeadline. Zero: no such limit.
	IdleDeadline time.Time
	// AbsoluteDeadline ends it whatever happens. Zero: no such limit.
	AbsoluteDeadline time.Time
}

// ExpiresAt is the earlier of the two deadlines.
func (i Info) ExpiresAt() time.Time {
	if i.IdleDeadline.IsZero() {
		return i.AbsoluteDeadline
	}
	return i.IdleDeadline
}

func infoOf(it *expiry.Item[row]) Info {
	r := &it.Value
	info := Info{
		Handle: it.ID, Principal: r.Principal, Level: r.Level, Client: r.Client,
		CreatedAt: r.CreatedAt, AuthenticatedAt: r.AuthenticatedAt,
		LastSeen: r.WrittenAt, AbsoluteDeadline: r.Absolute,
	}
	if r.Idle > 0 {
		info.IdleDeadline = it.ExpiresAt
		if seen := it.ExpiresAt.Add(-r.idle()); seen.After(info.LastSeen) {
			info.LastSeen = seen
		}
	}
	return info
}
