package session

import (
	"log/slog"
	"time"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// EventKind says what happened to a session.
type EventKind uint8

// The kinds of events. EventDestroyed, which has a Reason, and EventExpired end
// a session.
const (
	_                       EventKind = iota
	EventCreated                      // an anonymous session was stored
	EventSignedIn                     // Previous is the handle that it replaced
	EventRotated                      // a new secret, periodic or by Rotate
	EventRenewed                      // the idle deadline moved
	EventReauthenticated              // the principal proved again who they are
	EventElevated                     // Level is the new level
	EventImpersonated                 // Actor acts as Principal; Previous is the actor's session
	EventImpersonationEnded           // the actor's session is in use again
	EventExpired                      // found by the sweep: at least once, on any node
	EventDestroyed                    // ended before its expiry
	EventRejected                     // a token that opens nothing, or a sign-in that was refused
	EventConflict                     // another request changed the session meanwhile
	EventAnomaly                      // something that an honest client does not do
)

var eventNames = [...]string{
	EventCreated: "created", EventSignedIn: "signed in", EventRotated: "rotated", EventRenewed: "renewed",
	EventReauthenticated: "reauthenticated", EventElevated: "elevated", EventImpersonated: "impersonated",
	EventImpersonationEnded: "impersonation ended", EventExpired: "expired", EventDestroyed: "destroyed",
	EventRejected: "rejected", EventConflict: "conflict", EventAnomaly: "anomaly",
}

// String returns the kind in words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return "unknown"
}

// Reason says why an event happened. Most kinds of events have no reason.
type Reason string

// The reasons of EventDestroyed.
const (
	ReasonSignOut            Reason = "sign-out"
	ReasonDestroyed          Reason = "destroyed"           // by one of the Destroy methods
	ReasonEvicted            Reason = "evicted by a limit"  // by Options.Limit
	ReasonBinder             Reason = "refused by binder"   // Options.Binder returned DecisionDestroy
	ReasonImpersonationEnded Reason = "impersonation ended" // by EndImpersonation
	ReasonReused             Reason = "secret used again"   // by Options.OnReuse
	ReasonReplaced           Reason = "replaced"            // by a sign-in; there is no event
)

// The reasons of EventRejected, EventConflict and EventAnomaly.
const (
	ReasonMalformed      Reason = "a malformed token"
	ReasonNoSuchSession  Reason = "no such session"
	ReasonWrongSecret    Reason = "a wrong secret"
	ReasonRetiredSecret  Reason = "a secret that was rotated away"
	ReasonEnded          Reason = "a session that has ended"
	ReasonReplacedSecret Reason = "a secret that has just been replaced"
	ReasonOtherPrincipal Reason = "an identity whose session is another principal's"
	ReasonSeveral        Reason = "more than one valid token"
	ReasonUnsigned       Reason = "a row without a MAC"
	ReasonForged         Reason = "a row that was changed in the store"
	ReasonUnreadable     Reason = "a row that cannot be read"
	ReasonNewerVersion   Reason = "a row written by a newer version"
	ReasonUnknownSealKey Reason = "a row under a seal key that is not in the keyring"
	ReasonTooOld         Reason = "authenticated before NotBefore"
	ReasonActorGone      Reason = "the impersonating session has ended"
	ReasonLimitReached   Reason = "the principal has too many sessions"
	ReasonMerged         Reason = "merged"
	ReasonRefused        Reason = "refused"
	ReasonClientChanged  Reason = "another program presents the session"
)

// Event is something that happened to a session. It has the public handle and
// never a token.
type Event struct {
	Kind      EventKind
	Reason    Reason
	Time      time.Time // by the service's clock
	Handle    string    // empty if the session has none
	Previous  string    // the handle before, with EventSignedIn and the impersonation events
	Principal string    // empty if anonymous or unknown
	Actor     string    // who impersonates the principal, or empty
	Level     int
}

// Attrs returns the event's attributes for package slog, without empty ones.
func (e Event) Attrs() []slog.Attr {
	out := []slog.Attr{slog.String("event", e.Kind.String())}
	for _, a := range []struct{ key, value string }{
		{"reason", string(e.Reason)}, {"handle", e.Handle}, {"previous", e.Previous},
		{"principal", e.Principal}, {"actor", e.Actor},
	} {
		if a.value != "" {
			out = append(out, slog.String(a.key, a.value))
		}
	}
	if e.Level != 0 {
		out = append(out, slog.Int("level", e.Level))
	}
	return out
}

// LogValue returns a group of Attrs.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.Attrs()...) }

// eventOf returns an event about a row.
func eventOf(k EventKind, handle string, r *row.Row) Event {
	e := Event{Kind: k, Handle: handle, Principal: r.Principal, Level: r.Level}
	if r.Actor != nil {
		e.Actor = r.Actor.ID
	}
	return e
}
