package sessionhttp

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// Middleware puts the session of each request into its context. It is safe for
// concurrent use.
type Middleware struct {
	svc    *session.Service
	opts   Options
	cookie http.Cookie
	log    *slog.Logger
}

// New returns a Middleware. It returns model.ErrInvalid for a nil service and for
// cookie attributes that browsers refuse. Set Options.Insecure for Safari on
// localhost over plain http.
func New(svc *session.Service, opts *Options) (*Middleware, error) {
	const op = "sessionhttp.New"
	var o Options
	if opts != nil {
		o = *opts
	}
	if svc == nil {
		return nil, &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "the service is nil", nil)}
	}
	c, err := o.cookie()
	if err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	if err := o.check(); err != nil {
		return nil, &model.Error{Op: op, Err: err}
	}
	if o.Insecure {
		o.Logger.Warn("session cookie without Secure: for development on plain http only", "cookie", c.Name)
	}
	return &Middleware{svc: svc, opts: o, cookie: c, log: o.Logger}, nil
}

// Handler returns next wrapped by New(svc, nil), with the safe defaults. If svc
// is nil, it answers every request with 500.
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

// Wrap returns a handler that calls next with a session in the context of each
// request: see session.From and session.Key. It refuses requests from other
// sites that can change something: see Options.CrossOrigin.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	guard := m.opts.CrossOrigin
	// If guard refuses a request, it writes its own answer.
	guarded := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, via := m.opts.Transport.found(m, r)
		m.serve(w, r, next, f, via)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, via := m.opts.Transport.found(m, r)
		// Other sites can make a browser send its cookies, but no header.
		if !m.opts.AnyOrigin && (via.ambient() || f.n == 0 && m.opts.Transport.ambient()) && guard.Check(r) != nil {
			guarded.ServeHTTP(w, r)
			return
		}
		m.serve(w, r, next, f, via)
	})
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler, f found, via Transport) {
	s := m.svc.Open(f.text())
	s.SetClient(session.Client{UserAgent: r.UserAgent(), Address: m.address(r)})
	r = r.WithContext(session.NewContext(r.Context(), s))
	out := &writer{ResponseWriter: w, m: m, r: r, s: s, via: via, before: w.Header().Clone()}
	panicked := true
	defer func() {
		// Without recover the panic goes on with its own stack.
		if panicked {
			out.abandon()
		}
	}()
	next.ServeHTTP(out.asserted(), r)
	panicked = false
	out.finish()
}

// apply writes the credential to the headers.
func (w *writer) apply(c session.Credential) {
	if c.Action == session.ActionLeave {
		return
	}
	w.via.give(w.m, w.Header(), c)
	w.Header().Set("Cache-Control", "private, no-store")
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
