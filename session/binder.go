package session

import "context"

// Decision is the answer of a Binder.
type Decision uint8

// The decisions.
const (
	DecisionAllow     Decision = iota // the session goes on
	DecisionChallenge                 // it goes on, but RequireRecent asks for a reauthentication first
	DecisionDestroy                   // it ends
)

// Binder compares the client for which a session was created with the client
// that presents it now. It is called once for each load. Neither address nor
// user agent proves anything: both change for honest users, and anybody can copy
// them.
type Binder func(ctx context.Context, info Info, now Client) Decision
