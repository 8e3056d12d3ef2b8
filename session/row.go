package session

import (
	"cmp"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
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

	Hash      []byte  `json:"hash"`                // of the secret in force
	HashKey   string  `json:"hashKey,omitempty"`   // the key that peppered it
	Prev      []byte  `json:"prev,omitempty"`      // of the one before a periodic rotation
	PrevKey   string  `json:"prevKey,omitempty"`   // the key that peppered it
	PrevUntil instant `json:"prevUntil,omitempty"` // zero: until the new one is first presented
	RotatedAt instant `json:"rotatedAt"`

	CreatedAt       instant `json:"createdAt"`
	AuthenticatedAt instant `json:"authenticatedAt,omitempty"`
	WrittenAt       instant `json:"writtenAt"`
	Absolute        instant `json:"absolute,omitempty"` // the deadline; zero: none
	Idle            int64   `json:"idle,omitempty"`     // milliseconds; zero: no limit
	Life            int64   `json:"life,omitempty"`     // milliseconds, its own; zero: the policy's
	NotAfter        instant `json:"notAfter,omitempty"` // caps Absolute, whatever else moves it

	Principal string     `json:"principal,omitempty"`
	Level     int        `json:"level,omitempty"`
	Elevated  *elevation `json:"elevated,omitempty"`
	Actor     *actor     `json:"actor,omitempty"`
	SID       string     `json:"sid,omitempty"`
	Client    Client     `json:"client,omitzero"`
	Name      string     `json:"name,omitempty"`

	Data    values `json:"data,omitempty"`
	SealKey string `json:"sealKey,omitempty"` // the key that sealed Data
	Sealed  []byte `json:"sealed,omitempty"`
}

// instant is a time in milliseconds since 1970; zero: none.
type instant int64

// instantOf rounds up, as expiries do.
func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(model.Millis(t).UnixMilli())
}

func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(i)).UTC()
}

// elevation is never changed, only replaced: rows that were read share it.
type elevation struct {
	Level int     `json:"level"`
	At    instant `json:"at"`
	Until instant `json:"until"`
}

// actor is who impersonates the row's principal.
type actor struct {
	ID     string `json:"id"`
	Handle string `json:"handle"` // of the actor's own session
	Reason string `json:"reason"`
}

// match says which of the row's secrets a hash belongs to.
type match uint8

const (
	matchNone    match = iota
	matchUnkeyed       // the key that peppered it is not in the ring
	matchRetired
	matchPrevious
	matchCurrent
)

// match compares in constant time, both hashes in every case.
func (s *Service) match(r *row, t *token, now time.Time) match {
	hash := s.hashUnder(t, r.HashKey)
	current, previous := equalHash(hash, r.Hash), equalHash(s.hashUnder(t, r.PrevKey), r.Prev)
	switch {
	case current:
		return matchCurrent
	case previous && (r.PrevUntil == 0 || now.Before(r.PrevUntil.time())):
		return matchPrevious
	case previous:
		return matchRetired
	case hash == nil:
		return matchUnkeyed
	}
	return matchNone
}

func (r *row) idle() time.Duration { return time.Duration(r.Idle) * time.Millisecond }

// deadline is the expiry of the row for a use at now; zero is impossible, since
// one of the two limits is in force.
func (r *row) deadline(now time.Time) time.Time {
	absolute := r.Absolute.time()
	if r.Idle == 0 {
		return absolute
	}
	at := now.Add(r.idle())
	if r.Absolute != 0 && absolute.Before(at) {
		return absolute
	}
	return at
}

// setAbsolute derives the absolute deadline from the sign-in, or else from the
// creation.
func (r *row) setAbsolute(policy time.Duration) {
	base := cmp.Or(r.AuthenticatedAt, r.CreatedAt)
	life := policy
	if r.Life > 0 {
		life = time.Duration(r.Life) * time.Millisecond
	}
	r.Absolute = 0
	if life > 0 {
		r.Absolute = instantOf(base.time().Add(life))
	}
	if r.NotAfter != 0 && (r.Absolute == 0 || r.NotAfter < r.Absolute) {
		r.Absolute = r.NotAfter
	}
}

// level is what the sign-in gave or an elevation that is in force.
func (r *row) level(now time.Time) int {
	if e := r.Elevated; e != nil && now.Before(e.Until.time()) {
		return max(r.Level, e.Level)
	}
	return r.Level
}

// provedAt is when the principal last proved who they are.
func (r *row) provedAt() time.Time {
	if e := r.Elevated; e != nil && e.At > r.AuthenticatedAt {
		return e.At.time()
	}
	return r.AuthenticatedAt.time()
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
	return r.Absolute != 0 && !now.Before(r.Absolute.time())
}

// Info is a session as lists and logs may show it: it holds no secret.
type Info struct {
	// Handle names the session in lists and logs. It is public: it gives no
	// access.
	Handle    string
	Principal string // empty: anonymous
	Level     int    // as given at sign-in, or of an elevation in force
	Client    Client // at creation or the last reauthentication
	Name      string // as given by Service.Rename
	SID       string // as given at sign-in

	// Actor is who impersonates the principal, and ActorReason why; empty:
	// nobody.
	Actor, ActorReason string
	// ElevatedUntil ends the elevation that Level is of. Zero: there is none.
	ElevatedUntil time.Time

	CreatedAt       time.Time
	AuthenticatedAt time.Time // zero: anonymous
	// ProvedAt is when the principal last proved who they are: at sign-in,
	// with Reauthenticate or with Elevate. Zero: anonymous.
	ProvedAt time.Time
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

func infoOf(it *expiry.Item[row], now time.Time) Info {
	r := &it.Value
	info := Info{
		Handle: it.ID, Principal: r.Principal, Level: r.level(now), Client: r.Client, Name: r.Name, SID: r.SID,
		CreatedAt: r.CreatedAt.time(), AuthenticatedAt: r.AuthenticatedAt.time(), ProvedAt: r.provedAt(),
		LastSeen: r.WrittenAt.time(), AbsoluteDeadline: r.Absolute.time(),
	}
	if r.Actor != nil {
		info.Actor, info.ActorReason = r.Actor.ID, r.Actor.Reason
	}
	if r.Elevated != nil && now.Before(r.Elevated.Until.time()) {
		info.ElevatedUntil = r.Elevated.Until.time()
	}
	if r.Idle > 0 {
		info.IdleDeadline = it.ExpiresAt
		if seen := it.ExpiresAt.Add(-r.idle()); seen.After(info.LastSeen) {
			info.LastSeen = seen
		}
	}
	return info
}
