package sessionhttp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

func reauthenticate(t testing.TB) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).Reauthenticate(r.Context())) }
}

func leave(t testing.TB) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignOut(r.Context())) }
}

// dead returns a token of an ended session.
func (f *fixture) dead() string {
	f.t.Helper()
	token := f.svcToken("nobody")
	f.do(leave(f.t), token)
	f.clock.Advance(time.Hour) // longer than a marker is kept
	return token
}

func TestOneTokenOfSeveralOpensTheSession(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	dead := f.dead()
	alice, bob := f.signIn("alice"), f.signIn("bob")
	forged := alice[:23] + strings.Repeat("A", 43)
	for what, tc := range map[string]struct {
		tokens []string
		want   string
	}{
		"a dead one first":   {[]string{dead, alice}, "alice<nil>"},
		"a dead one last":    {[]string{alice, dead}, "alice<nil>"},
		"a forged one":       {[]string{forged, alice}, "alice<nil>"},
		"four":               {[]string{dead, forged, "x", "", alice, alice}, "alice<nil>"},
		"two that open":      {[]string{alice, bob}, "<nil>"},
		"two that open, one": {[]string{alice, bob, alice}, "<nil>"},
	} {
		lines := make([]string, 0, len(tc.tokens))
		for _, token := range tc.tokens {
			lines = append(lines, f.pair(token))
		}
		w := f.brings(who, strings.Join(lines, "; "))
		if w.Body.String() != tc.want || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %s %v", what, w.Body, w.Header())
		}
	}
	// A sign-out ends all that the browser has.
	w := f.ask(sessionhttp.SignOut(nil), http.MethodPost, page, "Cookie", f.pair(dead)+"; "+f.pair(alice)+"; "+f.pair(bob))
	if w.Code != http.StatusNoContent || f.cookie(w) == nil {
		t.Fatal(w.Code, w.Header())
	}
	f.isNobody(alice)
	f.isNobody(bob)
	// Many dead ones hide the live one, and nothing is read for each of them.
	f.b.Calls()
	alice = f.signIn("alice")
	many := make([]string, 0, 100)
	for range 100 {
		many = append(many, f.pair(session0(f)))
	}
	f.b.Calls()
	f.brings(who, strings.Join(many, "; ")+"; "+f.pair(alice))
	f.b.Assert(t, "Get 4", "a hundred cookies")
}

// session0 returns a new token that opens nothing.
func session0(f *fixture) string {
	f.t.Helper()
	token := f.svcToken("x")
	return token[:21] + "A" + token[22:]
}

func TestTokenOfTheCookieNeverGoesToAHeader(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Bearer{}, sessionhttp.Cookie{})})
	dead := f.dead()
	mine := f.svcToken("alice")
	w := f.ask(reauthenticate(t), http.MethodPost, page, "Cookie", f.pair(mine), "Authorization", "Bearer "+dead)
	if w.Header().Get("Session-Token") != "" || f.cookie(w) == nil {
		t.Fatal("a stale Bearer token takes the cookie's:", w.Header())
	}
	mine = f.cookie(w).Value
	w = f.ask(reauthenticate(t), http.MethodPost, page, "Cookie", f.pair(dead), "Authorization", "Bearer "+mine)
	if w.Header().Get("Session-Token") == "" || w.Header().Get("Set-Cookie") != "" {
		t.Fatal("a stale cookie takes the program's:", w.Header())
	}
	mine = w.Header().Get("Session-Token")
	// Neither is read on behalf of another site.
	f.b.Calls()
	w = f.ask(http.HandlerFunc(who), http.MethodPost, page, "Cookie", f.pair(mine), "Authorization", "Bearer "+dead, "Origin", "https://evil.example")
	if w.Code != http.StatusForbidden {
		t.Fatal(w.Code)
	}
	f.b.Assert(t, "none", "refused")
	// A sign-out tells both.
	w = f.ask(sessionhttp.SignOut(nil), http.MethodPost, page, "Cookie", f.pair(dead), "Authorization", "Bearer "+mine)
	if got, there := w.Header()["Session-Token"]; !there || got[0] != "" || f.cookie(w) == nil {
		t.Fatal(w.Header())
	}
}

func TestHeadersThatComeTwice(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Bearer{}, sessionhttp.Header{Name: "X-Session"})})
	alice, bob, dead := f.svcToken("alice"), f.svcToken("bob"), f.svcToken("x")
	s := f.svc.Open(dead)
	ok(t, s.SignOut(t.Context()))
	for what, tc := range map[string]struct {
		header []string
		want   string
	}{
		"equal":                {[]string{"Authorization", "Bearer " + alice, "Authorization", "bearer " + alice}, "alice<nil>"},
		"equal, in both":       {[]string{"Authorization", "Bearer " + alice, "X-Session", alice}, "alice<nil>"},
		"one is dead":          {[]string{"Authorization", "Bearer " + dead, "Authorization", "Bearer " + alice}, "alice<nil>"},
		"one is dead, in both": {[]string{"Authorization", "Bearer " + dead, "X-Session", alice}, "alice<nil>"},
		"one is malformed":     {[]string{"X-Session", "x", "X-Session", alice}, "alice<nil>"},
		"two live":             {[]string{"Authorization", "Bearer " + bob, "X-Session", alice}, "<nil>"},
		"with a comma":         {[]string{"X-Session", alice + ", " + alice}, "<nil>"},
	} {
		if w := f.ask(http.HandlerFunc(who), http.MethodGet, page, tc.header...); w.Body.String() != tc.want {
			t.Errorf("%s: %s", what, w.Body)
		}
	}
}

