package sessionhttp

import (
	"errors"
	"net/http"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// LoadError is the error that OnError gets if the session could not be loaded.
type LoadError struct{ Err error }

// Error returns the text of the store's error.
func (e *LoadError) Error() string { return "session not loaded: " + e.Err.Error() }

// Unwrap returns the store's error.
func (e *LoadError) Unwrap() error { return e.Err }

// loadFailed returns err as a LoadError if the session could not be loaded, for
// Status.
func loadFailed(s *session.Session, err error) error {
	if s != nil && s.Err() != nil {
		return &LoadError{Err: err}
	}
	return err
}

// Status returns the HTTP status for an error, for your own OnError. It returns
// 503 for a LoadError. It returns 409 if the session was ended meanwhile or other
// requests kept changing it. Else it returns 500.
func Status(err error) int {
	var load *LoadError
	switch {
	case errors.As(err, &load):
		return http.StatusServiceUnavailable
	case errors.Is(err, session.ErrGone), errors.Is(err, model.ErrConflict):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

func onError(w http.ResponseWriter, _ *http.Request, err error) {
	code := Status(err)
	text := "The session could not be stored. Please try again."
	switch code {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
		text = "Sessions are not available at the moment. Please try again."
	case http.StatusConflict:
		text = "Your session ended or changed while this request was running. Please reload the page and try again."
	}
	w.Header().Set("Cache-Control", "private, no-store")
	http.Error(w, text, code)
}
