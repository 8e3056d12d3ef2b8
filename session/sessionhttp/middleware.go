package sessionhttp

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// Middleware puts sessions into the contexts of requests. It is safe for
// concurrent use.
type Middleware struct {
	svc    *session.Service
	opts   Options
	cookie http.Cookie
	log    *slog.Logger
}

// New returns a Middleware. ErrInvalid for a nil service or for cookie
// attributes that browsers refuse. On localhost over plain http, set
// Options.Insecure where the browser is Safari.
func New(svc *session.Service, opts *Options) (*Middleware, error) {
	const op = "sessionhttp.New"
	var o Options
	if opts != nil {
		o = *opts
	}
	if svc == nil {
		return nil, &model.Error{Op: op, Err: model.Fault(model.ErrInvalid, "no service", nil)}
	}
	c, err := o.cookie()
	if err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Insecure {
		o.Logger.Warn("session cookie without Secure: for development on plain http only", "cookie", c.Name)
	}
	return &Middleware{svc: svc, opts: o, cookie: c, log: o.Logger}, nil
}

// Handler is New(svc, nil) and Wrap: the safe defaults. Without a service
// every request is answered with 500.
func Handler(svc *session.Service, next http.Handler) http.Handler {
	m, err := New(svc, nil)
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	return m.Wrap(next)
}

// CookieName returns the name of the cookie.
func (m *Middleware) CookieName() string { return m.cookie.Name }

// Wrap returns next with a session in the context of each request: see
// session.From and session.Key.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := m.svc.Open(tokenOf(r, m.cookie.Name))
		s.SetClient(session.Client{UserAgent: r.UserAgent()})
		r = r.WithContext(session.NewContext(r.Context(), s))
		out := &writer{ResponseWriter: w, m: m, r: r, s: s, before: w.Header().Clone()}
		panicked := true
		defer func() {
			// No recover: a panic goes on by itself, with its own stack.
			if panicked {
				out.abandon()
			}
		}()
		next.ServeHTTP(out.asserted(), r)
		panicked = false
		out.finish()
	})
}

// tokenOf returns the text of the cookie, or nothing where there is none, or
// more than one: which of two is the user's own cannot be known.
func tokenOf(r *http.Request, name string) string {
	found := ""
	n := 0
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(part, "=")
			if strings.TrimSpace(key) == name {
				found = strings.TrimSpace(value)
				n++
			}
		}
	}
	if n != 1 || len(found) != session.TokenLen {
		return ""
	}
	return found
}

// apply puts the credential into the headers.
func (m *Middleware) apply(h http.Header, c session.Credential) {
	if c.Action == session.Leave {
		return
	}
	cookie := m.cookie //nolint:gosec // its attributes were checked by New
	switch {
	case c.Action == session.Clear:
		cookie.MaxAge = -1
	case m.opts.BrowserSession:
		cookie.Value = c.Token()
	default:
		cookie.Value = c.Token()
		cookie.MaxAge = int(c.MaxAge / time.Second)
	}
	h.Add("Set-Cookie", cookie.String())
	h.Set("Cache-Control", "private, no-store")
}

// Status is the HTTP status of the answer by default to a request whose session
// failed, for an OnError of one's own: 503 for a LoadError, 409 for a session
// that was ended or kept being changed meanwhile, else 500.
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
