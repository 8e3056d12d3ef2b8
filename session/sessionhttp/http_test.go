package sessionhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var note = session.NewKey[string]("note")

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type fixture struct {
	t     testing.TB
	clock *sessiontest.Clock
	b     *sessiontest.Backend
	svc   *session.Service
	log   *logs
	m     *sessionhttp.Middleware
}

func setup(t testing.TB, opts sessionhttp.Options) *fixture {
	t.Helper()
	raw, err := memory.New(memory.NewSpace(), "s", nil)
	ok(t, err)
	f := &fixture{
		t: t, clock: sessiontest.NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)),
		b: sessiontest.Wrap(raw), log: &logs{},
	}
	logger := slog.New(slog.NewTextHandler(f.log, nil))
	f.svc, err = session.New(f.b, &session.Options{Clock: f.clock, Logger: logger})
	ok(t, err)
	opts.Logger = logger
	f.m, err = sessionhttp.New(f.svc, &opts)
	ok(t, err)
	return f
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do sends one request with the cookie to the handler.
func (f *fixture) do(h http.HandlerFunc, cookie string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodGet, "https://example.com/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", f.m.CookieName()+"="+cookie)
	}
	w := httptest.NewRecorder()
	f.m.Wrap(h).ServeHTTP(w, r)
	return w
}

// cookie returns the cookie of the response, or nil.
func (f *fixture) cookie(w *httptest.ResponseRecorder) *http.Cookie {
	f.t.Helper()
	var found *http.Cookie
	for _, c := range w.Result().Cookies() {
		if c.Name != f.m.CookieName() {
			continue
		}
		if found != nil && (found.MaxAge >= 0 || c.MaxAge >= 0) {
			f.t.Fatal("the session's cookie twice")
		}
		found = c
	}
	return found
}

// token returns the token of a request that sets a note.
func (f *fixture) token() string {
	f.t.Helper()
	c := f.cookie(f.do(set(f.t, "v"), ""))
	if c == nil {
		f.t.Fatal("no cookie")
	}
	return c.Value
}

func set(t testing.TB, v string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := note.Set(r.Context(), v); err != nil {
			t.Errorf("Set: %v", err)
		}
		_, _ = io.WriteString(w, "done")
	}
}

func get(t testing.TB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, there, err := note.Get(r.Context())
		if err != nil {
			t.Errorf("Get: %v", err)
		}
		_, _ = fmt.Fprintf(w, "%q %v", v, there)
	}
}

func from(r *http.Request) *session.Session {
	s, _ := session.From(r.Context())
	return s
}

func TestCookieIsSafeByDefault(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	w := f.do(set(t, "v"), "")
	line := w.Header().Get("Set-Cookie")
	_, attributes, _ := strings.Cut(line, ";")
	if !strings.HasPrefix(line, "__Host-id=") || attributes != " Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax" {
		t.Fatal(line)
	}
	if len(line) > 4096 {
		t.Fatal("over the size that browsers keep")
	}
	if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
		t.Fatal(got)
	}
	if strings.Contains(w.Body.String()+f.log.String(), f.cookie(w).Value) {
		t.Fatal("the token is in the body or the log")
	}
}

