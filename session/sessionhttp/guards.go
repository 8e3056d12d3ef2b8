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
	// Redirect is the URL to which the answer redirects with 303. Empty means
	// an answer with 204.
	Redirect string
	// ClearSiteData is what the browser also forgets: "cache", "cookies",
	// "storage" or "*". Nil means nothing.
	ClearSiteData []string
	// OnError answers if the session could not be ended. Nil means a line of
	// text with the error's Status.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// SignOut returns a handler that ends the request's session. It accepts only
// POST, so a link or an image of another site cannot sign anybody out. It
// answers 405 to every other method.
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

// RequireRecentAuth returns a middleware, inside of Wrap, for handlers that need
// a recent authentication: a change of password, a payment. The principal must
// have proved who they are within the given time, and at the given level at
// least. Zero means at any time.
//
// For anybody else the handler does not run, and challenge answers. Its error is
// session.ErrUnauthenticated, session.ErrReauthenticate or
// session.ErrImpersonating. A nil challenge means a line of text with 403. If
// the session could not be loaded, the answer is 503.
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
	// CSRFHeader is the header with the text of session.Session.CSRFToken.
	// RequireCSRF reads it first.
	CSRFHeader = "X-CSRF-Token"
	// CSRFField is the form field that RequireCSRF reads if there is no header.
	CSRFField = "csrf_token"
)

// RequireCSRF returns a handler, inside of Wrap, that refuses forged requests
// with 403. It checks requests that can change something and whose token came as
// a cookie. They need Sec-Fetch-Site: same-origin, or the session's CSRF token.
// It is for old browsers that Options.CrossOrigin cannot judge. A session that is
// not stored has no CSRF token, so leave sign-in forms outside.
func (m *Middleware) RequireCSRF(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, via := m.opts.Transport.found(m.cookie.Name, r)
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
