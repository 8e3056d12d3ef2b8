package sessionhttp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Norm: CheatSheet web content caching
// Asks: private pages are not shown by the back button or by caches after the session has ended.
// Library: answers that used the session of somebody who is signed in have Cache-Control: private, no-store, unless the handler sets its own.
// Application: Clear-Site-Data "cache" at the sign-out, if handlers set their own.
func TestCheatSheet_SignedInPagesAreNotKept(t *testing.T) {
	mine := func(value string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if value != "" {
				w.Header().Set("Cache-Control", value)
			}
			who(w, r)
		}
	}
	unused := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }
	for name, tc := range map[string]struct {
		opts   sessionhttp.Options
		h      http.HandlerFunc
		signed bool
		want   string
	}{
		"signed in":               {sessionhttp.Options{}, mine(""), true, "private, no-store"},
		"the handler's own":       {sessionhttp.Options{}, mine("private, max-age=60"), true, "private, max-age=60"},
		"another default":         {sessionhttp.Options{CacheControl: "private, no-cache"}, mine(""), true, "private, no-cache"},
		"none":                    {sessionhttp.Options{CacheControl: "-"}, mine(""), true, ""},
		"anonymous":               {sessionhttp.Options{}, mine(""), false, ""},
		"a session that is ended": {sessionhttp.Options{}, leave(t), true, "private, no-store"},
		"an error page":           {sessionhttp.Options{}, func(w http.ResponseWriter, r *http.Request) { _, _ = from(r).Info(r.Context()); http.NotFound(w, r) }, true, "private, no-store"},
		"a redirect": {sessionhttp.Options{}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = from(r).Info(r.Context())
			http.Redirect(w, r, "/", http.StatusMovedPermanently)
		}, true, "private, no-store"},
		"not used": {sessionhttp.Options{}, unused, true, ""},
	} {
		f := setup(t, tc.opts)
		token := f.svcToken("alice")
		if !tc.signed {
			token = f.token()
		}
		if got := strings.Join(f.do(tc.h, token).Header()["Cache-Control"], "|"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	// A store that is down makes nobody signed in.
	k := sessiontest.New(t, &session.Options{StoreDown: session.Anonymous})
	m, err := sessionhttp.New(k.Service, nil)
	ok(t, err)
	f := &fixture{t: t, b: k.Backend, svc: k.Service, m: m}
	token := k.Token(t, sessiontest.As("alice"))
	k.Backend.SetHook(sessiontest.Down)
	if w := f.do(who, token); w.Header().Get("Cache-Control") != "" || w.Body.String() != "<nil>" {
		t.Error(w.Header(), w.Body)
	}
	_, err = sessionhttp.New(k.Service, &sessionhttp.Options{CacheControl: "no-store\r\nX: y"})
	is(t, err, model.ErrInvalid)
}

// A page with somebody's data is theirs also if their session ends meanwhile.
func TestPageOfASessionThatEndsMeanwhileIsNotKept(t *testing.T) {
	for name, end := range map[string]func(f *fixture) error{
		"destroyed": func(f *fixture) error {
			_, err := f.svc.DestroyPrincipal(t.Context(), "alice")
			return err
		},
		"expired": func(f *fixture) error { f.clock.Advance(48 * time.Hour); return nil },
	} {
		f := setup(t, sessionhttp.Options{})
		token := f.svcToken("alice")
		f.clock.Advance(5 * time.Minute) // the idle deadline is due
		w := f.do(func(w http.ResponseWriter, r *http.Request) {
			p, err := from(r).Principal(r.Context())
			ok(t, err)
			ok(t, end(f))
			_, _ = io.WriteString(w, "the secrets of "+p.ID)
		}, token)
		if got := w.Header().Get("Cache-Control"); w.Code != http.StatusOK || got != "private, no-store" {
			t.Errorf("%s: %d, Cache-Control: %q", name, w.Code, got)
		}
	}
}

func TestVaryNamesEachHeaderOnce(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{})})
	for have, want := range map[string]string{
		"":                                 "Cookie, Authorization",
		"Accept-Encoding":                  "Accept-Encoding, Cookie, Authorization",
		"Accept-Encoding,\tcookie":         "Accept-Encoding,\tcookie, Authorization",
		"AUTHORIZATION , Cookie":           "AUTHORIZATION , Cookie",
		"*":                                "*",
		"Accept, *":                        "Accept, *",
		"Cookies, X-Cookie, Authorization": "Cookies, X-Cookie, Authorization, Cookie",
		"\u00a0Cookie, Authorization":      "\u00a0Cookie, Authorization, Cookie",
	} {
		w := f.do(func(w http.ResponseWriter, r *http.Request) {
			if have != "" {
				w.Header().Set("Vary", have)
			}
			who(w, r)
		}, "")
		if got := strings.Join(w.Header()["Vary"], ", "); got != want {
			t.Errorf("%q: %q, want %q", have, got, want)
		}
	}
}
