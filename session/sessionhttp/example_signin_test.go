package sessionhttp_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// newService returns a service in memory. A program has a backend on a server.
func newService(name string) *session.Service {
	backend, err := memory.New(nil, name, nil)
	if err != nil {
		panic(err)
	}
	svc, err := session.New(backend, nil)
	if err != nil {
		panic(err)
	}
	return svc
}

// hello says who is signed in.
func hello(w http.ResponseWriter, r *http.Request) {
	user, there, err := session.User(r.Context())
	switch {
	case err != nil:
		http.Error(w, "Please try again.", sessionhttp.Status(err))
	case there:
		_, _ = fmt.Fprintln(w, "hello", user)
	default:
		_, _ = fmt.Fprintln(w, "hello stranger")
	}
}

// login signs in whoever knows the password.
func login(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("password") != "tea" { // a real program compares slow, salted hashes
		http.Error(w, "wrong name or password", http.StatusForbidden)
		return
	}
	s, err := session.Require(r.Context())
	if err == nil {
		err = s.SignIn(r.Context(), r.FormValue("user"), nil)
	}
	if err != nil {
		http.Error(w, "Please try again.", sessionhttp.Status(err))
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

var credentials = url.Values{"user": {"alice"}, "password": {"tea"}}

// Sign in and out over HTTP, in a simulated browser.
func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /login", login)
	mux.Handle("POST /logout", sessionhttp.SignOut(&sessionhttp.SignOutOptions{Redirect: "/"}))
	handler := sessionhttp.Handler(newService("sign-in"), mux)

	browser := sessiontest.NewBrowser(handler, nil)
	tab := browser.NewTab()
	fmt.Print(tab.Open("https://shop.example/").Body)
	fmt.Print(tab.Submit("/login", url.Values{"user": {"alice"}, "password": {"coffee"}}).Body)
	tab.Open("https://shop.example/")
	fmt.Print(tab.Submit("/login", credentials).Body)
	for _, c := range browser.Cookies() {
		fmt.Println(c.Name, c.Secure, c.HTTPOnly, c.SameSite)
	}
	fmt.Print(tab.Submit("/logout", nil).Body)
	fmt.Println(len(browser.Cookies()), "cookies")
	// Output:
	// hello stranger
	// wrong name or password
	// hello alice
	// __Host-id true true Lax
	// hello stranger
	// 0 cookies
}

// A sign-out accepts only POST, so no link or image can cause it.
func ExampleSignOut() {
	handler := sessionhttp.Handler(newService("sign-out"), sessionhttp.SignOut(&sessionhttp.SignOutOptions{
		Redirect: "/goodbye", ClearSiteData: []string{"cache"},
	}))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, "https://shop.example/logout", nil))
		fmt.Println(w.Code, w.Header()["Location"], w.Header()["Clear-Site-Data"])
	}
	// Output:
	// 405 [] []
	// 303 [/goodbye] ["cache"]
}

// Pages for members lead everybody else to the sign-in.
func ExampleRequireSignIn() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "Please sign in.") })
	mux.HandleFunc("POST /login", login)
	members := sessionhttp.RequireSignIn(sessionhttp.RedirectTo("/login"))
	mux.Handle("GET /account", members(http.HandlerFunc(hello)))

	tab := sessiontest.NewBrowser(sessionhttp.Handler(newService("members"), mux), nil).NewTab()
	fmt.Print(tab.Open("https://shop.example/account").Body)
	tab.Submit("/login", credentials)
	fmt.Print(tab.Open("https://shop.example/account").Body)
	// Output:
	// Please sign in.
	// hello alice
}

