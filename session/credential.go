package session

import (
	"fmt"
	"log/slog"
	"time"
)

// Action is what a transport does about the client's credential.
type Action uint8

// The actions.
const (
	Leave Action = iota // nothing: the client has what it needs
	Give                // hand it the token, for MaxAge
	Clear               // make it forget its token
)

// Credential is what the transport must tell the client. It prints without its
// token.
type Credential struct {
	Action Action
	// ExpiresAt is the deadline of the session's row, with Give.
	ExpiresAt time.Time
	// MaxAge is the time from now to ExpiresAt in whole seconds, rounded
	// down, so that the client never keeps it longer than the store.
	MaxAge time.Duration

	token string
}

// Token is the secret text for the client, with Give; else empty.
func (c Credential) Token() string { return c.token }

// Format prints the action and the lifetime, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) {
	switch c.Action {
	case Give:
		_, _ = fmt.Fprintf(f, "give a token for %s", c.MaxAge)
	case Clear:
		_, _ = fmt.Fprint(f, "clear")
	default:
		_, _ = fmt.Fprint(f, "leave")
	}
}

// LogValue is the text of Format.
func (c Credential) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }
