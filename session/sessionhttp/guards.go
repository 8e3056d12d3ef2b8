package sessionhttp

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

// SignOutOptions configures SignOut. The zero value of every field is its
// default.
type SignOutOptions struct {
	// Redirect is where the client goes afterwards, with 303. Empty: 204.
	Redirect string
	// ClearSiteData is what the browser forgets beside the cookie: "cache",
	// "cookies", "storage", "*". Nil: nothing.
	ClearSiteData []string
	// OnError answers where the session could not be ended. Nil: a line of
	// text with the Status that fits.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// SignOut returns a handler that ends the request's session. It takes POST
// alone, so that neither a link nor an image of another site can sign anybody
// out: every other method is 405.
func SignOut(opts *SignOutOptions) http.Handler {
	var o SignOutOptions
	if opts != nil {
		o = *opts
	}
	if o.OnError == nil {
		o.OnError = onError
	}
	clearing := make([]string, 0, len(o.ClearSiteData))
	for _, what := range o.ClearSiteData {
		clearing = append(clearing, `"`+what+`"`)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "Use POST to sign out.", http.StatusMethodNotAllowed)
			return
		}
		s, err := session.Require(r.Context())
		if err == nil {
			err = s.SignOut(r.Context())
		}
		if err != nil {
			o.OnError(w, r, loadFailed(s, err))
			return
		}
		w.Header().Set("Cache-Control", "private, no-store")
		if len(clearing) > 0 {
			w.Header().Set("Clear-Site-Data", strings.Join(clearing, ", "))
		}
		if o.Redirect == "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, o.Redirect, http.StatusSeeOther)
	})
}

// loadFailed marks the error of a session that could not be loaded, for Status.
func loadFailed(s *session.Session, err error) error {
	if s != nil && s.Err() != nil {
		return &LoadError{Err: err}
	}
	return err
}

// RequireRecentAuth returns a middleware, inside of Wrap, for what needs a
// principal who proved who they are within the time (zero: at any time) and at
// that level at least: a change of password, a payment. For anybody else the
// handler does not run: challenge answers, with session.ErrUnauthenticated,
// session.ErrReauthenticate or session.ErrImpersonating; nil is a line of text with 403.
// Where that cannot be known the answer is 503.
func RequireRecentAuth(within time.Duration, level int, challenge func(w http.ResponseWriter, r *http.Request, err error)) func(http.Handler) http.Handler {
	if challenge == nil {
		challenge = func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Cache-Control", "private, no-store")
			http.Error(w, "Please sign in again to do this.", http.StatusForbidden)
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := session.Require(r.Context())
			if err == nil {
				err = s.RequireRecent(r.Context(), within, level)
			}
			switch {
			case err == nil:
				next.ServeHTTP(w, r)
			case errors.Is(err, session.ErrUnauthenticated), errors.Is(err, session.ErrReauthenticate), errors.Is(err, session.ErrImpersonating):
				challenge(w, r, err)
			default:
				onError(w, r, loadFailed(s, err))
			}
		})
	}
}

const (
	// CSRFHeader is where RequireCSRF looks for the text of
	// session.Session.CSRFToken first.
	CSRFHeader = "X-CSRF-Token"
	// CSRFField is the field of a form where it looks next.
	CSRFField = "csrf_token"
)

// RequireCSRF returns a handler, inside of Wrap, that refuses requests with
// 403 that change something, come with the cookie, and show neither by
// Sec-Fetch-Site that they are of this site nor by the session's CSRF token: for
// browsers so old that Options.CrossOrigin cannot judge them. A form of a
// session that is not stored yet has no token; sign-in forms are left outside.
func (m *Middleware) RequireCSRF(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, via := m.opts.Transport.found(m, r)
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			next.ServeHTTP(w, r)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "same-origin" || !via.ambient() {
			next.ServeHTTP(w, r)
			return
		}
		text := r.Header.Get(CSRFHeader)
		if text == "" {
			text = r.PostFormValue(CSRFField)
		}
		s, err := session.Require(r.Context())
		good := false
		if err == nil {
			good, err = s.CheckCSRF(r.Context(), text)
		}
		switch {
		case err != nil:
			onError(w, r, loadFailed(s, err))
		case !good:
			http.Error(w, "This form is out of date. Please reload the page and try again.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