// A change of the password needs a recent sign-in, or the password again.
func ExampleRequireRecentAuth() {
	kit := sessiontest.NewClock(time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC))
	backend, _ := memory.New(nil, "recent", nil)
	svc, err := session.New(backend, &session.Options{Clock: kit})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /login", login)
	recent := sessionhttp.RequireRecentAuth(5*time.Minute, 0, nil)
	mux.Handle("GET /password", recent(http.HandlerFunc(hello)))
	mux.HandleFunc("POST /confirm", func(_ http.ResponseWriter, r *http.Request) { // after a check of the password
		if s, err := session.Require(r.Context()); err == nil {
			_ = s.Reauthenticate(r.Context())
		}
	})

	tab := sessiontest.NewBrowser(sessionhttp.Handler(svc, mux), &sessiontest.BrowserOptions{Clock: kit}).NewTab()
	tab.Open("https://shop.example/")
	tab.Submit("/login", credentials)
	fmt.Print(tab.Click("/password").Body)
	kit.Advance(6 * time.Minute)
	fmt.Print(tab.Click("/password").Body)
	tab.Submit("/confirm", nil)
	fmt.Print(tab.Click("/password").Body)
	// Output:
	// hello alice
	// Please sign in again to do this.
	// hello alice
}

// A middleware with options: a proxy whose header is trusted, shorter addresses
// in lists of devices, and a cookie that other sites' links do not send.
func ExampleNew() {
	m, err := sessionhttp.New(newService("options"), &sessionhttp.Options{
		SameSite:       http.SameSiteStrictMode,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Address:        sessionhttp.AddressTruncated,
	})
	fmt.Println(m.CookieName(), err)
	// Browsers refuse such a cookie, and so does New.
	_, err = sessionhttp.New(newService("options"), &sessionhttp.Options{CookieName: "__Host-id", Domain: "example.com"})
	fmt.Println(err != nil)
	// Output:
	// __Host-id <nil>
	// true
}

// Errors have a status each.
func ExampleStatus() {
	for _, err := range []error{model.ErrUnavailable, session.ErrGone, session.ErrUnauthenticated, session.ErrReauthenticate} {
		fmt.Println(sessionhttp.Status(err), err)
	}
	// Output:
	// 503 unavailable
	// 409 session: ended meanwhile
	// 401 session: not signed in
	// 403 session: a recent or stronger authentication is needed
}

// A token for browsers without Fetch metadata. A form has it in the field
// csrf_token.
func ExampleMiddleware_RequireCSRF() {
	m, err := sessionhttp.New(newService("csrf"), &sessionhttp.Options{StrictCSRF: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s, err := session.Require(r.Context())
		if err != nil {
			return
		}
		token, err := s.CSRFToken(r.Context())
		if err == nil {
			_, _ = fmt.Fprint(w, token)
		}
	})
	mux.HandleFunc("POST /login", login) // a stranger has no token
	mux.Handle("POST /order", m.RequireCSRF(http.HandlerFunc(hello)))

	tab := sessiontest.NewBrowser(m.Wrap(mux), nil).NewTab()
	tab.Open("https://shop.example/")
	token := tab.Submit("/login", credentials).Body
	fmt.Print(tab.Submit("/order", url.Values{sessionhttp.CSRFField: {token}}).Body)
	fmt.Print(tab.Submit("/order", url.Values{sessionhttp.CSRFField: {"forged"}}).Body)
	// Output:
	// hello alice
	// This form is out of date. Please reload the page and try again.
}

// A program that is a proxy keeps the session's cookie from the servers behind it.
func ExampleMiddleware_StripCookie() {
	svc := newService("proxy")
	m, err := sessionhttp.New(svc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("GET /reports", func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		m.StripCookie(out)
		_, _ = fmt.Fprintln(w, len(r.Cookies()), "cookies came,", len(out.Cookies()), "goes on")
	})
	browser := sessiontest.NewBrowser(m.Wrap(mux), nil)
	browser.SetCookie("https://shop.example/", "theme=dark; Path=/")
	tab := browser.NewTab()
	tab.Open("https://shop.example/")
	tab.Submit("/login", credentials)
	fmt.Print(tab.Click("/reports").Body)
	// Output: 2 cookies came, 1 goes on
}

// Programs send and receive their token in a header of its own.
func ExampleHeader() {
	m, err := sessionhttp.New(newService("header"), &sessionhttp.Options{Transport: sessionhttp.Header{Name: "X-Token"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /login", login)
	handler := m.Wrap(mux)

	r := httptest.NewRequest(http.MethodPost, "https://api.example/login?user=robot&password=tea", nil)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	r = httptest.NewRequest(http.MethodGet, "https://api.example/", nil)
	r.Header.Set("X-Token", w.Header().Get("X-Token"))
	w = httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Print(w.Body)
	// Output: hello robot
}