func TestCookieAttributes(t *testing.T) {
	for _, tc := range []struct {
		opts sessionhttp.Options
		want string // empty: refused
	}{
		{sessionhttp.Options{Insecure: true}, "id=T; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{sessionhttp.Options{Domain: "example.com"}, "__Secure-id=T; Path=/; Domain=example.com; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{sessionhttp.Options{Path: "/app"}, "__Secure-path-id=T; Path=/app; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{sessionhttp.Options{Path: "/app", Domain: "example.com"}, "__Secure-domain-path-id=T; Path=/app; Domain=example.com; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{sessionhttp.Options{Insecure: true, Domain: "example.com"}, "domain-id=T; Path=/; Domain=example.com; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{sessionhttp.Options{SameSite: http.SameSiteStrictMode}, "__Host-id=T; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Strict"},
		{sessionhttp.Options{SameSite: http.SameSiteNoneMode, Partitioned: true}, "__Host-id=T; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=None; Partitioned"},
		{sessionhttp.Options{BrowserSession: true}, "__Host-id=T; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{sessionhttp.Options{CookieName: "sid"}, "sid=T; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{sessionhttp.Options{CookieName: "__Host-x", Domain: "example.com"}, ""},
		{sessionhttp.Options{CookieName: "__host-x", Path: "/app"}, ""},
		{sessionhttp.Options{CookieName: "__Host-x", Insecure: true}, ""},
		{sessionhttp.Options{CookieName: "__Secure-x", Insecure: true}, ""},
		{sessionhttp.Options{SameSite: http.SameSiteNoneMode, Insecure: true}, ""},
		{sessionhttp.Options{Partitioned: true, Insecure: true}, ""},
		{sessionhttp.Options{Path: "app"}, ""},
		{sessionhttp.Options{Domain: "ex ample"}, ""},
		{sessionhttp.Options{CookieName: "a b"}, ""},
		{sessionhttp.Options{CookieName: strings.Repeat("x", 300)}, ""},
	} {
		t.Run(fmt.Sprintf("%+v", tc.opts), func(t *testing.T) {
			if tc.want == "" {
				raw, err := memory.New(memory.NewSpace(), "s", nil)
				ok(t, err)
				svc, err := session.New(raw, nil)
				ok(t, err)
				_, err = sessionhttp.New(svc, &tc.opts)
				is(t, err, model.ErrInvalid)
				return
			}
			f := setup(t, tc.opts)
			w := f.do(set(t, "v"), "")
			got := strings.Replace(w.Header().Get("Set-Cookie"), f.cookie(w).Value, "T", 1)
			if got != tc.want {
				t.Fatalf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestInsecureIsLoggedOnce(t *testing.T) {
	f := setup(t, sessionhttp.Options{Insecure: true})
	f.do(set(t, "v"), "")
	f.do(set(t, "v"), "")
	if n := strings.Count(f.log.String(), "without Secure"); n != 1 {
		t.Fatalf("%d times: %s", n, f.log)
	}
}

func TestHandlerWithoutAServiceAnswers500(t *testing.T) {
	w := httptest.NewRecorder()
	sessionhttp.Handler(nil, get(t)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Fatal(w.Code)
	}
}

func TestDriverCallsPerRequest(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	calls := func(want, what string) {
		t.Helper()
		if got := f.b.Calls(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	f.do(get(t), "")
	calls("none", "no token")
	token := f.token()
	calls("Write 1", "the first value of a new session")
	f.do(func(http.ResponseWriter, *http.Request) {}, token)
	calls("none", "a session that nothing looks at")
	f.do(get(t), token)
	calls("Get 1", "reads only")
	f.do(set(t, "w"), token)
	calls("Get 1, Write 1", "changes")
	f.clock.Advance(3 * time.Minute)
	f.do(get(t), token)
	calls("Get 1, Touch 1", "reads, and the deadline is due")
	f.do(func(_ http.ResponseWriter, r *http.Request) {
		_ = note.Set(r.Context(), "mine")
		other := session.NewKey[int]("other")
		f.do(func(_ http.ResponseWriter, r *http.Request) { _ = other.Set(r.Context(), 1) }, token)
		calls("Get 2, Write 1", "both loads and the other's write")
	}, token)
	calls("Write 2", "changes while another request changed other keys, after its load")
	c := f.cookie(f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignIn(r.Context(), "alice", nil)) }, token))
	calls("Get 1, Write 2", "sign-in over an anonymous session")
	old := c.Value
	f.clock.Advance(29 * time.Minute)
	f.do(get(t), old)
	f.clock.Advance(29 * time.Minute)
	f.do(get(t), old)
	f.clock.Advance(2 * time.Minute)
	f.b.Calls()
	c = f.cookie(f.do(get(t), old))
	calls("Get 1, Write 1", "a rotation that is due")
	f.do(get(t), c.Value)
	calls("Get 1, Write 1", "the first use of the new secret")
	f.do(get(t), c.Value)
	calls("Get 1", "reads after it")
	f.do(func(_ http.ResponseWriter, r *http.Request) {
		_ = note.Set(r.Context(), "late")
		f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignOut(r.Context())) }, c.Value)
		calls("Get 2, Write 1", "both loads and the sign-out")
	}, c.Value)
	calls("Write 1", "changes after a sign-out elsewhere, after its load")
}

func TestReadersWithoutCookiesLeaveNothing(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	for range 20 {
		if c := f.cookie(f.do(get(t), "")); c != nil {
			t.Fatal(c)
		}
	}
	if n, err := f.svc.Count(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

func TestSignInAndOutInABrowser(t *testing.T) {
	f := setup(t, sessionhttp.Options{Insecure: true})
	mux := http.NewServeMux()
	mux.HandleFunc("/set", set(t, "cart"))
	mux.HandleFunc("/in", func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignIn(r.Context(), "alice", nil)) })
	mux.HandleFunc("/out", func(w http.ResponseWriter, r *http.Request) {
		ok(t, from(r).SignOut(r.Context()))
		http.Redirect(w, r, "/who", http.StatusSeeOther)
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		p, err := from(r).Principal(r.Context())
		v, _, _ := note.Get(r.Context())
		_, _ = fmt.Fprint(w, p.ID, " ", v, " ", err)
	})
	srv := httptest.NewServer(f.m.Wrap(mux))
	defer srv.Close()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	visit := func(path string) string {
		res, err := client.Get(srv.URL + path)
		ok(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		ok(t, err)
		return string(body)
	}
	at, _ := url.Parse(srv.URL)
	visit("/set")
	anonymous := jar.Cookies(at)[0].Value
	visit("/in")
	signed := jar.Cookies(at)[0].Value
	if anonymous == signed || visit("/who") != "alice cart <nil>" {
		t.Fatal(visit("/who"))
	}
	if got := visit("/out"); got != "  "+session.ErrUnauthenticated.Error() {
		t.Fatal(got)
	}
	if left := jar.Cookies(at); len(left) != 0 {
		t.Fatal(left)
	}
	for _, token := range []string{anonymous, signed} {
		if w := f.do(get(t), token); w.Body.String() != `"" false` {
			t.Fatal(w.Body)
		}
	}
}

func TestDeviceListKnowsTheUserAgent(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	r.Header.Set("User-Agent", "Probe/1.0")
	f.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ok(t, from(r).SignIn(r.Context(), "alice", nil))
	})).ServeHTTP(httptest.NewRecorder(), r)
	for info, err := range f.svc.Sessions(context.Background(), "alice") {
		ok(t, err)
		if info.Client.UserAgent != "Probe/1.0" {
			t.Fatalf("%+v", info)
		}
	}
}

func TestResponsesThatDependOnTheSessionVary(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	if v := f.do(get(t), "").Header().Get("Vary"); v != "Cookie" {
		t.Error(v)
	}
	if v := f.do(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, f.token()).Header().Get("Vary"); v != "" {
		t.Error(v)
	}
	w := f.do(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		ok(t, note.Set(r.Context(), "v"))
	}, "")
	if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
		t.Error(got)
	}
	w = f.do(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "public") }, "")
	if got := w.Header().Get("Cache-Control"); got != "public" {
		t.Error("a response without a cookie:", got)
	}
}

func TestOverTLSAndHTTP2(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	srv := httptest.NewUnstartedServer(f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _, _ := note.Get(r.Context())
		ok(t, note.Set(r.Context(), n+"x"))
		_, hijacks := w.(http.Hijacker)
		_, flushes := w.(http.Flusher)
		_, _ = fmt.Fprintf(w, "%d %s %v %v", r.ProtoMajor, n, hijacks, flushes)
		_ = http.NewResponseController(w).Flush()
	})))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	client := srv.Client()
	client.Jar, _ = cookiejar.New(nil)
	for _, want := range []string{"2  false true", "2 x false true", "2 xx false true"} {
		res, err := client.Get(srv.URL)
		ok(t, err)
		body, err := io.ReadAll(res.Body)
		ok(t, err)
		ok(t, res.Body.Close())
		if string(body) != want {
			t.Fatalf("%q, want %q", body, want)
		}
	}
}
