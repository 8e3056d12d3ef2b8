// Package shop is the web application of examples/webapp: a shop with a cart,
// sign-in, devices, a page for the administrator, and a live panel. Each page has
// one handler and one template.
package shop

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// Options configures a Shop. The zero value of every field is its default.
type Options struct {
	// Secure says that the site is served over https: the cookie is __Host-id
	// and Secure. Else it is id, for plain http.
	Secure bool
	// Clock decides what has expired. Nil means the system's clock.
	Clock expiry.Clock
	// Logger gets errors. Nil means slog.Default().
	Logger *slog.Logger
}

// Shop is the program's handler.
type Shop struct {
	svc     *session.Service
	log     *slog.Logger
	clock   expiry.Clock
	pages   pages
	feed    feed
	backend string // its name, for the footer
	handler http.Handler
}

// watchEvery bounds how long a live panel stays open after another process has
// ended its session.
const watchEvery = 500 * time.Millisecond

// New returns a Shop that keeps its sessions in the backend.
func New(backend expiry.ModelExpirySupport, opts *Options) (*Shop, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Clock == nil {
		o.Clock = expiry.SystemClock()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p, err := loadPages()
	if err != nil {
		return nil, err
	}
	a := &Shop{log: o.Logger, clock: o.Clock, pages: p}
	a.svc, err = session.New(backend, &session.Options{
		Clock: o.Clock, Logger: o.Logger, Observe: countTrips, OnEvent: a.feed.publish, WatchEvery: watchEvery,
	})
	if err != nil {
		return nil, err
	}
	a.backend = backend.Describe().Backend
	sessions, err := sessionhttp.New(a.svc, &sessionhttp.Options{Insecure: !o.Secure, Logger: o.Logger, OnError: a.sessionFailed})
	if err != nil {
		return nil, err
	}
	a.handler = headers(withTrips(sessions.Wrap(a.routes())))
	return a, nil
}

// ServeHTTP answers a request.
func (a *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Run removes expired sessions until ctx ends or Close.
func (a *Shop) Run(ctx context.Context) error { return a.svc.Run(ctx) }

// Close ends Run and every live panel.
func (a *Shop) Close() error { return a.svc.Close() }

// Policy says how long sessions live.
func (a *Shop) Policy() session.Policy { return a.svc.Policy() }

// routes are all pages, by who may see them.
func (a *Shop) routes() http.Handler {
	signedIn := sessionhttp.RequireSignIn(toSignIn)
	proven := sessionhttp.RequireRecentAuth(0, levelProven, a.askAgain)
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":          a.home,
		"GET /login":        a.loginPage,
		"POST /login":       a.login,
		"GET /goodbye":      a.goodbye,
		"POST /cart":        a.addToCart,
		"POST /cart/remove": a.removeFromCart,
		"GET /api/session":  a.apiSession,
		"GET /":             a.notFound,
	} {
		mux.Handle(pattern, a.guard(h))
	}
	for pattern, h := range map[string]handler{
		"GET /devices":                  a.devices,
		"POST /devices/{handle}/delete": a.deleteDevice,
		"POST /devices/{handle}/name":   a.nameDevice,
		"POST /devices/delete-others":   a.deleteOthers,
		"GET /live":                     a.live,
		"GET /confirm":                  a.confirmPage,
		"POST /confirm":                 a.confirm,
		"POST /impersonation/end":       a.endImpersonation,
	} {
		mux.Handle(pattern, signedIn(a.guard(h)))
	}
	for pattern, h := range map[string]handler{
		"GET /account":        a.account,
		"POST /account/erase": a.erase,
	} {
		mux.Handle(pattern, proven(a.guard(h)))
	}
	for pattern, h := range map[string]handler{
		"GET /admin":                           a.admin,
		"POST /admin/sessions/{handle}/delete": a.deleteSession,
		"POST /admin/users/{user}/delete":      a.deleteUser,
		"POST /admin/users/{user}/impersonate": a.impersonate,
	} {
		mux.Handle(pattern, signedIn(a.guard(onlyAdmin(h))))
	}
	mux.Handle("POST /logout", sessionhttp.SignOut(&sessionhttp.SignOutOptions{Redirect: "/goodbye"}))
	mux.Handle("GET /static/", a.pages.static)
	return mux
}

// headers keep frames and everything from other sites out of every page.
func headers(next http.Handler) http.Handler {
	const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
