package sessionhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestRequireSignIn(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{})})
	text := sessionhttp.RequireSignIn(nil)(http.HandlerFunc(who))
	redirect := sessionhttp.RequireSignIn(sessionhttp.RedirectTo("/login"))(http.HandlerFunc(who))
	token := f.svcToken("alice")
	for _, h := range []http.Handler{text, redirect} {
		if w := f.ask(h, http.MethodGet, page, "Cookie", f.pair(token)); w.Body.String() != "alice<nil>" {
			t.Fatal(w.Code, w.Body)
		}
	}
	for name, tc := range map[string]struct {
		h       http.Handler
		header  []string
		code    int
		asks    string // WWW-Authenticate
		forward string
	}{
		"a stranger":            {text, nil, 401, "", ""},
		"a cart":                {text, []string{"Cookie", f.pair(f.token())}, 401, "", ""},
		"a dead program":        {text, []string{"Authorization", "Bearer " + f.dead()}, 401, "Bearer", ""},
		"a page":                {redirect, []string{"Sec-Fetch-Mode", "navigate"}, 303, "", "/login"},
		"an old browser":        {redirect, nil, 303, "", "/login"},
		"fetch":                 {redirect, []string{"Sec-Fetch-Mode", "cors"}, 401, "", ""},
		"a prefetch, for which": {redirect, []string{"Sec-Fetch-Mode", "navigate", "Sec-Purpose", "prefetch"}, 401, "", ""},
	} {
		w := f.ask(tc.h, http.MethodGet, page, tc.header...)
		if w.Code != tc.code || w.Header().Get("WWW-Authenticate") != tc.asks || w.Header().Get("Location") != tc.forward || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	admin := f.svcToken("admin")
	acting := f.cookie(f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).Impersonate(r.Context(), "bob", "ticket")) }, admin)).Value
	if w := f.ask(text, http.MethodGet, page, "Cookie", f.pair(acting)); w.Body.String() != "bob<nil>" {
		t.Fatal("an administrator:", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	text.ServeHTTP(w, httptest.NewRequest(http.MethodGet, page, nil))
	if w.Code != http.StatusInternalServerError {
		t.Fatal("without Wrap:", w.Code)
	}
	f.b.SetHook(sessiontest.Down)
	if w := f.ask(text, http.MethodGet, page, "Cookie", f.pair(acting)); w.Code != http.StatusServiceUnavailable {
		t.Fatal(w.Code)
	}
}

func TestRequireSignInSaysWhy(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	h := sessionhttp.RequireSignIn(nil)(http.HandlerFunc(who))
	said := func(token, want string) {
		t.Helper()
		if w := f.ask(h, http.MethodGet, page, "Cookie", f.pair(token)); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", want, w.Code, w.Body)
		}
	}
	said("", "Please sign in.")
	token := f.svcToken("alice")
	_, err := f.svc.DestroyPrincipal(t.Context(), "alice")
	ok(t, err)
	said(token, "was ended")
	token = f.svcToken("alice")
	f.do(reauthenticate(t), token)
	said(token, "has changed")
	token = f.svcToken("alice")
	f.clock.Advance(31 * time.Minute)
	said(token, "not used for a while")
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int{
		model.ErrUnavailable:                         503,
		fmt.Errorf("x: %w", model.ErrUnknown):        503,
		context.DeadlineExceeded:                     503,
		session.ErrReadOnly:                          503,
		session.ErrNewer:                             503,
		&sessionhttp.LoadError{Err: errors.New("x")}: 503,
		&sessionhttp.LoadError{Err: session.ErrGone}: 503,
		session.ErrGone:                              409,
		session.ErrKeyConflict:                       409,
		model.ErrConflict:                            409,
		session.ErrLimit:                             409,
		session.ErrCrossSite:                         403,
		sessionhttp.ErrCrossOrigin:                   403,
		sessionhttp.ErrCSRF:                          403,
		session.ErrReauthenticate:                    403,
		session.ErrNotBefore:                         403,
		model.ErrNotFound:                            404,
		model.ErrTooLarge:                            413,
		session.ErrImpersonating:                     403,
		session.ErrUnauthenticated:                   401,
		fmt.Errorf("%w", &http.MaxBytesError{}):      413,
		session.ErrNoSession:                         500,
		session.ErrCommitted:                         500,
		model.ErrCorrupt:                             500,
		model.ErrInvalid:                             500,
		errors.New("x"):                              500,
	} {
		if got := sessionhttp.Status(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
