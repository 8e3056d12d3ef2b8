package session

import "fmt"

// Limit bounds the number of sessions of one principal. SignIn checks it after
// the new row is stored, against a listing, and ends others after it has
// succeeded. All nodes agree on the order. So no more than Max sessions are left
// when concurrent sign-ins have returned, unless the store failed to end one.
// That is logged, and the next sign-in ends it.
//
// The sessions that the sign-in ends, of all tokens that its client brings, do not
// count. Nor do those that nobody can open: those authenticated before
// Options.NotBefore or NotBeforeSID, and an actor's own session during an
// impersonation. So EndImpersonation can lead to one session too many, until the
// next sign-in. Impersonations of the principal and sessions of OpenFor do not
// count either.
type Limit struct {
	// Max is the number of sessions that a principal can have. Zero means no
	// limit.
	Max int
	// On says what happens at the limit.
	On OnLimit
}

// OnLimit says what happens to a sign-in if the limit is reached.
type OnLimit uint8

const (
	// OnLimitEvictOldest ends the session that was signed in first, in the
	// order of (CreatedAt, handle). A new session is later than all others. It
	// is refused with ErrLimit only if Max others are signed in within the time
	// of its own sign-in.
	OnLimitEvictOldest OnLimit = iota
	// OnLimitEvictIdlest ends the session with the oldest LastSeen. If the
	// sessions are in use during a sign-in, one too many may end. Without an
	// idle limit LastSeen moves as Policy.SeenEvery says.
	OnLimitEvictIdlest
	// OnLimitReject refuses the sign-in with ErrLimit. Of two concurrent
	// sign-ins it refuses the later by (CreatedAt, handle). That one may
	// already have returned, if its row reached the store first. Its session
	// ends then.
	OnLimitReject
)

// String returns "EvictOldest", "EvictIdlest" or "Reject".
func (o OnLimit) String() string {
	switch o {
	case OnLimitEvictOldest:
		return "EvictOldest"
	case OnLimitEvictIdlest:
		return "EvictIdlest"
	case OnLimitReject:
		return "Reject"
	}
	return "unknown"
}

// String returns "at most 5 sessions, then EvictOldest", for a security review.
func (l Limit) String() string {
	if l.Max == 0 {
		return "any number of sessions"
	}
	return fmt.Sprintf("at most %d sessions, then %s", l.Max, l.On)
}
