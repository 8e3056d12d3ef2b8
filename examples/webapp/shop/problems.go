package shop

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// handler answers a request or returns an error.
type handler func(w http.ResponseWriter, r *http.Request) error

// problem is an error with a status and a text for the user.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

const maxForm = 64 << 10

// guard reads the request's form, within bounds, and turns the handler's error
// into a page.
func (a *Shop) guard(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		if err != nil {
			err = badRequest("The form could not be read.")
		} else {
			err = h(w, r)
		}
		var p *problem
		switch {
		case err == nil:
		case errors.As(err, &p):
			a.fail(w, r, p.status, p.text)
		default:
			a.log.Error("request failed", "path", r.URL.Path, "error", err)
			a.sessionFailed(w, r, err)
		}
	})
}

// sessionFailed answers if a session could not be loaded or stored, or if the
// middleware refused the request.
func (a *Shop) sessionFailed(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Cache-Control", "private, no-store")
	a.fail(w, r, sessionhttp.Status(err), problemText(err))
}

// problemText says what a user can do.
func problemText(err error) string {
	switch {
	case errors.Is(err, sessionhttp.ErrCrossOrigin), errors.Is(err, session.ErrCrossSite):
		return "Another site sent this to us in your name. We did nothing. If you meant it, please do it here."
	case errors.Is(err, session.ErrImpersonating):
		return "This is for the person themselves. Stop acting as somebody else first."
	case sessionhttp.Status(err) == http.StatusConflict:
		return "Your session ended or changed while this page was loading. Please go back and try again."
	case sessionhttp.Status(err) == http.StatusServiceUnavailable:
		return "We cannot reach our records at the moment. You were not signed out, and nothing was lost. Please try again soon."
	}
	return "Something went wrong on our side. Please try again in a moment."
}

func (a *Shop) notFound(http.ResponseWriter, *http.Request) error {
	return &problem{http.StatusNotFound, "There is no such page."}
}

// fail writes the page of a problem. If the server has failed, the page shows
// nothing about an account: the session may be the problem.
func (a *Shop) fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	v := view{Title: http.StatusText(status), Unknown: true}
	if s, ok := session.From(r.Context()); ok && s.Err() == nil && status < http.StatusInternalServerError {
		if p, err := s.Principal(r.Context()); err == nil || errors.Is(err, session.ErrUnauthenticated) {
			v.Principal, v.Unknown = p, false
		}
	}
	v.Data = map[string]any{"Status": status, "Text": text, "Outage": status >= http.StatusInternalServerError, "Again": back(r)}
	if err := a.write(w, r, status, "problem", v); err != nil {
		a.log.Error("page not written", "error", err)
		http.Error(w, text, status)
	}
}