func TestProgramsKeepTheirToken(t *testing.T) {
	for name, transport := range map[string]sessionhttp.Transport{"Authorization": sessionhttp.Bearer{}, "X-Session": sessionhttp.Header{Name: "X-Session"}} {
		f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, transport)})
		token := f.svcToken("alice")
		value := map[string]string{"Authorization": "Bearer " + token, "X-Session": token}[name]
		for range 12 {
			f.clock.Advance(20 * time.Minute)
			w := f.ask(http.HandlerFunc(who), http.MethodGet, page, name, value)
			if w.Body.String() != "alice<nil>" || w.Header().Get("X-Session")+w.Header().Get("Session-Token")+w.Header().Get("Set-Cookie") != "" {
				t.Fatal(name, w.Body, w.Header())
			}
		}
		if w := f.do(who, token); f.cookie(w) == nil {
			t.Fatal("a cookie is not rotated")
		}
	}
}

func TestStaleCookieIsClearedOnlyByNavigations(t *testing.T) {
	f := setup(t, sessionhttp.Options{Domain: "example.com"})
	dead := f.dead()
	for what, tc := range map[string]struct {
		header []string
		clears bool
	}{
		"a page":             {[]string{"Sec-Fetch-Mode", "navigate"}, true},
		"an old browser":     {nil, true},
		"fetch":              {[]string{"Sec-Fetch-Mode", "cors"}, false},
		"an image":           {[]string{"Sec-Fetch-Mode", "no-cors"}, false},
		"a beacon":           {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"}, false},
		"a prefetch":         {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Purpose", "prefetch;prerender"}, false},
		"an older prefetch":  {[]string{"Purpose", "prefetch"}, false},
		"a WebSocket":        {[]string{"Sec-Fetch-Mode", "websocket"}, false},
		"navigate, and more": {[]string{"Sec-Fetch-Mode", "navigate\u00a0"}, false},
	} {
		for kind, token := range map[string]string{"dead": dead, "malformed": "x", "empty": ""} {
			w := f.ask(http.HandlerFunc(who), http.MethodGet, page, append(tc.header, "Cookie", f.pair(token))...)
			lines := w.Header()["Set-Cookie"]
			if w.Code != http.StatusOK || (len(lines) == 4) != tc.clears || len(lines) != 0 && len(lines) != 4 {
				t.Errorf("%s, %s: %d %q", what, kind, w.Code, lines)
			}
			if tc.clears && w.Header().Get("Cache-Control") != "private, no-store" {
				t.Errorf("%s: %v", what, w.Header())
			}
		}
	}
	w := f.do(func(w http.ResponseWriter, r *http.Request) {
		_, err := from(r).Info(r.Context())
		ok(t, err)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}, dead)
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("a redirect to a page that says why")
	}
	w = f.do(func(http.ResponseWriter, *http.Request) {}, "x")
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("a page that does not look at its session")
	}
	// Programs keep what they have, and a token that was just replaced is left.
	both := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{})})
	dead = both.dead()
	if w := both.ask(http.HandlerFunc(who), http.MethodGet, page, "Authorization", "Bearer "+dead); w.Header().Get("Set-Cookie") != "" || len(w.Header()["Session-Token"]) != 0 {
		t.Error(w.Header())
	}
	old := both.svcToken("alice")
	both.do(reauthenticate(t), old)
	w = both.do(func(_ http.ResponseWriter, r *http.Request) {
		is(t, note.Set(r.Context(), "late"), session.ErrGone)
	}, old)
	if w.Code != http.StatusConflict || w.Header().Get("Set-Cookie") != "" {
		t.Error("a straggler:", w.Code, w.Header())
	}
	if w := both.do(who, old); w.Code != http.StatusOK || w.Header().Get("Set-Cookie") != "" {
		t.Error("a straggler that reads:", w.Header())
	}
}

func TestPassiveRequestsAreNoUse(t *testing.T) {
	f := setup(t, sessionhttp.Options{Passive: func(r *http.Request) bool { return r.URL.Path == "/poll" }})
	take := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, _, err := note.Take(r.Context())
		ok(t, err)
		_, _ = w.Write([]byte(v))
	})
	for _, passive := range [][]string{
		{"https://example.com/poll"}, {page, "Sec-Purpose", "prefetch"}, {page, "Sec-Purpose", "prefetch;prerender"}, {page, "Sec-Purpose", " Prefetch ; anonymous-client-ip"},
		{page, "Purpose", "prefetch"}, {page, "X-Moz", "prefetch"},
	} {
		token := f.svcToken("alice")
		f.do(set(t, "shown once"), token)
		f.clock.Advance(29 * time.Minute)
		f.b.Calls()
		for range 3 {
			w := f.ask(take, http.MethodGet, passive[0], append(passive[1:], "Cookie", f.pair(token))...)
			if w.Body.String() != "shown once" || w.Header().Get("Set-Cookie") != "" {
				t.Fatal(passive, w.Body, w.Header())
			}
		}
		f.b.Assert(t, "Get 3", passive[0])
		if w := f.ask(take, http.MethodGet, page, "Cookie", f.pair(token), "Sec-Purpose", "none", "Sec-Fetch-Dest", "document"); w.Body.String() != "shown once" {
			t.Fatal(w.Body)
		}
		if w := f.do(take, token); w.Body.String() != "" {
			t.Fatal("shown twice")
		}
		f.clock.Advance(29 * time.Minute)
		f.ask(take, http.MethodGet, passive[0], append(passive[1:], "Cookie", f.pair(token))...)
		f.clock.Advance(time.Minute)
		f.isNobody(token)
	}
}
