package sessionhttp_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// ask makes one request. Headers are pairs of name and value.
func (f *fixture) ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.m.Wrap(h).ServeHTTP(w, r)
	return w
}

// pair returns the value of a Cookie header.
func (f *fixture) pair(token string) string { return f.m.CookieName() + "=" + token }

// signIn returns the token of a new session of the principal.
func (f *fixture) signIn(principal string) string {
	f.t.Helper()
	c := f.cookie(f.do(func(_ http.ResponseWriter, r *http.Request) { ok(f.t, from(r).SignIn(r.Context(), principal, nil)) }, ""))
	if c == nil {
		f.t.Fatal("no cookie")
	}
	return c.Value
}

// who is a handler that answers with the principal.
func who(w http.ResponseWriter, r *http.Request) {
	p, err := from(r).Principal(r.Context())
	if errors.Is(err, session.ErrUnauthenticated) {
		err = nil
	}
	_, _ = fmt.Fprint(w, p.ID, err)
}

// is401 and the like are the answers that a test expects of who.
func (f *fixture) isNobody(token string) {
	f.t.Helper()
	if w := f.do(who, token); w.Code != http.StatusOK || w.Body.String() != "<nil>" {
		f.t.Fatal(w.Code, w.Body)
	}
}

// Norm: ASVS 7.4.1
// Asks: logout and expiry end the session for good.
// Library: a marker takes the place of the row before the answer is sent, and no request under way can bring it back. The cookie is cleared with and without Domain, Path and Partitioned. The answer has Cache-Control: no-store, and Clear-Site-Data by option.
// Application: mount sessionhttp.SignOut.
func TestASVS_7_4_1_LogoutIsFinal(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	var w *httptest.ResponseRecorder
	slow := f.do(func(w2 http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "late"))
		w = f.ask(sessionhttp.SignOut(&sessionhttp.SignOutOptions{Redirect: "/bye", ClearSiteData: []string{"cache", "storage"}}),
			http.MethodPost, "https://example.com/logout", "Cookie", f.pair(token))
		_, _ = io.WriteString(w2, "saved")
	}, token)
	if c := f.cookie(w); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/bye" || c == nil || c.MaxAge != -1 || c.Value != "" {
		t.Fatal(w.Code, w.Header())
	}
	if w.Header().Get("Cache-Control") != "private, no-store" || w.Header().Get("Clear-Site-Data") != `"cache", "storage"` {
		t.Fatal(w.Header())
	}
	if slow.Code != http.StatusConflict {
		t.Fatal("a request under way:", slow.Code, slow.Body)
	}
	f.isNobody(token)
	if n, err := f.svc.Count(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	expired := f.signIn("alice")
	f.clock.Advance(30 * time.Minute)
	f.isNobody(expired)
}

// Norm: ASVS 7.4.4
// Asks: a way to log out is visible on every page.
// Library: sessionhttp.SignOut is ready to mount. It accepts only POST, so no link or image signs anybody out.
// Application: a button on every page.
func TestASVS_7_4_4_SignOutAcceptsOnlyPost(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	h := sessionhttp.SignOut(nil)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		w := f.ask(h, method, "https://example.com/logout", "Cookie", f.pair(token))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
			t.Fatal(method, w.Code, w.Header())
		}
	}
	if w := f.do(who, token); w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
	f.b.SetHook(sessiontest.Down)
	if w := f.ask(h, http.MethodPost, "https://example.com/logout", "Cookie", f.pair(token)); w.Code != http.StatusServiceUnavailable {
		t.Fatal(w.Code)
	}
	f.b.SetHook(nil)
	if w := f.ask(h, http.MethodPost, "https://example.com/logout", "Cookie", f.pair(token)); w.Code != http.StatusNoContent {
		t.Fatal(w.Code)
	}
	f.isNobody(token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil)) // without sessionhttp
	if w.Code != http.StatusInternalServerError {
		t.Fatal(w.Code)
	}
}

