package adaptertest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// serviceCases are about what sessions do, seen through the adapter.
func serviceCases() []testCase {
	return []testCase{
		{"SignInAndOut", signInAndOut}, {"TwoServices", twoServices}, {"Guard", guard}, {"CSRFHeader", csrfHeader},
		{"CSRFForm", csrfForm}, {"CrossSite", crossSite}, {"StoreDown", storeDown}, {"OnError", onError},
		{"EndedMeanwhile", endedMeanwhile}, {"Parallel", parallel}, {"Client", client},
	}
}

func signIn(e Exchange) error {
	s, err := session.Require(e.Context())
	if err != nil {
		return err
	}
	if err := s.SignIn(e.Context(), "alice", nil); err != nil {
		return err
	}
	return e.Text(http.StatusOK, "hello")
}

func signOut(e Exchange) error {
	s, err := session.Require(e.Context())
	if err != nil {
		return err
	}
	if err := s.SignOut(e.Context()); err != nil {
		return err
	}
	return e.Text(http.StatusOK, "bye")
}

func whoami(e Exchange) error {
	id, there, err := session.User(e.Context())
	if err != nil {
		return err
	}
	return e.Text(http.StatusOK, fmt.Sprintf("%q %v", id, there))
}

// signInAndOut: a sign-in replaces the cookie, and a sign-out clears it by as many
// lines as on net/http.
func signInAndOut(w *world) error {
	w.m = w.middleware(w.kit.Service, sessionhttp.Options{CookieName: "id", Path: "/door"}) // cleared with its path and without
	routes := []Route{{Path: "/door/in", Handle: signIn}, {Path: "/door/out", Handle: signOut}, {Path: "/door/who", Handle: whoami}}
	b := w.browser(w.serve(routes...))
	token := w.kit.Token(w.t, sessiontest.As("bob"))
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(w.ctx, http.MethodPost, "http://shop.example/door/out", nil)
	r.Header.Set("Cookie", "id="+token)
	w.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = signOut(HTTP(w, r)) })).ServeHTTP(rec, r)
	lines := len(rec.Header().Values("Set-Cookie"))

	in, err := b.read(http.MethodPost, "/door/in", nil)
	if err != nil {
		return err
	}
	if err := errors.Join(in.want(http.StatusOK, "hello"), wantCookie(in.Response, 1), b.visit("/door/who", http.StatusOK, `"alice" true`)); err != nil {
		return err
	}
	out, err := b.read(http.MethodPost, "/door/out", nil)
	if err != nil {
		return err
	}
	if got := len(out.Header.Values("Set-Cookie")); got != lines || lines < 2 {
		return fmt.Errorf("the sign-out has %d lines that clear the cookie, and %d on net/http", got, lines)
	}
	return errors.Join(out.want(http.StatusOK, "bye"), b.visit("/door/who", http.StatusOK, `"" false`))
}

// twoServices: a request has two sessions, each with its cookie.
func twoServices(w *world) error {
	kit := sessiontest.New(w.t, nil)
	other := w.middleware(kit.Service, sessionhttp.Options{CookieName: "other"})
	b := w.browser(w.serveApp(App{Wraps: []func(http.Handler) http.Handler{w.m.Wrap, other.Wrap}, Routes: []Route{
		{Path: "/both", Handle: func(e Exchange) error {
			for i, svc := range []*session.Service{w.kit.Service, kit.Service} {
				if err := count.In(svc).Set(e.Context(), 10*(i+1)); err != nil {
					return err
				}
			}
			return e.Text(http.StatusOK, "both")
		}},
		{Path: "/read", Handle: func(e Exchange) error {
			one, _, err := count.In(w.kit.Service).Get(e.Context())
			two, _, err2 := count.In(kit.Service).Get(e.Context())
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			return e.Text(http.StatusOK, fmt.Sprint(one, two))
		}},
	}}))
	a, err := b.read(http.MethodGet, "/both", nil)
	if err != nil {
		return err
	}
	return errors.Join(wantCookie(a.Response, 2), b.visit("/read", http.StatusOK, "10 20"))
}

