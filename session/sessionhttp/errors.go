package sessionhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

var (
	// ErrCrossOrigin means that a page of another site made a request that can
	// change something. See Options.CrossOrigin.
	ErrCrossOrigin = errors.New("sessionhttp: refused, a page of another site made the request")
	// ErrCSRF means that the request has no valid CSRF token. See
	// Middleware.RequireCSRF.
	ErrCSRF = errors.New("sessionhttp: refused, the request has no valid CSRF token")
)

// LoadError is the error that OnError gets if the session could not be loaded.
type LoadError struct{ Err error }

// Error returns the text of the store's error.
func (e *LoadError) Error() string { return "session not loaded: " + e.Err.Error() }

// Unwrap returns the store's error.
func (e *LoadError) Unwrap() error { return e.Err }

// loadFailed returns err as a LoadError if the session could not be loaded, for
// Status. A session that was loaded can refuse changes too.
func loadFailed(s *session.Session, err error) error {
	if s == nil || err == nil || s.Err() == nil {
		return err
	}
	for _, refused := range [...]error{session.ErrCrossSite, session.ErrGone, session.ErrNewer} {
		if errors.Is(err, refused) {
			return err
		}
	}
	return &LoadError{Err: err}
}

// Status returns the HTTP status for an error of a session or of its store, for
// your own OnError and your handlers:
//
//	503  the store did not answer, or a newer version of the program is needed
//	409  the session was ended meanwhile, other requests kept changing it, or
//	     Options.Limit refuses a sign-in
//	413  a form is too long for RequireCSRF or Repost, or the session's data is
//	403  a page of another site made the request, the CSRF token is invalid, a
//	     better authentication is needed, or Options.NotBefore accepts none
//	404  there is no such session
//	401  nobody is signed in
//	500  anything else
func Status(err error) int {
	var load *LoadError
	var long *http.MaxBytesError
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &load), is(model.ErrUnavailable, context.DeadlineExceeded, session.ErrReadOnly, session.ErrNewer):
		return http.StatusServiceUnavailable
	case errors.As(err, &long), is(model.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case is(ErrCrossOrigin, ErrCSRF, session.ErrCrossSite, session.ErrReauthenticate, session.ErrImpersonating, session.ErrNotBefore):
		return http.StatusForbidden
	case is(session.ErrGone, session.ErrKeyConflict, model.ErrConflict, session.ErrLimit):
		return http.StatusConflict
	case is(session.ErrUnauthenticated):
		return http.StatusUnauthorized
	case is(model.ErrNotFound):
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

func onError(w http.ResponseWriter, _ *http.Request, err error) {
	code := Status(err)
	text := "The session could not be stored. Please try again."
	switch {
	case code == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
		text = "Sessions are not available at the moment. Please try again."
	case errors.Is(err, session.ErrLimit):
		text = "There are too many sessions of this account. Please sign out elsewhere first."
	case code == http.StatusConflict:
		text = "Your session ended or changed while this request was running. Please reload the page and try again."
	case errors.Is(err, session.ErrCrossSite):
		text = "Another site sent you here, and your browser left out your session. Please go back to this site and try again."
	case errors.Is(err, ErrCrossOrigin):
		text = "Another site made this request, so it was refused."
	case errors.Is(err, ErrCSRF):
		text = "This form is out of date. Please reload the page and try again."
	case code == http.StatusForbidden:
		text = "Please sign in again to do this."
	case code == http.StatusRequestEntityTooLarge:
		text = "This form is too long."
		if errors.Is(err, model.ErrTooLarge) {
			text = "This is more than your session can keep."
		}
	case code == http.StatusUnauthorized:
		text = "Please sign in."
	}
	w.Header().Set("Cache-Control", noStore)
	http.Error(w, text, code)
}
