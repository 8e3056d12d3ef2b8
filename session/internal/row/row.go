package row

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Version is the newest format. The formats from 1 to Version are read. Of a
// newer row only this is known: which secrets open it, and whether it is a marker.
// The fields up to RetiredUntil, CreatedAt and Gone keep their meaning in every
// version.
const Version = 3

// versionJSON is the newest format that is stored as JSON. Its fields are those
// of version 3.
const versionJSON = 2

// Markers is the number of values that the label "principal" of markers has.
// There are several because some stores bound the rate of writes under one
// value.
const Markers = 16

// markerPrefix begins the label of a marker.
const markerPrefix = "\x1fended"

// MarkerLabel returns the value with the number n of the label of markers.
func MarkerLabel(n int) string { return markerPrefix + string(rune('a'+n)) }

// MarkerLabelOf returns the value of the marker with the handle.
func MarkerLabelOf(handle string) string {
	n := 0
	for _, c := range []byte(handle) {
		n += int(c)
	}
	return MarkerLabel(n % Markers)
}

// IsMarkerLabel reports whether a value of the label "principal" is that of
// markers. No principal can have it.
func IsMarkerLabel(value string) bool { return strings.HasPrefix(value, markerPrefix) }

// Row is what the store keeps of a session. The owner of a row never changes:
// a sign-in creates another row. So the labels of a row never change either.
//
// The record's own expiry is the earlier of the idle and the absolute deadline.
// A touch moves it without writing the row. So the row stores neither the idle
// deadline nor the time of last use: both follow from the record's expiry.
type Row struct {
	Version int `json:"v"`

	Hash          []byte  `json:"hash,omitempty"`         // of the current secret
	HashKey       string  `json:"hashKey,omitempty"`      // id of the seal key that peppers Hash
	Previous      []byte  `json:"prev,omitempty"`         // hash of the secret before a periodic rotation
	PreviousKey   string  `json:"prevKey,omitempty"`      // id of the seal key that peppers Previous
	PreviousUntil Instant `json:"prevUntil,omitempty"`    // zero: until the client presents the new secret
	Retired       []byte  `json:"retired,omitempty"`      // hashes of secrets that were replaced, one after the other, the last one first
	RetiredKey    string  `json:"retiredKey,omitempty"`   // id of the seal key that peppers Retired
	RetiredUntil  Instant `json:"retiredUntil,omitempty"` // end of the time in which its bearer is a straggler
	Salt          []byte  `json:"salt,omitempty"`         // makes the current secret from the previous one, until it is presented
	RotatedAt     Instant `json:"rotatedAt,omitempty"`

	CreatedAt       Instant `json:"createdAt,omitempty"`
	AuthenticatedAt Instant `json:"authenticatedAt,omitempty"`
	WrittenAt       Instant `json:"writtenAt,omitempty"`
	Absolute        Instant `json:"absolute,omitempty"` // deadline; zero means no limit
	Idle            int64   `json:"idle,omitempty"`     // milliseconds; zero means no limit
	Life            int64   `json:"life,omitempty"`     // milliseconds; zero means the policy's limit
	NotAfter        Instant `json:"notAfter,omitempty"` // upper bound of Absolute
	Parked          Instant `json:"parked,omitempty"`   // no secret opens it until EndImpersonation, or until then

	Views int64 `json:"views,omitempty"` // how often the detached views were ended

	Principal   string            `json:"principal,omitempty"`
	Level       int               `json:"level,omitempty"`
	Elevated    *Elevation        `json:"elevated,omitempty"`
	Actor       *Actor            `json:"actor,omitempty"`
	SID         string            `json:"sid,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"` // the program's own; never changed in place
	Client      Client            `json:"client,omitzero"`
	Name        string            `json:"name,omitempty"`
	Persistence int               `json:"persist,omitempty"` // of the client's cookie

	// Gone makes the row a marker: its session has ended, for this reason. A
	// marker has nothing else but Version, MACKey and MAC.
	Gone string `json:"gone,omitempty"`

	Data    Values `json:"data,omitempty"`
	SealKey string `json:"sealKey,omitempty"` // id of the seal key that encrypts Data into Sealed
	Sealed  []byte `json:"sealed,omitempty"`
	MACKey  string `json:"macKey,omitempty"` // id of the seal key of MAC
	MAC     []byte `json:"mac,omitempty"`    // of all other fields and the handle
}

// Client is the program that presents the session, as stored.
type Client struct {
	UserAgent string     `json:"userAgent,omitempty"`
	Address   netip.Addr `json:"address,omitzero"`
}

// Elevation is a level for a limited time. Rows share it, so it is replaced and
// never changed.
type Elevation struct {
	Level int        `json:"level"`
	At    Instant    `json:"at"`
	Until Instant    `json:"until"`
	Then  *Elevation `json:"then,omitempty"` // one of a lower level that ends later
}

// Actor is the principal who impersonates the row's principal.
type Actor struct {
	ID     string `json:"id"`
	Handle string `json:"handle"` // of the actor's own session
	Reason string `json:"reason"`
}

