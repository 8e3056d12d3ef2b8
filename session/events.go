package session

import (
	"context"
	"log/slog"
	"time"
)

// EventKind is what happened to a session.
type EventKind uint8

// The kinds of events. Those that end a session are Destroyed, with a Reason,
// and Expired.
const (
	_                  EventKind = iota
	Created                      // an anonymous session was stored
	SignedIn                     // Previous is the handle that it replaced
	Rotated                      // a new secret, periodic or asked for
	Renewed                      // the idle deadline moved
	Reauthenticated              // the principal proved once more who they are
	Elevated                     // Level is the one gained
	Impersonated                 // Actor acts as Principal; Previous is the actor's session
	ImpersonationEnded           // back to the actor's session
	Expired                      // found by the sweep: at least once, on any of the nodes
	Destroyed                    // ended before its time
	Rejected                     // a credential that is not served, or a sign-in that is refused
	Conflict                     // another request changed the session meanwhile
	Anomaly                      // what an honest client does not do
)

var eventNames = [...]string{
	Created: "created", SignedIn: "signed in", Rotated: "rotated", Renewed: "renewed",
	Reauthenticated: "reauthenticated", Elevated: "elevated", Impersonated: "impersonated",
	ImpersonationEnded: "impersonation ended", Expired: "expired", Destroyed: "destroyed",
	Rejected: "rejected", Conflict: "conflict", Anomaly: "anomaly",
}

// String is the kind in words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return "unknown"
}

// Reason says why; events of most kinds have none.
type Reason string

// The reasons of Destroyed.
const (
	BySignOut            Reason = "sign-out"
	ByCaller             Reason = "destroyed"           // one of the Destroy methods
	ByLimit              Reason = "evicted by a limit"  // of the sessions of one principal
	ByBinder             Reason = "refused by binder"   // Options.Binder said Destroy
	ByEndOfImpersonation Reason = "impersonation ended" // by EndImpersonation
)

// The reasons of Rejected, Conflict and Anomaly.
const (
	Malformed     Reason = "no token, or more than one"
	NoSuchSession Reason = "no such session"
	WrongSecret   Reason = "a wrong secret"
	RetiredSecret Reason = "a secret that was rotated away"
	Unreadable    Reason = "a row that cannot be read"
	NewerVersion  Reason = "a row written by a newer version"
	UnknownKey    Reason = "a row under a key that is not in the keyring"
	TooOld        Reason = "authenticated before NotBefore"
	ActorGone     Reason = "the impersonating session has ended"
	LimitReached  Reason = "the principal has too many sessions"
	Merged        Reason = "merged"
	Refused       Reason = "refused"
	ClientChanged Reason = "another program presents the session"
)

// Event is something that happened to a session. It holds the public handle
// and never a token.
type Event struct {
	Kind      EventKind
	Reason    Reason
	Time      time.Time // by the service's clock
	Handle    string    // of the session; empty where it has none
	Previous  string    // the handle before, for SignedIn and Impersonated
	Principal string    // empty: anonymous, or not known
	Actor     string    // who impersonates; else empty
	Level     int
}

// Attrs are the event's attributes for package slog, without the empty ones.
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

// LogValue is a group of Attrs.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.Attrs()...) }

// emit tells the hook.
func (s *Service) emit(ctx context.Context, e Event) {
	if s.onEvent == nil {
		return
	}
	e.Time = s.now()
	s.onEvent(ctx, e)
}

// suspicious is emit for what the log is told of too: a credential or a row
// that is not as this service left it.
func (s *Service) suspicious(ctx context.Context, e Event) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "session "+e.Kind.String(), slog.String("handle", e.Handle), slog.String("reason", string(e.Reason)))
	s.emit(ctx, e)
}

// eventOf is an event of a row.
func eventOf(k EventKind, handle string, r *row) Event {
	e := Event{Kind: k, Handle: handle, Principal: r.Principal, Level: r.Level}
	if r.Actor != nil {
		e.Actor = r.Actor.ID
	}
	return e
}
