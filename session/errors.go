package session

import "errors"

// What a session reports beside the errors of package model, to be matched
// with [errors.Is].
var (
	// ErrUnauthenticated: the session belongs to nobody.
	ErrUnauthenticated = errors.New("session: not signed in")
	// ErrGone: the session was ended elsewhere, or expired, while this unit of
	// work was using it. What was to be written is discarded.
	ErrGone = errors.New("session: ended meanwhile")
	// ErrCommitted: the session was committed, over HTTP with the response's
	// first byte; a change comes too late.
	ErrCommitted = errors.New("session: changed after it was committed")
	// ErrNoSession: the context carries no session. Over HTTP the handler is
	// not behind sessionhttp.
	ErrNoSession = errors.New("session: none in the context")
)
