package shop

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

type site struct {
	t   *testing.T
	srv *httptest.Server
	b   *sessiontest.Backend
}

func open(t *testing.T, raw expiry.ModelExpirySupport, secure bool) *site {
	t.Helper()
	b := sessiontest.Wrap(raw)
	quiet := slog.New(slog.DiscardHandler)
	h, err := New(b, &Options{Secure: secure, Logger: quiet})
	ok(t, err)
	s := &site{t, httptest.NewServer(h), b}
	t.Cleanup(func() { ok(t, h.Close()); s.srv.Close() })
	return s
}

func inMemory(t *testing.T) *site {
	t.Helper()
	b, err := memory.New(memory.NewSpace(), "s", nil)
	ok(t, err)
	return open(t, b, false)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser keeps cookies and does not follow redirects.
type browser struct {
	s *site
	c *http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	ok(s.t, err)
	return &browser{s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type answer struct {
	*http.Response
	text string
}

func (b *browser) do(method, path string, form url.Values, header ...string) answer {
	b.s.t.Helper()
	req, err := http.NewRequestWithContext(b.s.t.Context(), method, b.s.srv.URL+path, strings.NewReader(form.Encode()))
	ok(b.s.t, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.c.Do(req)
	ok(b.s.t, err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	ok(b.s.t, err)
	return answer{res, string(data)}
}

func (b *browser) get(path string) answer { b.s.t.Helper(); return b.do(http.MethodGet, path, nil) }
func (b *browser) post(path string, pairs ...string) answer {
	b.s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, form)
}

func (b *browser) signIn(user string) {
	b.s.t.Helper()
	b.post("/login", "user", user, "password", user).is(b.s.t, http.StatusSeeOther, "/")
}

// is checks the status and the target of a redirect.
func (a answer) is(t *testing.T, status int, location string) {
	t.Helper()
	if a.StatusCode != status || a.Header.Get("Location") != location {
		t.Fatalf("%s %s: %d %q, want %d %q\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.Header.Get("Location"), status, location, a.text)
	}
}

func (b *browser) api(want string) {
	b.s.t.Helper()
	a := b.get("/api/session")
	if a.text != want || a.Header.Get("Content-Type") != "application/json" {
		b.s.t.Fatalf("got  %s\nwant %s", a.text, want)
	}
}

func TestVisitsAndCartAndSignIn(t *testing.T) {
	b := inMemory(t).browser()
	b.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
	for range 3 {
		b.get("/").is(t, http.StatusOK, "")
	}
	b.get("/login").is(t, http.StatusOK, "")
	b.do(http.MethodHead, "/", nil).is(t, http.StatusOK, "")
	b.api(`{"authenticated":false,"principal":"","visits":3,"cart":[]}`)
	b.post("/cart", "item", "Enamel mug").is(t, http.StatusSeeOther, "/")
	b.post("/cart", "item", " <Trail & map> ").is(t, http.StatusSeeOther, "/")
	if page := b.get("/").text; !strings.Contains(page, "&lt;Trail &amp; map&gt;") || !strings.Contains(page, "<strong>4</strong>") {
		t.Fatal(page)
	}
	bad := b.post("/login", "user", "demo", "password", "nope")
	bad.is(t, http.StatusUnauthorized, "")
	if !strings.Contains(bad.text, "do not go together") {
		t.Fatal(bad.text)
	}
	b.post("/login", "user", "", "password", "").is(t, http.StatusUnauthorized, "")
	b.post("/login", "user", "nobody", "password", "").is(t, http.StatusUnauthorized, "")
	b.signIn("demo")
	b.api(`{"authenticated":true,"principal":"demo","visits":4,"cart":["Enamel mug","\u003cTrail \u0026 map\u003e"]}`)
	b.post("/logout").is(t, http.StatusSeeOther, "/goodbye")
	b.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
}

func TestCartRefusesNonsense(t *testing.T) {
	b := inMemory(t).browser()
	for _, item := range []string{"", "   ", strings.Repeat("x", 61), "\xff"} {
		b.post("/cart", "item", item).is(t, http.StatusBadRequest, "")
	}
	for i := range maxCart {
		b.post("/cart", "item", fmt.Sprint("item ", i)).is(t, http.StatusSeeOther, "/")
	}
	b.post("/cart", "item", "one more").is(t, http.StatusBadRequest, "")
	b.do(http.MethodPost, "/cart", url.Values{"item": {strings.Repeat("x", maxForm)}}).is(t, http.StatusBadRequest, "")
}

func TestDevices(t *testing.T) {
	s := inMemory(t)
	phone, laptop, stranger := s.browser(), s.browser(), s.browser()
	phone.get("/devices").is(t, http.StatusSeeOther, "/login?next=%2Fdevices")
	phone.post("/devices/delete-others").is(t, http.StatusSeeOther, "/login?next=%2F")
	phone.post("/devices/x/delete").is(t, http.StatusSeeOther, "/login?next=%2F")
	phone.do(http.MethodPost, "/login", url.Values{"user": {"demo"}, "password": {"demo"}},
		"User-Agent", "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0")
	laptop.signIn("demo")
	stranger.signIn("admin")
	page := laptop.get("/devices")
	page.is(t, http.StatusOK, "")
	if !strings.Contains(page.text, "Firefox on Android") || strings.Count(page.text, "This device") != 1 {
		t.Fatal(page.text)
	}
	handles := handlesIn(page.text)
	if len(handles) != 2 {
		t.Fatal(handles)
	}
	own, others := handles[0], handles[1]
	stranger.post("/devices/"+others+"/delete").is(t, http.StatusNotFound, "")
	phone.api(`{"authenticated":true,"principal":"demo","visits":0,"cart":[]}`)
	laptop.post("/devices/"+others+"/delete").is(t, http.StatusSeeOther, "/devices")
	phone.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
	if page := laptop.get("/devices").text; !strings.Contains(page, "The device was signed out.") {
		t.Fatal(page)
	}
	if page := laptop.get("/devices").text; strings.Contains(page, "The device was signed out.") {
		t.Fatal("the notice is shown twice")
	}
	phone.signIn("demo")
	s.browser().signIn("demo")
	laptop.post("/devices/delete-others").is(t, http.StatusSeeOther, "/devices")
	if page := laptop.get("/devices").text; !strings.Contains(page, "2 other devices signed out.") {
		t.Fatal(page)
	}
	phone.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
	stranger.api(`{"authenticated":true,"principal":"admin","visits":0,"cart":[]}`)
	laptop.post("/devices/"+own+"/delete").is(t, http.StatusSeeOther, "/goodbye")
	laptop.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
}

func handlesIn(page string) []string {
	var out []string
	for part := range strings.SplitSeq(page, `action="/devices/`) {
		if h, _, found := strings.Cut(part, "/delete\""); found && len(h) == 22 {
			out = append(out, h)
		}
	}
	return out
}

func TestHeadersAndMethods(t *testing.T) {
	b := inMemory(t).browser()
	b.signIn("admin")
	for _, path := range []string{"/", "/login", "/static/style.css", "/nowhere", "/admin", "/devices", "/api/session"} {
		a := b.get(path)
		csp := a.Header.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, a.Header)
		}
		scripts := 0
		if path == "/devices" {
			scripts = 1
		}
		if strings.Count(a.text, "<script") != scripts || strings.Contains(a.text, "style=\"") || strings.Contains(a.text, "onclick") {
			t.Errorf("%s has another script than that of the panel, or an inline style", path)
		}
	}
	b.get("/nowhere").is(t, http.StatusNotFound, "")
	b.get("/logout").is(t, http.StatusNotFound, "")
	b.do(http.MethodPut, "/cart", nil).is(t, http.StatusMethodNotAllowed, "")
}

func TestCrossSiteFormsAreRefused(t *testing.T) {
	b := inMemory(t).browser()
	for _, h := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		b.do(http.MethodPost, "/login", url.Values{"user": {"demo"}, "password": {"demo"}}, h[0], h[1]).is(t, http.StatusForbidden, "")
	}
	b.do(http.MethodPost, "/login", url.Values{"user": {"demo"}, "password": {"demo"}}, "Sec-Fetch-Site", "same-origin").is(t, http.StatusSeeOther, "/")
}

func TestCookieNames(t *testing.T) {
	for secure, want := range map[bool]string{false: "id", true: "__Host-id"} {
		m, err := memory.New(memory.NewSpace(), "s", nil)
		ok(t, err)
		a := open(t, m, secure).browser().get("/")
		if len(a.Cookies()) != 1 || a.Cookies()[0].Name != want || a.Cookies()[0].Secure != secure || !a.Cookies()[0].HttpOnly {
			t.Fatal(a.Cookies())
		}
	}
}

func TestSessionSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	start := func() *site {
		b, err := file.New(dir, "shop", nil)
		ok(t, err)
		return open(t, b, false)
	}
	first := start()
	b := first.browser()
	b.get("/")
	b.signIn("demo")
	b.post("/cart", "item", "Trail map")
	cookies := b.c.Jar.Cookies(must(url.Parse(first.srv.URL)))
	first.srv.Close()
	ok(t, first.b.Close())

	second := start()
	b = second.browser()
	b.c.Jar.SetCookies(must(url.Parse(second.srv.URL)), cookies)
	b.api(`{"authenticated":true,"principal":"demo","visits":1,"cart":["Trail map"]}`)
}

func must(u *url.URL, err error) *url.URL {
	if err != nil {
		panic(err)
	}
	return u
}

func TestOutageIsNeitherAnErrorOfOursNorASignOut(t *testing.T) {
	for name, hook := range map[string]sessiontest.Hook{
		"down":      sessiontest.Down,
		"read-only": sessiontest.Fail(model.ErrUnavailable, sessiontest.OpWrite),
		"listings":  sessiontest.Fail(model.ErrUnavailable, sessiontest.OpPage),
	} {
		s := inMemory(t)
		b := s.browser()
		b.signIn("demo")
		s.b.SetHook(hook)
		for _, path := range []string{"/", "/devices"} {
			a := b.get(path)
			if a.StatusCode < 400 {
				continue // the page needs nothing that fails
			}
			if a.StatusCode != http.StatusServiceUnavailable || strings.Contains(a.text, "Sign in") || !strings.Contains(a.text, "<h1>") {
				t.Errorf("%s, %s: %d %s", name, path, a.StatusCode, a.text)
			}
		}
		s.b.SetHook(nil)
		if a := b.get("/devices"); a.StatusCode != http.StatusOK || !strings.Contains(a.text, "Signed in as") || a.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
	}
}

func TestStoreThatIsDownIsAPage(t *testing.T) {
	s := inMemory(t)
	b := s.browser()
	b.get("/")
	ok(t, s.b.Unwrap().Close())
	a := b.get("/devices")
	if a.StatusCode < 500 || !strings.Contains(a.text, "<h1>") {
		t.Fatal(a.StatusCode, a.text)
	}
	s.browser().get("/login").is(t, http.StatusOK, "")
	s.browser().get("/static/style.css").is(t, http.StatusOK, "")
}