// guard: the guards of sessionhttp answer in a handler's place.
func guard(w *world) error {
	var ran atomic.Int32
	member := sessionhttp.RequireSignIn(nil)
	guarded := func(next http.Handler) http.Handler {
		inside := member(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/in" {
				next.ServeHTTP(w, r)
				return
			}
			inside.ServeHTTP(w, r)
		})
	}
	b := w.browser(w.serveApp(App{Wraps: []func(http.Handler) http.Handler{w.m.Wrap, guarded}, Routes: []Route{
		{Path: "/in", Handle: signIn},
		{Path: "/inside", Handle: func(e Exchange) error { ran.Add(1); return e.Text(http.StatusOK, "inside") }},
	}}))
	if err := b.visit("/inside", http.StatusUnauthorized, "Please sign in."); err != nil {
		return err
	}
	if ran.Load() != 0 {
		return errors.New("the handler ran behind a guard that refused")
	}
	return errors.Join(b.visit("/in", http.StatusOK, "hello"), b.visit("/inside", http.StatusOK, "inside"))
}

// csrf posts the token of the session by send, and a wrong one. The second is refused
// before the handler runs.
func csrf(w *world, send func(b *browser, token string) (answer, error)) error {
	b := w.browser(w.serveApp(App{Wraps: []func(http.Handler) http.Handler{w.m.Wrap, w.m.RequireCSRF}, Routes: []Route{
		{Path: "/token", Handle: func(e Exchange) error {
			s, err := session.Require(e.Context())
			if err != nil {
				return err
			}
			token, err := s.CSRFToken(e.Context())
			if err != nil {
				return err
			}
			return e.Text(http.StatusOK, token)
		}},
	}}))
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	page, err := b.read(http.MethodGet, "/token", nil)
	if err != nil {
		return err
	}
	wrong, err := send(b, "x"+page.text)
	if err != nil {
		return err
	}
	right, err := send(b, page.text)
	if err != nil {
		return err
	}
	return errors.Join(wrong.want(http.StatusForbidden, ""), right.want(http.StatusOK, "2"))
}

func csrfHeader(w *world) error {
	return csrf(w, func(b *browser, token string) (answer, error) {
		return b.read(http.MethodPost, "/next", nil, sessionhttp.CSRFHeader, token)
	})
}

