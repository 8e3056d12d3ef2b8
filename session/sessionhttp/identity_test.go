package sessionhttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// A proxy for single sign-on names the user and its own session in headers.
func TestSessionOfAnIdentity(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: []byte(strings.Repeat("k", 32))})
	down := errors.New("the keys of the provider cannot be read")
	m, err := sessionhttp.New(k.Service, &sessionhttp.Options{
		Identity: func(r *http.Request) (session.Identity, bool, error) {
			id := session.Identity{Issuer: "proxy", SessionID: r.Header.Get("X-Sso-Session"), Principal: r.Header.Get("X-Sso-User")}
			if id.Principal == "broken" {
				return id, false, down
			}
			return id, id.Principal != "", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	note := session.NewKey[string]("note")
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if err := note.Set(r.Context(), r.FormValue("note")); err != nil {
				t.Error(err)
			}
		}
		id, _, err := session.User(r.Context())
		if err != nil {
			t.Error(err)
		}
		v, err := note.GetOr(r.Context(), "none")
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, id+" "+v)
	}))
	call := func(method, user, sid string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://app.example/?note=hello", nil)
		r.Header.Set("X-Sso-User", user)
		r.Header.Set("X-Sso-Session", sid)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, tc := range []struct {
		w    *httptest.ResponseRecorder
		want string
	}{
		{call("GET", "", ""), " none"},
		{call("POST", "alice", "s1"), "alice hello"},
		{call("GET", "alice", "s1"), "alice hello"},
		{call("GET", "alice", "s2"), "alice none"},
		{call("GET", "alice", "s1", "Cookie", "__Host-id=x"), "alice hello"},
	} {
		if got := tc.w.Body.String(); got != tc.want || len(tc.w.Result().Cookies()) > 0 {
			t.Errorf("%q with cookies %v, want %q and none", got, tc.w.Result().Cookies(), tc.want)
		}
	}
	if got := call("GET", "alice", "s1").Header().Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	if w := call("POST", "alice", "s1", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("a request of another site is answered with %d", w.Code)
	}
	if w := call("GET", "broken", "s1"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "keys") {
		t.Errorf("an authenticator that fails is answered with %d %s", w.Code, w.Body)
	}
}

// A client says by itself that it prefetches, so only what is safe may be passive.
func TestPostIsNeverAPrefetch(t *testing.T) {
	k := sessiontest.New(t, nil)
	code := session.NewKey[string]("code")
	h := sessionhttp.Handler(k.Service, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/send" {
			if err := code.Set(r.Context(), "123"); err != nil {
				t.Error(err)
			}
			return
		}
		_, there, err := code.Take(r.Context())
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, map[bool]string{true: "one try", false: "none"}[there])
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "https://app.example/send", nil))
	for _, want := range []string{"one try", "none"} {
		r := httptest.NewRequest(http.MethodPost, "https://app.example/verify", nil)
		r.AddCookie(w.Result().Cookies()[0])
		r.Header.Set("Purpose", "prefetch")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		if got := answer.Body.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What the store already has is the client's, though the commit failed.
func TestCredentialIsGivenThoughTheHandlerPanicked(t *testing.T) {
	k := sessiontest.New(t, nil)
	note := session.NewKey[string]("note")
	h := sessionhttp.Handler(k.Service, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, _ := session.From(r.Context())
		if err := s.SignIn(r.Context(), "alice", nil); err != nil {
			t.Error(err)
		}
		if err := note.Set(r.Context(), "v"); err != nil {
			t.Error(err)
		}
		k.Backend.SetHook(sessiontest.Down)
		panic("a mistake")
	}))
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "https://app.example/", nil))
	}()
	k.Backend.SetHook(nil)
	if got := w.Result().Cookies(); len(got) != 1 || got[0].Value == "" {
		t.Errorf("cookies %v, want that of the sign-in", got)
	}
}

// A cookie that a neighbour has planted does not stand for the one that the
// browser leaves out.
func TestPlantedCookieDoesNotAllowANewSession(t *testing.T) {
	k := sessiontest.New(t, nil)
	m, err := sessionhttp.New(k.Service, &sessionhttp.Options{CookieName: "sid", SameSite: http.SameSiteStrictMode})
	if err != nil {
		t.Fatal(err)
	}
	note := session.NewKey[string]("note")
	h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := note.Set(r.Context(), "v"); !errors.Is(err, session.ErrCrossSite) {
			t.Errorf("Set: %v", err)
		}
	}))
	r := httptest.NewRequest(http.MethodGet, "https://app.example/", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Cookie", "sid=x")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge >= 0 {
			t.Errorf("the answer sets %v", c)
		}
	}
}

// A session of an identity has a CSRF token before it is stored, and only its own
// is good.
func TestCSRFOfAnIdentity(t *testing.T) {
	k := sessiontest.New(t, &session.Options{IdentityKey: []byte(strings.Repeat("k", 32))})
	m, err := sessionhttp.New(k.Service, &sessionhttp.Options{Identity: func(r *http.Request) (session.Identity, bool, error) {
		who := r.Header.Get("X-Sso-User")
		return session.Identity{Issuer: "proxy", SessionID: who, Principal: who}, who != "", nil
	}})
	ok(t, err)
	token := func(s *session.Session) string {
		text, err := s.CSRFToken(t.Context())
		ok(t, err)
		return text
	}
	for _, stored := range []bool{false, true} {
		var page string
		h := m.Wrap(m.RequireCSRF(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s, _ := session.From(r.Context())
			page = token(s)
			if stored {
				ok(t, session.NewKey[string]("note").Set(r.Context(), "v"))
			}
		})))
		call := func(method, user, header, field string) int {
			r := httptest.NewRequest(method, "https://app.example/", strings.NewReader(sessionhttp.CSRFField+"="+field))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Sso-User", user)
			r.Header.Set(sessionhttp.CSRFHeader, header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		call("GET", "alice", "", "")
		own := page
		call("GET", "bob", "", "")
		for _, tc := range []struct {
			header, field string
			want          int
		}{{own, "", 200}, {"", own, 200}, {page, "", 403}, {"", page, 403}, {"", "", 403}} {
			if got := call("POST", "alice", tc.header, tc.field); got != tc.want {
				t.Errorf("stored %v: %d, want %d", stored, got, tc.want)
			}
		}
	}
	s, err := k.Service.OpenFor(session.Identity{Issuer: "proxy", SessionID: "alice", Principal: "alice"})
	ok(t, err)
	ok(t, s.SignOut(t.Context()))
	if _, err := s.CSRFToken(t.Context()); !errors.Is(err, session.ErrNotStored) {
		t.Errorf("after the sign-out: %v", err)
	}
}
