package sessionhttp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/sojourn-go/sojourn/model"
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
//
// A second Wrap of the same service uses the session of the first one, and
// writes nothing by itself. The Wraps of two services give a request two
// sessions. They need two names for their cookies. Then Service.From and Key.In
// say which one is meant, and session.From returns the innermost.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	denied := m.opts.CrossOrigin.Handler(http.NotFoundHandler())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k, err := m.form(r)
		if err == nil {
			err = m.clash(r, k)
		}
		if err != nil {
			m.fail(w, r, err)
			return
		}
		f := m.opts.Transport.found(k, r)
		identified, err := m.identify(r)
		if err != nil {
			m.fail(w, r, err)
			return
		}
		// Other sites can make a browser send its cookies, but no header.
		if !m.opts.AnyOrigin && (identified != nil || f.ambient() || f.n == 0 && m.opts.Transport.ambient()) {
			if err := m.opts.CrossOrigin.Check(r); err != nil {
				m.deny(w, r, denied, err)
				return
			}
		}
		if m.of(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		m.serve(w, r, next, k, &f, identified)
	})
}

// identify returns the session of a client that Options.Identity knows, or nil.
func (m *Middleware) identify(r *http.Request) (*session.Session, error) {
	if m.opts.Identity == nil {
		return nil, nil //nolint:nilnil // both are answers
	}
	id, ok, err := m.opts.Identity(r)
	if err != nil || !ok {
		return nil, err
	}
	return m.svc.OpenFor(id)
}

// deny answers a request that CrossOrigin refuses.
func (m *Middleware) deny(w http.ResponseWriter, r *http.Request, denied http.Handler, err error) {
	if m.opts.OnError != nil {
		m.fail(w, r, fmt.Errorf("%w: %w", ErrCrossOrigin, err))
		return
	}
	m.logf(r.Context(), slog.LevelWarn, "request refused", errAttr(err), slog.String("method", r.Method))
	denied.ServeHTTP(w, r) // CrossOrigin can have a handler of its own
}

// clash returns an error if another service uses the same cookie for this
// request: each would take the other's for a stale one.
func (m *Middleware) clash(r *http.Request, k *cookieForm) error {
	if innermost(r.Context()) == nil || !m.opts.Transport.ambient() || r.Context().Value(writerBeside{m.svc, k.Name}) == nil {
		return nil
	}
	return model.NewError(model.ErrInvalid, "sessionhttp: two services use one name for their cookies: set Options.CookieName", nil)
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler, k *cookieForm, f *found, identified *session.Session) {
	s := identified
	if s == nil {
		s = f.open(m.svc)
	} else {
		f = &found{} // its tokens are not read
	}
	s.SetClient(session.Client{UserAgent: r.UserAgent(), Address: m.opts.clientAddress(r)})
	out := &writer{ResponseWriter: w, m: m, s: s, cookie: k, via: m.via(r, f), cookies: f.cookies}
	if innermost(r.Context()) != nil {
		out.outer = around(w)
	}
	if h := w.Header(); len(h) > 0 {
		out.before = h.Clone()
	}
	out.prepare(r, f, identified != nil)
	out.ctx = requestContext{session.NewContext(r.Context(), s), out}
	if r.Trailer == nil && slices.Contains(r.TransferEncoding, "chunked") {
		r.Trailer = http.Header{} // shared, for trailers that arrive later
	}
	inner := r.WithContext(&out.ctx)
	out.r = inner
	panicked := true
	defer func() {
		mirror(r, inner)
		// Without recover the panic goes on with its own stack.
		if panicked {
			out.abandon()
		}
	}()
	next.ServeHTTP(out.asserted(), inner)
	panicked = false
	out.finish()
}

// via returns the transport of an answer. If the request has tokens by a cookie
// and by a header, that is the cookie until the session says which one it serves.
// Else a script could get the cookie's next token by sending a header of its own.
func (m *Middleware) via(r *http.Request, f *found) Transport {
	t := m.opts.Transport
	switch {
	case f.cookies > 0 && (f.n == 0 || f.ambient()):
		return Cookie{}
	case f.n > 0:
		return f.by[0]
	case m.opts.AnswerBy == nil:
		return t.first()
	}
	chosen := m.opts.AnswerBy(r)
	switch {
	case chosen == nil:
		return t.first()
	case t.has(chosen):
		return chosen
	}
	m.logf(r.Context(), slog.LevelError, "Options.AnswerBy returned a transport that is not in Options.Transport")
	return t.first()
}

// mirror copies back what a handler's copy of a request has: net/http removes the
// files of MultipartForm from the request that it knows, and outer handlers log
// the Pattern.
func mirror(outer, inner *http.Request) {
	if outer.MultipartForm == nil {
		outer.MultipartForm = inner.MultipartForm
	}
	if outer.Form == nil {
		outer.Form, outer.PostForm = inner.Form, inner.PostForm
	}
	if outer.Pattern == "" {
		outer.Pattern = inner.Pattern
	}
}

// fail logs err and answers by OnError.
func (m *Middleware) fail(w http.ResponseWriter, r *http.Request, err error) {
	level := slog.LevelError
	if errors.Is(err, ErrCrossOrigin) || errors.Is(err, ErrCSRF) || errors.Is(err, session.ErrUnauthenticated) {
		level = slog.LevelWarn
	}
	m.logf(r.Context(), level, "request refused", errAttr(err), slog.String("method", r.Method))
	answer := m.opts.OnError
	if answer == nil {
		answer = onError
	}
	answer(w, r, err)
}

// failed is fail for handlers that have no Middleware: they use that of the
// innermost Wrap.
func failed(w http.ResponseWriter, r *http.Request, err error) {
	if out := innermost(r.Context()); out != nil {
		out.m.fail(w, r, err)
		return
	}
	onError(w, r, err)
}
