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
	// OnError answers if the session could not be ended. Nil means
	// Options.OnError.
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
		o.OnError = failed
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
		w.Header().Set("Cache-Control", noStore)
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
			w.Header().Set("Cache-Control", noStore)
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
				failed(w, r, loadFailed(s, err))
			}
		})
	}
}

// RequireSignIn returns a middleware, inside of Wrap, for handlers that need
// somebody who is signed in. An administrator who impersonates somebody passes.
// For anybody else the handler does not run, and challenge answers. Its error is
// session.ErrUnauthenticated. A nil challenge means 401 with a line of text, which
// says why a session has ended (Session.Why), and WWW-Authenticate if the
// transport is Bearer. RedirectTo is a challenge for pages. If the session could not be loaded, the answer is 503.
func RequireSignIn(challenge func(w http.ResponseWriter, r *http.Request, err error)) func(http.Handler) http.Handler {
	if challenge == nil {
		challenge = unauthorized
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := session.Require(r.Context())
			if err == nil {
				_, err = s.Principal(r.Context())
			}
			switch {
			case err == nil:
				next.ServeHTTP(w, r)
			case errors.Is(err, session.ErrUnauthenticated):
				challenge(w, r, err)
			default:
				failed(w, r, loadFailed(s, err))
			}
		})
	}
}

// RedirectTo returns a challenge for RequireSignIn and RequireRecentAuth. It sends
// browsers to a page with 303, and answers background requests with 401 or 403.
func RedirectTo(url string) func(w http.ResponseWriter, r *http.Request, err error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		if !navigation(r) {
			unauthorized(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", noStore)
		http.Redirect(w, r, url, http.StatusSeeOther)
	}
}

// wantBearer adds the WWW-Authenticate that RFC 9110 wants with 401. There is a
// scheme for Bearer alone.
func wantBearer(w http.ResponseWriter, r *http.Request) {
	if out := innermost(r.Context()); out != nil {
		if _, bearer := out.via.(Bearer); bearer {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
	}
}

// unauthorized answers 401 or 403.
func unauthorized(w http.ResponseWriter, r *http.Request, err error) {
	if Status(err) == http.StatusUnauthorized {
		wantBearer(w, r)
	}
	if s, there := session.From(r.Context()); there && errors.Is(err, session.ErrUnauthenticated) {
		if why, _ := s.Why(r.Context()); why != session.WhyNone {
			w.Header().Set("Cache-Control", noStore)
			http.Error(w, whyText(why)+" Please sign in again.", http.StatusUnauthorized)
			return
		}
	}
	onError(w, r, err)
}

// whyText says to people why they are not signed in.
func whyText(why session.Why) string {
	switch why {
	case session.WhyIdle:
		return "Your session ended because it was not used for a while."
	case session.WhyAbsolute:
		return "Your session has reached its end."
	case session.WhyReplaced:
		return "Your session has changed meanwhile."
	case session.WhyUnreadable:
		return "Your session cannot be read at the moment."
	}
	return "Your session was ended."
}
