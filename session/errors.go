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
	// ErrNotStored: the session is not in the store yet, so that it has
	// nothing to hold on to.
	ErrNotStored = errors.New("session: not stored yet")
	// ErrReadOnly: the store could not be read and Options.StoreDown let the
	// session go on, so that it cannot be changed. The store's error is
	// matched too.
	ErrReadOnly = errors.New("session: read-only while the store is down")
	// ErrKeyConflict: another request changed a Rejecting key meanwhile. It
	// matches model.ErrConflict too.
	ErrKeyConflict = errors.New("session: another request changed the key")
	// ErrLimit: the principal has as many sessions as Options.Limit allows.
	ErrLimit = errors.New("session: the principal has too many sessions")
	// ErrReauthenticate: the principal has to prove once more who they are.
	ErrReauthenticate = errors.New("session: a recent or stronger authentication is needed")
	// ErrImpersonating: somebody acts as the principal, which does not extend
	// to this.
	ErrImpersonating = errors.New("session: not while impersonating")
	// ErrDetached: a detached unit of work has no client that could be given
	// another credential.
	ErrDetached = errors.New("session: not for a detached session")
)
