package sessionhttp

import (
	"log/slog"

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
	return &Middleware{svc: svc, opts: o, cookie: cookieForm{c, o.BrowserSession}, log: o.Logger}, nil
}

// CookieName returns the name of the cookie.
func (m *Middleware) CookieName() string { return m.cookie.Name }
