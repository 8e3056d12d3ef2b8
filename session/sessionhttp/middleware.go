package sessionhttp

import (
	"context"
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
	cookie cookieForm
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
	return &Middleware{svc: svc, opts: o, cookie: newCookieForm(c, o.BrowserSession), log: o.Logger}, nil
}

// CookieName returns the name of the cookie, without Options.CookieFor.
func (m *Middleware) CookieName() string { return m.cookie.Name }

// form returns the cookie for a request.
func (m *Middleware) form(r *http.Request) (*cookieForm, error) {
	if m.opts.CookieFor == nil {
		return &m.cookie, nil
	}
	k := cookieForm{Cookie: m.cookie.Cookie, browserSession: m.cookie.browserSession}
	k.Name, k.Domain = m.opts.CookieFor(r) //nolint:gosec // its other attributes stay
	if err := checkCookie(&k.Cookie); err != nil {
		return nil, &model.Error{Op: "sessionhttp.Options.CookieFor", Err: err}
	}
	return &k, nil
}

// requestContext finds the writer of a request.
type requestContext struct {
	context.Context //nolint:containedctx // this is a context
	w               *writer
}

// writerKey finds the innermost writer, and writerOf that of a service.
// WriterBeside finds one of another service that uses the name for its cookie.
type (
	writerKey    struct{}
	writerOf     struct{ svc *session.Service }
	writerBeside struct {
		svc  *session.Service
		name string
	}
)

func (c *requestContext) Value(key any) any {
	switch k := key.(type) {
	case writerKey:
		return c.w
	case writerOf:
		if k.svc == c.w.m.svc {
			return c.w
		}
	case writerBeside:
		if k.svc != c.w.m.svc && k.name == c.w.cookie.Name && c.w.m.opts.Transport.ambient() {
			return c.w
		}
	}
	return c.Context.Value(key)
}

// innermost returns the writer of the request. It returns nil outside of Wrap.
func innermost(ctx context.Context) *writer {
	w, _ := ctx.Value(writerKey{}).(*writer)
	return w
}

// of returns the writer of the middleware's service. It returns nil outside of
// its Wrap.
func (m *Middleware) of(ctx context.Context) *writer {
	w, _ := ctx.Value(writerOf{m.svc}).(*writer)
	return w
}

// Select returns a handler that calls next with the session of this service as
// the one that session.From returns. It serves programs with several services,
// inside of the Wraps of both: SignOut and the guards of this package take that
// session.
func (m *Middleware) Select(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := m.svc.From(r.Context())
		out := m.of(r.Context())
		if !ok || out == nil {
			m.fail(w, r, session.ErrNoSession)
			return
		}
		inner := r.WithContext(&requestContext{session.NewContext(r.Context(), s), out})
		defer mirror(r, inner)
		next.ServeHTTP(w, inner)
	})
}

// Token persists the session and returns its new token, for a handler that puts
// it into the body of its answer. It returns false if there is no new token, and
// if that goes into a cookie, which scripts must not read. The answer's header
// has the token too. It returns session.ErrNoSession outside of Wrap, and the
// errors of Session.Persist.
func Token(r *http.Request) (string, bool, error) {
	out := innermost(r.Context())
	if out == nil {
		return "", false, session.ErrNoSession
	}
	c, err := out.s.Persist(r.Context())
	if err != nil {
		return "", false, err
	}
	if out.settle(); out.via.ambient() || c.Action != session.ActionGive {
		return "", false, nil
	}
	return c.Token(), true, nil
}

// RefusesNew reports whether another site has caused the request, so that what
// creates a session returns session.ErrCrossSite. A handler that would create one
// without being asked to can leave it for the next request. It returns false outside
// of Wrap.
func RefusesNew(r *http.Request) bool {
	out := innermost(r.Context())
	return out != nil && out.refusing
}

func (m *Middleware) logf(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	m.log.LogAttrs(ctx, level, text, attrs...)
}

func errAttr(err error) slog.Attr { return slog.String("error", err.Error()) }
