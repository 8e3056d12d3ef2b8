package session

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// item is a session's row as the store returns it.
type item = expiry.Item[row.Row]

// Info describes a session for lists and logs. It has no secret.
type Info struct {
	// Handle names the session in lists and logs. It is public and gives no
	// access.
	Handle    string
	Principal string // empty if anonymous
	Level     int    // of the sign-in, or of an elevation in force
	Client    Client // at creation or the last reauthentication
	Name      string // set by Service.Rename
	SID       string // of SignInOptions

	// Actor is the principal who impersonates this one, and ActorReason says
	// why. Both are empty without an impersonation.
	Actor, ActorReason string
	// ElevatedUntil is the end of the elevation in force, the highest if there are
	// several. It is zero without one.
	ElevatedUntil time.Time

	CreatedAt       time.Time
	AuthenticatedAt time.Time // zero if anonymous
	// ProvedAt is when the principal last proved who they are: at sign-in, by
	// Reauthenticate or by Elevate. It is zero for an anonymous session.
	ProvedAt time.Time
	// LastSeen is when the session was last written or its idle deadline last
	// moved, up to Policy.TouchEvery before its last use. Without an idle limit,
	// and when the idle deadline has reached the absolute one, reads move it
	// only as Policy.SeenEvery says.
	LastSeen time.Time
	// IdleDeadline ends the session unless it is used before. It is never later
	// than AbsoluteDeadline. Zero means no idle limit.
	IdleDeadline time.Time
	// AbsoluteDeadline ends the session, used or not. Zero means no absolute
	// limit.
	AbsoluteDeadline time.Time

	// labels has each name and value with a NUL after it, so that Infos can be
	// compared.
	labels string
}

// Label returns the value of one of SignInOptions.Labels. It returns "" if the
// session does not have the label.
func (i Info) Label(name string) string {
	list := strings.Split(i.labels, "\x00")
	for at := 0; at+1 < len(list); at += 2 {
		if list[at] == name {
			return list[at+1]
		}
	}
	return ""
}

func labelText(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(name + "\x00" + labels[name] + "\x00")
	}
	return b.String()
}

// ExpiresAt returns the earlier of the two deadlines.
func (i Info) ExpiresAt() time.Time {
	if i.IdleDeadline.IsZero() {
		return i.AbsoluteDeadline
	}
	return i.IdleDeadline
}

func infoOf(it *item, now time.Time) Info {
	r := &it.Value
	info := Info{
		Handle: it.ID, Principal: r.Principal, Level: r.LevelAt(now), Client: Client(r.Client), Name: r.Name, SID: r.SID,
		CreatedAt: r.CreatedAt.Time(), AuthenticatedAt: r.AuthenticatedAt.Time(), ProvedAt: r.ProvedAt(),
		LastSeen: r.WrittenAt.Time(), AbsoluteDeadline: r.Absolute.Time(),
	}
	if len(r.Labels) > 0 {
		info.labels = labelText(r.Labels)
	}
	if r.Actor != nil {
		info.Actor, info.ActorReason = r.Actor.ID, r.Actor.Reason
	}
	if e := r.Elevation(now); e != nil {
		info.ElevatedUntil = e.Until.Time()
	}
	if r.Idle > 0 {
		info.IdleDeadline = it.ExpiresAt
		if seen := it.ExpiresAt.Add(-r.IdleLimit()); seen.After(info.LastSeen) {
			info.LastSeen = seen
		}
	}
	return info
}