// Instant is a time in milliseconds since 1970. Zero means no time.
type Instant int64

// InstantOf rounds t up to whole milliseconds, as expiries do.
func InstantOf(t time.Time) Instant {
	if t.IsZero() {
		return 0
	}
	return Instant(model.Millis(t).UnixMilli())
}

// Time returns the instant in UTC. It returns the zero time for zero.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(i)).UTC()
}

// remembered is how many replaced secrets a row knows, beside Previous.
const remembered = 3

// Remember adds the hash of a secret that was replaced to Retired. Those under
// another seal key are forgotten, since there is one RetiredKey.
func (r *Row) Remember(hash []byte, keyID string) {
	if len(hash) == 0 {
		return
	}
	out := append(make([]byte, 0, remembered*len(hash)), hash...)
	if r.RetiredKey == keyID {
		out = append(out, r.Retired[:min(len(r.Retired), (remembered-1)*len(hash))]...)
	}
	r.Retired, r.RetiredKey = out, keyID
}

// IdleLimit returns the idle limit. Zero means no limit.
func (r *Row) IdleLimit() time.Duration { return time.Duration(r.Idle) * time.Millisecond }

// Deadline returns the record's expiry after a use at now. It is never zero: at
// least one of the two limits is in force.
func (r *Row) Deadline(now time.Time) time.Time {
	absolute := r.Absolute.Time()
	if r.Idle == 0 {
		return absolute
	}
	at := now.Add(r.IdleLimit())
	if r.Absolute != 0 && absolute.Before(at) {
		return absolute
	}
	return at
}

// SetAbsolute derives the absolute deadline from the sign-in, or from the
// creation if there was no sign-in here: a row that no secret opens belongs to
// an identity of another authenticator. The row's own lifetime replaces the
// policy's. Zero for both means no limit.
func (r *Row) SetAbsolute(policy time.Duration) {
	base := cmp.Or(r.AuthenticatedAt, r.CreatedAt)
	if len(r.Hash) == 0 {
		base = r.CreatedAt
	}
	life := policy
	if r.Life > 0 {
		life = time.Duration(r.Life) * time.Millisecond
	}
	r.Absolute = 0
	if life > 0 {
		r.Absolute = InstantOf(base.Time().Add(life))
	}
	if r.NotAfter != 0 && (r.Absolute == 0 || r.NotAfter < r.Absolute) {
		r.Absolute = r.NotAfter
	}
}

// Elevation returns the elevation in force, the highest if there are several, or
// nil.
func (r *Row) Elevation(now time.Time) *Elevation {
	e := r.Elevated
	for e != nil && !now.Before(e.Until.Time()) {
		e = e.Then
	}
	return e
}

// Elevate adds an elevation. It replaces one of its level, and those of lower
// levels that end no later. A higher one stays in force until its end. If that is
// no earlier than the new one's, it only gets the new time of proof.
func (r *Row) Elevate(e Elevation, now time.Time) {
	r.Elevated = r.Elevation(now).with(e)
}

// with returns a list that has e too. Lists are shared, so it is a new one.
func (l *Elevation) with(e Elevation) *Elevation {
	switch {
	case l != nil && l.Level > e.Level && l.Until >= e.Until:
		return &Elevation{l.Level, e.At, l.Until, l.Then}
	case l != nil && l.Level > e.Level:
		return &Elevation{l.Level, l.At, l.Until, l.Then.with(e)}
	}
	for l != nil && (l.Level == e.Level || l.Until <= e.Until) {
		l = l.Then
	}
	e.Then = l
	return &e
}

// LevelAt returns the level of the sign-in, or of an elevation in force if that
// is higher.
func (r *Row) LevelAt(now time.Time) int {
	if e := r.Elevation(now); e != nil {
		return max(r.Level, e.Level)
	}
	return r.Level
}

// ProvedAt returns when the principal last proved who they are.
func (r *Row) ProvedAt() time.Time {
	at := r.AuthenticatedAt
	for e := r.Elevated; e != nil; e = e.Then {
		at = max(at, e.At)
	}
	return at.Time()
}

// Due reports whether a use at now moves the record's expiry, and returns the
// new expiry. The deadline moves at most once in the duration every. The check
// uses the time since the last move and not the size of the move: near the
// absolute deadline a move is smaller than a full step.
func (r *Row) Due(now, expiresAt time.Time, every time.Duration) (time.Time, bool) {
	if r.Idle == 0 {
		return time.Time{}, false
	}
	at := r.Deadline(now)
	moved := expiresAt.Add(-r.IdleLimit())
	return at, at.After(expiresAt) && now.Sub(moved) >= every
}

// Expired reports whether the absolute deadline has passed. It catches records
// that expire after their absolute deadline, which package session never
// writes.
func (r *Row) Expired(now time.Time) bool {
	return r.Absolute != 0 && !now.Before(r.Absolute.Time())
}