// guarded is a handler behind RequireRecentAuth. It counts its requests.
func guarded(within time.Duration, level int) (h http.Handler, ran *int, challenged *error) {
	ran, challenged = new(int), new(error)
	h = sessionhttp.RequireRecentAuth(within, level, func(w http.ResponseWriter, _ *http.Request, err error) {
		*challenged = err
		w.WriteHeader(http.StatusTeapot)
	})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { *ran++ }))
	return h, ran, challenged
}

// Norm: ASVS 7.5.1
// Asks: full re-authentication before account attributes are changed.
// Library: with RequireRecentAuth(within, level) the handler does not run, and the challenge answers. Reauthenticate satisfies it.
// Application: mount it before such pages, and carry out the re-authentication.
func TestASVS_7_5_1_SensitiveChangesNeedARecentProof(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	h, ran, challenged := guarded(5*time.Minute, 0)
	visit := func(token string, code, runs int, want error) {
		t.Helper()
		*challenged = nil
		w := f.ask(h, http.MethodPost, "https://example.com/password", "Cookie", f.pair(token))
		if w.Code != code || *ran != runs || !errors.Is(*challenged, want) {
			t.Fatal(w.Code, *ran, *challenged)
		}
	}
	visit("", http.StatusTeapot, 0, session.ErrUnauthenticated)
	token := f.signIn("alice")
	visit(token, http.StatusOK, 1, nil)
	f.clock.Advance(5*time.Minute + time.Millisecond)
	visit(token, http.StatusTeapot, 1, session.ErrReauthenticate)
	token = f.cookie(f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).Reauthenticate(r.Context())) }, token)).Value
	visit(token, http.StatusOK, 2, nil)
	f.b.SetHook(sessiontest.Down)
	visit(token, http.StatusServiceUnavailable, 2, nil)
}

// Norm: ASVS 7.5.3
// Asks: a further factor before highly sensitive operations.
// Library: RequireRecentAuth checks a level, and Elevate gives it for a time. An impersonation never passes.
// Application: choose the numbers of its levels.
func TestASVS_7_5_3_SensitiveOperationsNeedALevel(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	h, ran, challenged := guarded(0, 2)
	token := f.signIn("alice")
	post := func() int {
		return f.ask(h, http.MethodPost, "https://example.com/pay", "Cookie", f.pair(token)).Code
	}
	if post() != http.StatusTeapot || *ran != 0 || !errors.Is(*challenged, session.ErrReauthenticate) {
		t.Fatal(*ran, *challenged)
	}
	change := func(do func(r *http.Request) error) {
		t.Helper()
		token = f.cookie(f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, do(r)) }, token)).Value
	}
	change(func(r *http.Request) error { return from(r).Elevate(r.Context(), 2, time.Minute) })
	if post() != http.StatusOK || *ran != 1 {
		t.Fatal(*ran)
	}
	change(func(r *http.Request) error { return from(r).Impersonate(r.Context(), "bob", "ticket") })
	if post() != http.StatusTeapot || !errors.Is(*challenged, session.ErrImpersonating) {
		t.Fatal(*ran, *challenged)
	}
	change(func(r *http.Request) error { return from(r).EndImpersonation(r.Context()) })
	f.clock.Advance(time.Minute)
	if post() != http.StatusTeapot || *ran != 1 {
		t.Fatal(*ran)
	}
	w := f.ask(sessionhttp.RequireRecentAuth(0, 2, nil)(http.HandlerFunc(who)), http.MethodGet, "https://example.com/", "Cookie", f.pair(token))
	if w.Code != http.StatusForbidden {
		t.Fatal(w.Code)
	}
}

