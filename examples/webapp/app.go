package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// What a session keeps.
var (
	visits = session.NewKey[int]("visits")
	cart   = session.NewKey[[]string]("cart")
	notice = session.NewKey[string]("notice") // shown once
)

// accounts are for the demonstration. A real program stores slow, salted hashes.
var accounts = map[string]string{"demo": "demo", "admin": "admin"}

const (
	adminUser = "admin"
	maxForm   = 64 << 10
	maxItem   = 60 // runes
	maxCart   = 50
)

// app is the program's handler.
type app struct {
	svc   *session.Service
	log   *slog.Logger
	pages pages
	now   func() time.Time
}

// newApp returns the program's handler with its middleware.
func newApp(svc *session.Service, secure bool, log *slog.Logger) (http.Handler, error) {
	p, err := loadPages()
	if err != nil {
		return nil, err
	}
	a := &app{svc: svc, log: log, pages: p, now: time.Now}
	sessions, err := sessionhttp.New(svc, &sessionhttp.Options{Insecure: !secure, Logger: log, OnError: a.sessionFailed})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":                      a.home,
		"GET /login":                    a.loginPage,
		"POST /login":                   a.login,
		"POST /logout":                  a.logout,
		"POST /cart":                    a.addToCart,
		"GET /devices":                  a.devices,
		"POST /devices/{handle}/delete": a.deleteDevice,
		"POST /devices/delete-others":   a.deleteOthers,
		"GET /admin":                    a.admin,
		"GET /api/session":              a.apiSession,
		"GET /":                         a.notFound,
	} {
		mux.Handle(pattern, a.guard(h))
	}
	mux.Handle("GET /static/", p.static)
	return headers(sessions.Wrap(mux)), nil
}

// headers keep scripts, frames and foreign content out of every page.
func headers(next http.Handler) http.Handler {
	const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// handler answers a request or returns an error.
type handler func(w http.ResponseWriter, r *http.Request) error

// problem is an error with a status and a text for the user.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

// guard gives a handler its request with a bounded body, and turns its error
// into a page.
func (a *app) guard(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := h(w, r)
		var p *problem
		switch {
		case err == nil:
		case errors.As(err, &p):
			a.fail(w, r, p.status, p.text)
		default:
			a.log.Error("request failed", "path", r.URL.Path, "error", err)
			a.fail(w, r, sessionhttp.Status(err), problemText(err, "Something went wrong on our side. Please try again in a moment."))
		}
	})
}

// sessionFailed answers if a session could not be loaded or stored, or if the
// middleware refused the request.
func (a *app) sessionFailed(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Cache-Control", "private, no-store")
	a.fail(w, r, sessionhttp.Status(err), problemText(err, "Your session could not be stored. Please try again in a moment."))
}

// problemText says what a user can do. Other is for what they cannot help.
func problemText(err error, other string) string {
	switch sessionhttp.Status(err) {
	case http.StatusConflict:
		return "Your session ended or changed while this page was loading. Please go back and try again."
	case http.StatusForbidden:
		return "Another site sent you here. Please go to the front page and try again."
	}
	return other
}

func (a *app) notFound(http.ResponseWriter, *http.Request) error {
	return &problem{http.StatusNotFound, "There is no such page."}
}

// current returns the request's session and its principal, whose id is empty
// if nobody signed in. It returns an error only if it cannot know that.
func current(r *http.Request) (*session.Session, session.Principal, error) {
	s, ok := session.From(r.Context())
	if !ok {
		return nil, session.Principal{}, session.ErrNoSession
	}
	p, err := s.Principal(r.Context())
	if errors.Is(err, session.ErrUnauthenticated) {
		err = nil
	}
	return s, p, err
}

// home counts the visit. It is the only page that writes on a GET.
func (a *app) home(w http.ResponseWriter, r *http.Request) error {
	s, _, err := current(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet {
		if err := visits.Update(r.Context(), func(n *int) error { *n++; return nil }); err != nil {
			return err
		}
	}
	n, _, err := visits.Get(r.Context())
	if err != nil {
		return err
	}
	items, _, err := cart.Get(r.Context())
	if err != nil {
		return err
	}
	info, err := s.Info(r.Context())
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "home", "Home", map[string]any{
		"Visits": n, "Cart": counted(items), "CartSize": len(items), "Products": products, "Session": info,
		"Idle": a.svc.Policy().Idle, "Absolute": a.svc.Policy().Absolute, "MaxItem": maxItem,
	})
}

func (a *app) loginPage(w http.ResponseWriter, r *http.Request) error {
	s, _, err := current(r)
	if err != nil {
		return err
	}
	why, err := s.Why(r.Context())
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "login", "Sign in", map[string]any{"Idle": why == session.WhyIdle, "Ended": why == session.WhyEnded})
}

