package sessionhttp

import (
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/sojourn-go/sojourn/session"
)

const (
	// CSRFHeader is the header with the text of session.Session.CSRFToken.
	// RequireCSRF reads it first.
	CSRFHeader = "X-CSRF-Token"
	// CSRFField is the form field that RequireCSRF reads if there is no header.
	CSRFField = "csrf_token"
)

// RequireCSRF returns a handler, inside of Wrap, that refuses forged requests
// with 403. It checks requests that can change something and whose token came as
// a cookie. They need the session's CSRF token. Sec-Fetch-Site: same-origin is
// enough too, unless Options.StrictCSRF is set. It is for old browsers that
// Options.CrossOrigin cannot judge. A session that is not stored has no CSRF
// token, so leave sign-in forms outside. One of Options.Identity has one always.
//
// If the transport has no cookie, no other site can send the session's token. A
// request without one is refused with session.ErrUnauthenticated, which is 401.
//
// The token is in the header, or in a form of the type
// application/x-www-form-urlencoded. Such a form is read, up to
// Options.CSRFMaxBytes, only if the session has a token and there is no header.
// Other bodies are never read, and the query is not either. So a multipart form
// without the header is refused: its handler stays outside and calls
// Session.CheckCSRF with the field that it reads.
func (m *Middleware) RequireCSRF(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.forgeable(r) {
			next.ServeHTTP(w, r)
			return
		}
		s, ok := m.svc.From(r.Context())
		err := session.ErrNoSession
		if ok {
			err = m.checkCSRF(w, r, s)
		}
		if errors.Is(err, ErrCSRF) && !m.opts.Transport.ambient() && !m.identified(r) {
			err = session.ErrUnauthenticated // with a token it would have passed
			wantBearer(w, r)
		}
		if err != nil {
			m.fail(w, r, loadFailed(s, err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// forgeable reports whether a request has to show a CSRF token.
func (m *Middleware) forgeable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	if says(r, "Sec-Fetch-Site", "same-origin") && !m.opts.StrictCSRF {
		return false
	}
	k := m.formOf(r)
	if k == nil {
		return true
	}
	f := m.opts.Transport.found(k, r)
	return f.ambient() || f.n == 0
}

// identified reports whether Options.Identity knows who makes the request.
func (m *Middleware) identified(r *http.Request) bool {
	out := m.of(r.Context())
	return out != nil && out.identified
}

// checkCSRF returns ErrCSRF, or why it cannot know.
func (m *Middleware) checkCSRF(w http.ResponseWriter, r *http.Request, s *session.Session) error {
	text := r.Header.Get(CSRFHeader)
	if text == "" {
		info, err := s.Info(r.Context())
		if err != nil {
			return err
		}
		if info.Handle == "" && !m.identified(r) {
			return fmt.Errorf("%w: the session is not stored", ErrCSRF)
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
			return fmt.Errorf("%w: this kind of body needs it in the header %s", ErrCSRF, CSRFHeader)
		}
		r.Body = http.MaxBytesReader(w, r.Body, m.opts.CSRFMaxBytes)
		// Any other error leaves out the token, or is about the query.
		if long := (*http.MaxBytesError)(nil); errors.As(r.ParseForm(), &long) {
			return fmt.Errorf("%w: the form has more than %d bytes: %w", ErrCSRF, long.Limit, long)
		}
		text = r.PostForm.Get(CSRFField)
	}
	good, err := s.CheckCSRF(r.Context(), text)
	if err == nil && !good {
		err = ErrCSRF
	}
	return err
}
