package session

import "errors"

// The errors of a session, beside those of package model. Match them with
// [errors.Is].
var (
	// ErrUnauthenticated: the session is anonymous.
	ErrUnauthenticated = errors.New("session: not signed in")
	// ErrGone: the session was ended elsewhere, or has expired, since it was
	// loaded. Its changes are discarded.
	ErrGone = errors.New("session: ended meanwhile")
	// ErrNewer: a newer version of the program has written the session, and
	// this one cannot change it. The client can try again. SignIn and SignOut
	// end such a session.
	ErrNewer = errors.New("session: written by a newer version")
	// ErrCrossSite: another site has caused the request, so the browser may
	// have kept its cookie back. A new session would replace the one that the
	// browser has.
	ErrCrossSite = errors.New("session: no new session for a request from another site")
	// ErrNotBefore: Options.NotBefore does not accept an authentication of this
	// moment.
	ErrNotBefore = errors.New("session: authentications are not accepted yet")
	// ErrCommitted: the change comes after the session's Commit. Over HTTP the
	// first byte of the response commits the session.
	ErrCommitted = errors.New("session: changed after it was committed")
	// ErrNoSession: the context has no session. Over HTTP the handler is not
	// wrapped by sessionhttp.
	ErrNoSession = errors.New("session: none in the context")
	// ErrNotStored: the session is not in the store yet. Write a value to it
	// first.
	ErrNotStored = errors.New("session: not stored yet")
	// ErrReadOnly: the session cannot be changed, because the store could not
	// be read and Options.StoreDown let the request go on. It matches the
	// store's error too.
	ErrReadOnly = errors.New("session: read-only while the store is down")
	// ErrKeyConflict: another request changed a key that is FailingOnConflict.
	// It matches model.ErrConflict too.
	ErrKeyConflict = errors.New("session: another request changed the key")
	// ErrLimit: the principal has as many sessions as Options.Limit allows.
	ErrLimit = errors.New("session: the principal has too many sessions")
	// ErrReauthenticate: the principal has to prove again who they are.
	ErrReauthenticate = errors.New("session: a recent or stronger authentication is needed")
	// ErrImpersonating: an actor who impersonates the principal may not do this.
	ErrImpersonating = errors.New("session: not while impersonating")
	// ErrDetached: a detached session cannot do this, because it has no client
	// that could receive another token.
	ErrDetached = errors.New("session: not for a detached session")
)

// goneError is ErrGone with what the client is told.
type goneError struct{ why Why }

func (e *goneError) Error() string { return ErrGone.Error() }
func (e *goneError) Unwrap() error { return ErrGone }

// gone returns ErrGone for a row that is absent. Err may be nil.
func gone(err error) error {
	var e *endedError
	if errors.As(err, &e) {
		return &goneError{e.reason.why()}
	}
	return &goneError{WhyEnded}
}

// whyGone returns what the client is told about an ErrGone.
func whyGone(err error) Why {
	var e *goneError
	if errors.As(err, &e) {
		return e.why
	}
	return WhyEnded
}