func (a *app) login(w http.ResponseWriter, r *http.Request) error {
	if err := form(r); err != nil {
		return err
	}
	user := r.PostForm.Get("user")
	if !authenticate(user, r.PostForm.Get("password")) {
		return a.render(w, r, http.StatusUnauthorized, "login", "Sign in", map[string]any{"Failed": true, "User": user})
	}
	s, _, err := current(r)
	if err != nil {
		return err
	}
	err = s.SignIn(r.Context(), user, nil)
	if errors.Is(err, session.ErrGone) {
		// The anonymous session was ended at the same moment: sign in without
		// its cart.
		err = s.SignIn(r.Context(), user, nil)
	}
	if err != nil {
		return err
	}
	return redirect(w, r, "/")
}

// authenticate takes the same time for a wrong password and a wrong name.
func authenticate(user, password string) bool {
	want, known := accounts[user]
	a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && known
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) error {
	s, _, err := current(r)
	if err != nil {
		return err
	}
	if err := s.SignOut(r.Context()); err != nil {
		return err
	}
	return redirect(w, r, "/")
}

func (a *app) addToCart(w http.ResponseWriter, r *http.Request) error {
	if err := form(r); err != nil {
		return err
	}
	item := strings.TrimSpace(r.PostForm.Get("item"))
	if item == "" || !utf8.ValidString(item) || utf8.RuneCountInString(item) > maxItem {
		return &problem{http.StatusBadRequest, fmt.Sprintf("An item has 1 to %d characters.", maxItem)}
	}
	err := cart.Update(r.Context(), func(items *[]string) error {
		if len(*items) >= maxCart {
			return &problem{http.StatusBadRequest, fmt.Sprintf("The cart is full: it takes %d items.", maxCart)}
		}
		*items = append(*items, item)
		return nil
	})
	if err != nil {
		return err
	}
	return redirect(w, r, "/")
}

func (a *app) devices(w http.ResponseWriter, r *http.Request) error {
	_, p, err := current(r)
	if err != nil {
		return err
	}
	if p.ID == "" {
		return redirect(w, r, "/login")
	}
	var list []session.Info
	for info, err := range a.svc.Sessions(r.Context(), p.ID) {
		if err != nil {
			return err
		}
		list = append(list, info)
	}
	said, _, err := notice.Take(r.Context())
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "devices", "Devices", map[string]any{
		"Devices": devicesOf(list, p.SessionID), "Others": len(list) - 1, "Notice": said,
	})
}

func (a *app) deleteDevice(w http.ResponseWriter, r *http.Request) error {
	s, p, err := current(r)
	if err != nil {
		return err
	}
	handle := r.PathValue("handle")
	switch {
	case p.ID == "":
		return redirect(w, r, "/login")
	case handle == p.SessionID:
		if err := s.SignOut(r.Context()); err != nil {
			return err
		}
		return redirect(w, r, "/")
	}
	err = a.svc.Destroy(r.Context(), p.ID, handle)
	if errors.Is(err, model.ErrNotFound) {
		return &problem{http.StatusNotFound, "That session is not one of yours, or has ended already."}
	}
	if err == nil {
		err = notice.Set(r.Context(), "The device was signed out.")
	}
	if err != nil {
		return err
	}
	return redirect(w, r, "/devices")
}

func (a *app) deleteOthers(w http.ResponseWriter, r *http.Request) error {
	s, p, err := current(r)
	if err != nil {
		return err
	}
	if p.ID == "" {
		return redirect(w, r, "/login")
	}
	n, err := s.DestroyOthers(r.Context())
	if err == nil {
		err = notice.Set(r.Context(), fmt.Sprintf("%s signed out.", plural(n, "other device", "other devices")))
	}
	if err != nil {
		return err
	}
	return redirect(w, r, "/devices")
}

func (a *app) admin(w http.ResponseWriter, r *http.Request) error {
	_, p, err := current(r)
	if err != nil {
		return err
	}
	if p.ID != adminUser {
		return &problem{http.StatusForbidden, "This page is for the administrator. Sign in as admin to see it."}
	}
	total, err := a.svc.Count(r.Context())
	if err != nil {
		return err
	}
	users, err := a.users(r)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "admin", "Administration", map[string]any{
		"Total": total, "Users": users.named, "Anonymous": users.anonymous, "Shown": users.shown,
		"Policy": a.svc.Policy().String(),
	})
}

// apiSession returns the state of the session as JSON and counts no visit.
func (a *app) apiSession(w http.ResponseWriter, r *http.Request) error {
	_, p, err := current(r)
	if err != nil {
		return err
	}
	n, _, err := visits.Get(r.Context())
	if err != nil {
		return err
	}
	items, _, err := cart.Get(r.Context())
	if err != nil {
		return err
	}
	if items == nil {
		items = []string{}
	}
	data, err := json.Marshal(struct {
		Authenticated bool     `json:"authenticated"`
		Principal     string   `json:"principal"`
		Visits        int      `json:"visits"`
		Cart          []string `json:"cart"`
	}{p.ID != "", p.ID, n, items})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store")
	_, err = w.Write(data)
	return err
}

func form(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return &problem{http.StatusBadRequest, "The form could not be read."}
	}
	return nil
}

func redirect(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
