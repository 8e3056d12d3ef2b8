package sessionhttp

import (
	"net/http"

	"github.com/sojourn-go/sojourn/session"
)

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

// Wrap returns a handler that calls next with a session in the context of each
// request: see session.From and session.Key. It refuses requests from other
// sites that can change something: see Options.CrossOrigin.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	guard := m.opts.CrossOrigin
	// If guard refuses a request, it writes its own answer.
	guarded := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, via := m.opts.Transport.found(m.cookie.Name, r)
		m.serve(w, r, next, f, via)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, via := m.opts.Transport.found(m.cookie.Name, r)
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
	s.SetClient(session.Client{UserAgent: r.UserAgent(), Address: clientAddress(r, m.opts.Address, m.opts.TrustedProxies)})
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
