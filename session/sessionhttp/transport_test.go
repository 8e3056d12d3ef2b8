package sessionhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// jwt is a token of another API.
const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

const page = "https://example.com/"

func enter(t testing.TB) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignIn(r.Context(), "alice", nil)) }
}

// Bug: alexedwards/scs#100, kataras/iris#1200
func TestHeaderTransportsWorkLikeTheCookie(t *testing.T) {
	for name, tc := range map[string]struct {
		transport sessionhttp.Transport
		in, out   string // headers
		prefix    string
	}{
		"bearer":         {sessionhttp.Bearer{}, "Authorization", "Session-Token", "Bearer "},
		"bearer, named":  {sessionhttp.Bearer{ResponseHeader: "X-New"}, "Authorization", "X-New", "bearer  "},
		"header":         {sessionhttp.Header{Name: "X-Session"}, "X-Session", "X-Session", ""},
		"both, by first": {sessionhttp.Both(sessionhttp.Bearer{}, sessionhttp.Cookie{}), "Authorization", "Session-Token", "Bearer "},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, sessionhttp.Options{Transport: tc.transport})
			w := f.ask(enter(t), http.MethodPost, page)
			token := w.Header().Get(tc.out)
			if len(token) != session.TokenLen || w.Header().Get("Set-Cookie") != "" || w.Header().Get("Cache-Control") != "private, no-store" {
				t.Fatal(w.Header())
			}
			w = f.ask(http.HandlerFunc(who), http.MethodGet, page, tc.in, tc.prefix+token)
			if w.Body.String() != "alice<nil>" || w.Header().Get(tc.out) != "" {
				t.Fatal(w.Body, w.Header())
			}
			if w.Header().Get("Cache-Control") != "private, no-store" || w.Header()["Vary"][0] != tc.in {
				t.Fatal(w.Header())
			}
			// Other sites cannot set a header: their origin does not matter.
			w = f.ask(http.HandlerFunc(who), http.MethodPost, page, tc.in, tc.prefix+token, "Origin", "https://evil.example")
			if w.Code != http.StatusOK || w.Body.String() != "alice<nil>" {
				t.Fatal(w.Code, w.Body)
			}
			for what, header := range map[string][]string{
				"cut":       {tc.in, tc.prefix + token[1:]},
				"over-long": {tc.in, tc.prefix + token + strings.Repeat("x", 9000)},
				"forged":    {tc.in, tc.prefix + token[:23] + strings.Repeat("A", 43)},
				"basic":     {"Authorization", "Basic " + token},
			} {
				if w := f.ask(http.HandlerFunc(who), http.MethodGet, page, header...); w.Code != http.StatusOK || w.Body.String() != "<nil>" {
					t.Error(what, w.Code, w.Body)
				}
			}
			w = f.ask(sessionhttp.SignOut(nil), http.MethodPost, page, tc.in, tc.prefix+token)
			if got, there := w.Header()[http.CanonicalHeaderKey(tc.out)]; !there || got[0] != "" {
				t.Fatal("the client is not told to forget it:", w.Header())
			}
			if w := f.ask(http.HandlerFunc(who), http.MethodGet, page, tc.in, tc.prefix+token); w.Body.String() != "<nil>" {
				t.Fatal(w.Body)
			}
		})
	}
}

func TestCookieIsIgnoredWithBearerOnly(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Bearer{}})
	token := f.ask(enter(t), http.MethodPost, page).Header().Get("Session-Token")
	f.b.Calls()
	w := f.ask(http.HandlerFunc(who), http.MethodGet, page, "Cookie", f.pair(token))
	if w.Body.String() != "<nil>" || w.Header().Get("Set-Cookie") != "" {
		t.Fatal(w.Body, w.Header())
	}
	f.b.Assert(t, "none", "a cookie where only bearer is allowed")
	// A cookie in addition to the header changes nothing.
	w = f.ask(http.HandlerFunc(who), http.MethodGet, page, "Cookie", f.pair("x"), "Authorization", "Bearer "+token)
	if w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
}