// Norm: ASVS 7.6.2
// Asks: only an action of the user begins a session.
// Library: nothing is stored and no cookie is set before a value is written or somebody signs in.
// Application: write no values on pages that are only read.
//
// Bug: expressjs/session#133, expressjs/session#212, expressjs/session#232
func TestASVS_7_6_2_CrawlersLeaveNothing(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	for i := range 50 {
		w := f.ask(http.HandlerFunc(who), http.MethodGet, fmt.Sprint("https://example.com/page", i))
		if len(w.Result().Cookies()) != 0 {
			t.Fatal(w.Header())
		}
	}
	f.b.Assert(t, "none", "a crawler")
	if n, err := f.svc.Count(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

// refuses and sends check the Set-Cookie header.
func line(t testing.TB, o sessionhttp.Options) (string, error) {
	t.Helper()
	k := sessiontest.New(t, nil)
	o.Logger = slog.New(slog.DiscardHandler)
	m, err := sessionhttp.New(k.Service, &o)
	if err != nil {
		return "", err
	}
	w := httptest.NewRecorder()
	m.Wrap(set(t, "v")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w.Header().Get("Set-Cookie"), nil
}

// Norm: ASVS 3.3.1
// Asks: cookies are Secure, and named __Secure- if not __Host-.
// Library: Secure and __Host-id by default, a name with __Secure- for a Domain or Path. Plain http needs the explicit option Insecure, which is logged.
// Application: https in front.
func TestASVS_3_3_1_CookieIsSecure(t *testing.T) {
	for o, want := range map[*sessionhttp.Options]string{
		{}: "__Host-id=", {Domain: "example.com"}: "__Secure-id=", {Path: "/app"}: "__Secure-path-id=",
	} {
		got, err := line(t, *o)
		if err != nil || !strings.HasPrefix(got, want) || !strings.Contains(got, "; Secure") {
			t.Error(got, err)
		}
	}
	if got, err := line(t, sessionhttp.Options{Insecure: true}); err != nil || strings.Contains(got, "Secure") {
		t.Error(got, err)
	}
	_, err := line(t, sessionhttp.Options{Insecure: true, CookieName: "__Secure-id"})
	is(t, err, model.ErrInvalid)
}

// Norm: ASVS 3.3.2
// Asks: SameSite fits the purpose of the cookie.
// Library: Lax by default. None and Partitioned need Secure.
// Application: Strict, if no other site links to a signed-in page.
func TestASVS_3_3_2_SameSite(t *testing.T) {
	for mode, want := range map[http.SameSite]string{
		0: "SameSite=Lax", http.SameSiteDefaultMode: "SameSite=Lax", http.SameSiteLaxMode: "SameSite=Lax",
		http.SameSiteStrictMode: "SameSite=Strict", http.SameSiteNoneMode: "SameSite=None",
	} {
		if got, err := line(t, sessionhttp.Options{SameSite: mode}); err != nil || !strings.Contains(got, want) {
			t.Error(got, err)
		}
	}
	for _, o := range []sessionhttp.Options{{SameSite: http.SameSiteNoneMode, Insecure: true}, {Partitioned: true, Insecure: true}} {
		_, err := line(t, o)
		is(t, err, model.ErrInvalid)
	}
}

// Norm: ASVS 3.3.3
// Asks: cookies are named __Host- unless they are shared between hosts.
// Library: __Host- is the default. New refuses it with a Domain, another Path or without Secure. Each scope has another default name.
// Application: nothing.
func TestASVS_3_3_3_HostPrefix(t *testing.T) {
	for _, o := range []sessionhttp.Options{
		{CookieName: "__Host-a", Domain: "example.com"}, {CookieName: "__HOST-a", Path: "/app"}, {CookieName: "__Host-a", Insecure: true},
	} {
		_, err := line(t, o)
		is(t, err, model.ErrInvalid)
	}
	got, err := line(t, sessionhttp.Options{CookieName: "__Host-a"})
	if err != nil || strings.Contains(got, "Domain") || !strings.Contains(got, "; Path=/;") {
		t.Error(got, err)
	}
}

// Norm: ASVS 3.3.4
// Asks: cookies are HttpOnly, and the token travels only by Set-Cookie.
// Library: the cookie is always HttpOnly. The token is never in a body, a URL or a log. Bearer and Header are a separate choice, and a request with a cookie never gets its token in a header.
// Application: nothing.
func TestASVS_3_3_4_TokenTravelsOnlyInTheCookie(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	var trace logs
	observed, err := session.New(f.b, &session.Options{
		Clock: f.clock, Logger: slog.New(slog.NewTextHandler(&trace, nil)),
		Observe: expiry.LogObserver(slog.New(slog.NewTextHandler(&trace, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	})
	ok(t, err)
	m, err := sessionhttp.New(observed, &sessionhttp.Options{Logger: slog.New(slog.NewTextHandler(&trace, nil))})
	ok(t, err)
	secret := ""
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
		if secret != "" {
			r.Header.Set("Cookie", m.CookieName()+"="+secret)
		}
		w := httptest.NewRecorder()
		m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ok(t, from(r).SignIn(r.Context(), "alice", nil))
			_, _ = fmt.Fprintf(w, "%v %+v %s", from(r), r.Header["User-Agent"], r.URL)
			http.Redirect(w, r, "/next", http.StatusFound)
		})).ServeHTTP(w, r)
		c := w.Result().Cookies()
		if len(c) != 1 || !c[0].HttpOnly {
			t.Fatal(w.Header())
		}
		secret = c[0].Value
		_, plain, _ := strings.Cut(secret, ".")
		w.Header().Del("Set-Cookie")
		if all := fmt.Sprint(w.Header(), w.Body, trace.String()); strings.Contains(all, plain) {
			t.Fatal("the secret is elsewhere")
		}
	}
	if !strings.Contains(trace.String(), "sojourn store call") {
		t.Fatal("nothing was traced")
	}
}

// Norm: ASVS 3.3.5
// Asks: a cookie's name and value have 4096 bytes at most.
// Library: the cookie has a reference token of 66 bytes, for any amount of data.
// Application: nothing.
//
// Bug: vvo/iron-session#101
func TestASVS_3_3_5_CookieSizeIsConstant(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	w := f.do(set(t, strings.Repeat("x", 100_000)), "")
	if c := f.cookie(w); len(c.Value) != session.TokenLen || len(w.Header().Get("Set-Cookie")) > 200 {
		t.Fatal(w.Header())
	}
}

// Norm: ASVS 3.5.1
// Asks: requests forged by other sites are refused.
// Library: http.CrossOriginProtection checks every request by default. CSRFToken and RequireCSRF serve browsers without Fetch metadata. That token outlives one periodic rotation and changes with Rotate, Reauthenticate and each sign-in. StrictCSRF asks same-origin requests for it too.
// Application: change no state by GET. Use RequireCSRF if such browsers matter.
func TestASVS_3_5_1_ForgedRequestsAreRefused(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	h := http.HandlerFunc(who)
	post := func(h http.Handler, header ...string) int {
		return f.ask(h, http.MethodPost, "https://example.com/", append(header, "Cookie", f.pair(token))...).Code
	}
	for _, tc := range []struct {
		header []string
		code   int
	}{
		{[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{[]string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{[]string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{[]string{"Origin", "null"}, http.StatusForbidden},
		{[]string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{[]string{"Origin", "https://example.com"}, http.StatusOK},
		{nil, http.StatusOK},
	} {
		f.b.Calls()
		if code := post(h, tc.header...); code != tc.code {
			t.Errorf("%v: %d", tc.header, code)
		}
		if tc.code == http.StatusForbidden {
			f.b.Assert(t, "none", "a refused request")
		}
	}
	if w := f.ask(h, http.MethodGet, "https://example.com/", "Sec-Fetch-Site", "cross-site", "Cookie", f.pair(token)); w.Code != http.StatusOK {
		t.Error("a link from another site:", w.Code)
	}

	strict := f.m.RequireCSRF(h)
	text := f.do(func(w http.ResponseWriter, r *http.Request) {
		code, err := from(r).CSRFToken(r.Context())
		ok(t, err)
		_, _ = io.WriteString(w, code)
	}, token).Body.String()
	if post(strict) != http.StatusForbidden || post(strict, sessionhttp.CSRFHeader, "x") != http.StatusForbidden ||
		post(strict, sessionhttp.CSRFHeader, text) != http.StatusOK || post(strict, "Sec-Fetch-Site", "same-origin") != http.StatusOK {
		t.Error("RequireCSRF")
	}
	r := httptest.NewRequest(http.MethodPost, "https://example.com/", strings.NewReader(url.Values{sessionhttp.CSRFField: {text}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", f.pair(token))
	w := httptest.NewRecorder()
	f.m.Wrap(strict).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Error("a form:", w.Code)
	}
	if w := f.ask(strict, http.MethodGet, "https://example.com/", "Cookie", f.pair(token)); w.Code != http.StatusOK {
		t.Error("a page:", w.Code)
	}
	token = f.cookie(f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).Rotate(r.Context())) }, token)).Value
	if post(strict, sessionhttp.CSRFHeader, text) != http.StatusForbidden {
		t.Error("the token does not change with the secret")
	}
	f.b.SetHook(sessiontest.Down)
	if post(strict, sessionhttp.CSRFHeader, text) != http.StatusServiceUnavailable {
		t.Error("a store that is down")
	}
}

func TestCrossOriginProtectionCanBeReplaced(t *testing.T) {
	trusting := http.NewCrossOriginProtection()
	ok(t, trusting.AddTrustedOrigin("https://partner.example"))
	for _, tc := range []struct {
		opts    sessionhttp.Options
		origin  string
		refused bool
	}{
		{sessionhttp.Options{AnyOrigin: true}, "https://evil.example", false},
		{sessionhttp.Options{CrossOrigin: trusting}, "https://partner.example", false},
		{sessionhttp.Options{CrossOrigin: trusting}, "https://evil.example", true},
		{sessionhttp.Options{Transport: sessionhttp.Bearer{}}, "https://evil.example", false},
	} {
		f := setup(t, tc.opts)
		w := f.ask(http.HandlerFunc(who), http.MethodPost, "https://example.com/", "Origin", tc.origin)
		if (w.Code == http.StatusForbidden) != tc.refused {
			t.Errorf("%+v %s: %d", tc.opts, tc.origin, w.Code)
		}
	}
}

// Norm: CheatSheet id in URL or body
// Asks: the id is accepted only by its own mechanism.
// Library: only the configured Transport is read, and never the query or the body.
// Application: nothing.
func TestCheatSheet_IDInTheURLOrBodyIsIgnored(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	f.b.Calls()
	r := httptest.NewRequest(http.MethodPost, "https://example.com/"+token+"?id="+token+"&__Host-id="+token+"&token="+token+"#"+token,
		strings.NewReader("id="+token+"&__Host-id="+token))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Session-Token", token)
	w := httptest.NewRecorder()
	f.m.Wrap(http.HandlerFunc(who)).ServeHTTP(w, r)
	if w.Body.String() != "<nil>" {
		t.Fatal(w.Body)
	}
	f.b.Assert(t, "none", "a token in the wrong place")
}

// Norm: CheatSheet generic name
// Asks: the cookie's name does not reveal the framework.
// Library: __Host-id.
// Application: nothing.
func TestCheatSheet_CookieNameIsGeneric(t *testing.T) {
	for _, o := range []sessionhttp.Options{{}, {Insecure: true}, {Path: "/app"}} {
		got, err := line(t, o)
		ok(t, err)
		name, _, _ := strings.Cut(got, "=")
		if name = strings.TrimPrefix(strings.TrimPrefix(name, "__Host-"), "__Secure-"); strings.TrimPrefix(name, "path-") != "id" {
			t.Error(name)
		}
	}
}