func csrfForm(w *world) error {
	return csrf(w, func(b *browser, token string) (answer, error) {
		form := url.Values{sessionhttp.CSRFField: {token}}.Encode()
		return b.read(http.MethodPost, "/next", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded")
	})
}

// crossSite: a request of another site that can change something is refused, and
// the handler does not run.
func crossSite(w *world) error {
	b := w.browser(w.serve())
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	a, err := b.read(http.MethodPost, "/next", strings.NewReader("x=1"), "Sec-Fetch-Site", "cross-site")
	if err != nil {
		return err
	}
	return errors.Join(a.want(http.StatusForbidden, ""), b.visit("/count", http.StatusOK, "1"))
}

// storeDown: an answer of a handler that did not notice is replaced, with its
// headers. The handler's own 5xx answer is sent.
func storeDown(w *world) error {
	b := w.browser(w.serve(
		Route{Path: "/heedless", Handle: func(e Exchange) error {
			_, _, _ = count.Get(e.Context())
			e.SetHeader("X-Own", "secret")
			return e.Text(http.StatusOK, "secret")
		}},
		Route{Path: "/stream", Handle: func(e Exchange) error {
			_, _, _ = count.Get(e.Context())
			return e.Stream(func(out io.Writer, flush func() error) {
				_, _ = io.WriteString(out, "secret")
				_ = flush()
			})
		}},
		Route{Path: "/own", Handle: func(e Exchange) error {
			if _, _, err := count.Get(e.Context()); err != nil {
				return e.Fail(http.StatusBadGateway, "my own words")
			}
			return e.Text(http.StatusOK, "no error")
		}}))
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	w.kit.Backend.SetHook(sessiontest.Down)
	for _, path := range []string{"/heedless", "/stream"} {
		a, err := b.read(http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if strings.Contains(a.text, "secret") || a.Header.Get("X-Own") != "" {
			return fmt.Errorf("%s: the store is down, and the answer is %q, %v", path, a.text, a.Header)
		}
		if err := a.want(http.StatusServiceUnavailable, ""); err != nil {
			return err
		}
	}
	if err := b.visit("/own", http.StatusBadGateway, ""); err != nil {
		return err
	}
	w.kit.Backend.SetHook(nil)
	return b.visit("/next", http.StatusOK, "2")
}

// onError: an answer of Options.OnError that sets no status has 200, whatever the
// handler wanted.
func onError(w *world) error {
	w.m = w.middleware(w.kit.Service, sessionhttp.Options{CookieName: "id", OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		w.Header().Set("X-Status", fmt.Sprint(sessionhttp.Status(err)))
		_, _ = io.WriteString(w, "own words")
	}})
	b := w.browser(w.serve(Route{Path: "/heedless", Handle: func(e Exchange) error {
		_, _, _ = count.Get(e.Context())
		return e.Text(http.StatusCreated, "secret")
	}}))
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	w.kit.Backend.SetHook(sessiontest.Down)
	a, err := b.read(http.MethodGet, "/heedless", nil)
	if err != nil {
		return err
	}
	if a.text != "own words" || a.Header.Get("X-Status") != "503" {
		return fmt.Errorf("the store is down, and the answer is %q, %v", a.text, a.Header)
	}
	return a.want(http.StatusOK, "")
}

// endedMeanwhile: if the session ends while a request changes it, the answer that
// does not say so is replaced.
func endedMeanwhile(w *world) error {
	b := w.browser(w.serve(Route{Path: "/late", Handle: func(e Exchange) error {
		if _, err := next(e.Context()); err != nil {
			return err
		}
		if _, err := w.kit.Service.DestroyAll(w.ctx); err != nil {
			return err
		}
		return e.Text(http.StatusOK, "stored")
	}}))
	if err := b.visit("/next", http.StatusOK, "1"); err != nil {
		return err
	}
	a, err := b.read(http.MethodGet, "/late", nil)
	if err != nil {
		return err
	}
	if strings.Contains(a.text, "stored") {
		return fmt.Errorf("the session has ended, and the answer is %q", a.text)
	}
	return errors.Join(a.want(http.StatusConflict, ""), b.visit("/count", http.StatusOK, "0"))
}

// parallel: requests at the same time keep to their own sessions, and those of one
// session lose nothing.
func parallel(w *world) error {
	url := w.serve()
	const people, each = 4, 8
	browsers := make([]*browser, people)
	for i := range browsers {
		browsers[i] = w.browser(url)
		if err := browsers[i].visit("/next", http.StatusOK, "1"); err != nil {
			return err
		}
	}
	errs := make([]error, people*each)
	var wg sync.WaitGroup
	for i := range errs {
		b := browsers[i%people]
		if i/people%2 == 0 && i%people != 0 {
			wg.Go(func() { errs[i] = b.visit("/count", http.StatusOK, "") })
			continue
		}
		wg.Go(func() { errs[i] = b.visit("/next", http.StatusOK, "") })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, b := range browsers {
		want := 1 + each/2
		if i == 0 {
			want = 1 + each
		}
		if err := b.visit("/count", http.StatusOK, fmt.Sprint(want)); err != nil {
			return err
		}
	}
	return nil
}

// client: the session has the program and the address of the client, also after
// the framework has served other requests.
func client(w *world) error {
	b := w.browser(w.serve(Route{Path: "/in", Handle: signIn}))
	if _, err := b.read(http.MethodPost, "/in", nil, "User-Agent", "first/1"); err != nil {
		return err
	}
	for range 3 {
		if _, err := b.read(http.MethodGet, "/count", nil, "User-Agent", "later/2"); err != nil {
			return err
		}
	}
	var found []session.Client
	for info, err := range w.kit.Service.Sessions(w.ctx, "alice") {
		if err != nil {
			return err
		}
		found = append(found, info.Client)
	}
	if len(found) != 1 || found[0].UserAgent != "first/1" || !found[0].Address.IsLoopback() {
		return fmt.Errorf("the service has sessions of the clients %+v, want one of the program first/1 on this machine", found)
	}
	return nil
}