func TestBothAnswersByTheTransportOfTheRequest(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{})})
	mine := f.signIn("alice")
	other := f.signIn("bob")
	rotate := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).Rotate(r.Context())) })
	w := f.ask(rotate, http.MethodPost, page, "Authorization", "Bearer "+mine)
	if w.Header().Get("Set-Cookie") != "" || w.Header().Get("Session-Token") == "" {
		t.Fatal(w.Header())
	}
	mine = w.Header().Get("Session-Token")
	w = f.ask(rotate, http.MethodPost, page, "Cookie", f.pair(mine))
	if w.Header().Get("Session-Token") != "" || f.cookie(w) == nil {
		t.Fatal(w.Header())
	}
	mine = f.cookie(w).Value
	// The same token by both counts as one. It came by a header, which other
	// sites cannot set.
	w = f.ask(http.HandlerFunc(who), http.MethodPost, page, "Cookie", f.pair(mine), "Authorization", "Bearer "+mine, "Origin", "https://evil.example")
	if w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
	if w := f.ask(http.HandlerFunc(who), http.MethodPost, page, "Cookie", f.pair(mine), "Origin", "https://evil.example"); w.Code != http.StatusForbidden {
		t.Fatal(w.Code)
	}
	// Two tokens that both open a session are anonymous.
	w = f.ask(http.HandlerFunc(who), http.MethodGet, page, "Cookie", f.pair(mine), "Authorization", "Bearer "+other)
	if w.Code != http.StatusOK || w.Body.String() != "<nil>" || f.cookie(w) != nil {
		t.Fatal(w.Body, w.Header())
	}
	// Another API's token does not count.
	for _, bearer := range []string{"nonsense", mine[:65], jwt} {
		w = f.ask(http.HandlerFunc(who), http.MethodGet, page, "Cookie", f.pair(mine), "Authorization", "Bearer "+bearer)
		if w.Code != http.StatusOK || w.Body.String() != "alice<nil>" || f.cookie(w) != nil {
			t.Fatal(w.Body, w.Header())
		}
	}
	if v := w.Header()["Vary"]; len(v) != 2 || v[0] != "Cookie" || v[1] != "Authorization" {
		t.Fatal(v)
	}
}

// Of a hundred tokens, four are tried.
func TestAHundredTokensCostFourReads(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Header{Name: "X-Session"})})
	mine := f.signIn("alice")
	forged := make([]string, 100)
	for i := range forged {
		forged[i] = f.pair(fmt.Sprintf("%021dA.%042dA", i, i))
	}
	for at, want := range map[int]string{0: "alice<nil>", 3: "alice<nil>", 4: "<nil>", 99: "<nil>"} {
		all := slices.Insert(slices.Clone(forged), at, f.pair(mine))
		f.b.Calls()
		w := f.ask(http.HandlerFunc(who), http.MethodGet, page, "Cookie", strings.Join(all, "; "))
		if w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("at %d: %d %s", at, w.Code, w.Body)
		}
		f.b.Assert(t, "Get 4", "a hundred tokens")
	}
}

func TestTransportsRefuseInvalidNames(t *testing.T) {
	k := sessiontest.New(t, nil)
	for _, o := range []sessionhttp.Options{
		{Transport: sessionhttp.Header{}}, {Transport: sessionhttp.Header{Name: "Cookie"}}, {Transport: sessionhttp.Header{Name: "a b"}},
		{Transport: sessionhttp.Bearer{ResponseHeader: "set-cookie"}}, {Transport: sessionhttp.Both(nil, sessionhttp.Bearer{})},
		{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Header{Name: "é"})},
		{TrustedProxies: []netip.Prefix{{}}}, {Address: 9}, {ProxyHeader: 9}, {CSRFMaxBytes: -1},
		{Transport: sessionhttp.Header{Name: "X_Session"}}, {Transport: sessionhttp.Bearer{ResponseHeader: "session_token"}},
		{Transport: sessionhttp.Header{Name: "connection"}}, {Transport: sessionhttp.Header{Name: "sec-session"}}, {Transport: sessionhttp.Header{Name: "x-forwarded-for"}},
	} {
		_, err := sessionhttp.New(k.Service, &o)
		is(t, err, model.ErrInvalid)
	}
}

func TestAddressBehindTrustedProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for _, tc := range []struct {
		remote    string
		forwarded []string
		keep      sessionhttp.Address
		want      string
	}{
		{"203.0.113.9:1234", nil, 0, "203.0.113.9"},
		{"203.0.113.9:1234", []string{"198.51.100.1"}, 0, "203.0.113.9"}, // the client's own claim
		{"10.0.0.1:1234", nil, 0, "10.0.0.1"},
		{"10.0.0.1:1234", []string{"198.51.100.1"}, 0, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.1"}, 0, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"1.1.1.1", "198.51.100.1, 10.0.0.7", " 10.2.0.7"}, 0, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"10.0.0.2,10.0.0.3"}, 0, "10.0.0.2"},
		{"10.0.0.1:1234", []string{"198.51.100.1, unknown"}, 0, "10.0.0.1"},
		{"10.0.0.1:1234", []string{"198.51.100.1:5555"}, 0, "198.51.100.1"},
		{"[2001:db8:ffff::1]:1234", []string{"2001:db8:1:2:3::4"}, 0, "2001:db8:1:2:3::4"},
		{"[::ffff:10.0.0.1]:1234", []string{"198.51.100.1"}, 0, "198.51.100.1"},
		{"[fe80::1%eth0]:1234", nil, 0, "fe80::1"},
		{"@", nil, 0, "invalid IP"},
		{"10.0.0.1:1234", []string{strings.Repeat("10.1.1.1,", 9999) + "10.0.0.2"}, 0, "10.1.1.1"},
		{"203.0.113.9:1234", nil, sessionhttp.AddressTruncated, "203.0.113.0"},
		{"[2001:db8:1:2:3::4]:1234", nil, sessionhttp.AddressTruncated, "2001:db8:1::"},
		{"203.0.113.9:1234", nil, sessionhttp.AddressNone, "invalid IP"},
	} {
		f := setup(t, sessionhttp.Options{TrustedProxies: proxies, Address: tc.keep})
		r := httptest.NewRequest(http.MethodPost, page, nil)
		r.RemoteAddr = tc.remote
		r.Header["X-Forwarded-For"] = tc.forwarded
		f.m.Wrap(enter(t)).ServeHTTP(httptest.NewRecorder(), r)
		for i, err := range f.svc.Sessions(t.Context(), "alice") {
			ok(t, err)
			if got := i.Client.Address.String(); got != tc.want {
				t.Errorf("%s %.60v: %s, want %s", tc.remote, tc.forwarded, got, tc.want)
			}
		}
	}
}

func TestStoreDownPoliciesOverHTTP(t *testing.T) {
	k := sessiontest.New(t, &session.Options{StoreDown: session.Anonymous})
	m, err := sessionhttp.New(k.Service, nil)
	ok(t, err)
	token := k.Token(t, sessiontest.As("alice"))
	k.Backend.SetHook(sessiontest.Down)
	ask := func(h http.HandlerFunc) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, page, nil)
		r.Header.Set("Cookie", m.CookieName()+"="+token)
		w := httptest.NewRecorder()
		m.Wrap(h).ServeHTTP(w, r)
		return w
	}
	w := ask(who)
	if w.Code != http.StatusOK || w.Body.String() != "<nil>" || w.Header().Get("Set-Cookie") != "" {
		t.Fatal(w.Code, w.Body, w.Header())
	}
	// A change is never lost silently, even if the handler ignores errors.
	w = ask(func(w http.ResponseWriter, r *http.Request) {
		_ = note.Set(r.Context(), "v")
		_, _ = io.WriteString(w, "saved")
	})
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Set-Cookie") != "" {
		t.Fatal(w.Code, w.Body)
	}
	k.Backend.SetHook(nil)
	if w := ask(who); w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
}

// A row that cannot be read is not a lasting error: pages work, and the next
// value goes to a new session.
func TestUnreadableRowIsNotALastingError(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	f.b.SetTamper(sessiontest.Torn)
	f.isNobody(token)
	w := f.do(set(t, "v"), token)
	f.b.SetTamper(nil)
	if w.Code != http.StatusOK || f.cookie(w) == nil || f.cookie(w).Value == token {
		t.Fatal(w.Code, w.Header())
	}
}

func TestRequestsOfTheKit(t *testing.T) {
	cart := session.NewKey[int]("cart")
	r := sessiontest.Request(t, httptest.NewRequest(http.MethodGet, "/", nil), sessiontest.As("alice"), sessiontest.With(cart, 3))
	w := httptest.NewRecorder()
	who(w, r)
	if n, there, err := cart.Get(r.Context()); err != nil || !there || n != 3 || w.Body.String() != "alice<nil>" {
		t.Fatal(n, there, err, w.Body)
	}
	w = httptest.NewRecorder()
	who(w, sessiontest.Request(t, httptest.NewRequest(http.MethodGet, "/", nil)))
	if w.Body.String() != "<nil>" {
		t.Fatal(w.Body)
	}
	k := sessiontest.New(t, nil)
	r = k.Request(t, httptest.NewRequest(http.MethodGet, "/", nil), sessiontest.As("bob"))
	k.Backend.Assert(t, "Write 1", "the kit's own sign-in")
	hook, entered, release := sessiontest.Hold(sessiontest.OpGet)
	k.Backend.SetHook(hook)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := httptest.NewRecorder()
		if who(w, r); w.Body.String() != "bob<nil>" {
			t.Error(w.Body)
		}
	}()
	<-entered
	close(release)
	<-done
	k.Backend.SetHook(sessiontest.Fail(model.ErrConflict, sessiontest.OpWrite))
	s := k.Service.Open("")
	is(t, s.SignIn(t.Context(), "carol", nil), model.ErrConflict)
	k.Backend.SetHook(sessiontest.LoseFirst(sessiontest.OpWrite))
	ok(t, s.SignIn(t.Context(), "carol", nil))
}
