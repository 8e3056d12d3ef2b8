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

// Persistence says whether the client keeps a token when its program ends.
type Persistence uint8

// The kinds of persistence.
const (
	PersistenceDefault    Persistence = iota // as the transport is configured
	PersistenceBrowser                       // until the browser ends, or the absolute deadline
	PersistencePersistent                    // until the absolute deadline: "remember me"
)

// Credential is what a transport has to tell the client. It prints without its
// token.
type Credential struct {
	Action Action
	// ExpiresAt is when the client may forget the token: the session's absolute
	// deadline, 400 days from now at most. It is set with ActionGive. The
	// session can end before, and only the store decides that.
	ExpiresAt time.Time
	// MaxAge is the time from now to ExpiresAt in whole seconds, rounded up.
	MaxAge time.Duration
	// Persistence is that of SignInOptions. It is set with ActionGive.
	Persistence Persistence
	// Stale says, with ActionLeave, that nothing that the client has sent opens
	// a session, and that it will not. A transport may clear it if no other
	// answer can overtake this one.
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
