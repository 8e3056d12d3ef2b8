package session

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// TokenLen is the length of every token in bytes. A transport can refuse texts
// of any other length.
const TokenLen = row.TokenLen

// Action says what a transport does about the client's token.
type Action uint8

// The actions.
const (
	ActionLeave Action = iota // nothing: the client has the right token
	ActionGive                // send the token to the client, valid for MaxAge
	ActionClear               // tell the client to forget its token
)

// Credential is what a transport has to tell the client. It prints without its
// token.
type Credential struct {
	Action Action
	// ExpiresAt is the expiry of the session's row. It is set with ActionGive.
	ExpiresAt time.Time
	// MaxAge is the time from now to ExpiresAt in whole seconds, rounded down.
	// So the client never keeps the token longer than the store keeps the row.
	MaxAge time.Duration

	// Stale means that the client brought a token that opens nothing.
	Stale bool

	token string
}

// Token returns the secret text for the client with ActionGive. It is empty
// with the other actions.
func (c Credential) Token() string { return c.token }

// Format prints the action and the lifetime, for every verb.
func (c Credential) Format(f fmt.State, _ rune) {
	switch c.Action {
	case ActionGive:
		_, _ = fmt.Fprintf(f, "give a token for %s", c.MaxAge)
	case ActionClear:
		_, _ = fmt.Fprint(f, "clear")
	default:
		_, _ = fmt.Fprint(f, "leave")
	}
}

// LogValue returns the text of Format.
func (c Credential) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }
