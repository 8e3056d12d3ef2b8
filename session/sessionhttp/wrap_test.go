package sessionhttp_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// another returns a middleware of another service.
func another(t testing.TB, f *fixture, opts sessionhttp.Options) (*session.Service, *sessionhttp.Middleware) {
	t.Helper()
	raw, err := memory.New(memory.NewSpace(), "other", nil)
	ok(t, err)
	svc, err := session.New(raw, &session.Options{Clock: f.clock, SweptElsewhere: true})
	ok(t, err)
	opts.Logger = slog.New(slog.NewTextHandler(f.log, nil))
	m, err := sessionhttp.New(svc, &opts)
	ok(t, err)
	return svc, m
}

func TestSecondWrapOfTheServiceUsesTheFirstSession(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	inner, err := sessionhttp.New(f.svc, nil)
	ok(t, err)
	var outside *session.Session
	for name, m := range map[string]*sessionhttp.Middleware{"the same": f.m, "another of the same service": inner} {
		h := f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outside = from(r)
			m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if from(r) != outside {
					t.Error(name, "another session")
				}
				ok(t, from(r).SignIn(r.Context(), "alice", nil))
				_, _ = io.WriteString(w, "in")
			})).ServeHTTP(w, r)
		}))
		for _, cookie := range []string{"", f.pair(f.svcToken("bob"))} {
			r := httptest.NewRequest(http.MethodGet, page, nil)
			r.Header.Set("Cookie", cookie)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if c := f.cookie(w); c == nil || f.do(who, c.Value).Body.String() != "alice<nil>" || len(w.Header()["Set-Cookie"]) != 1 {
				t.Error(name, w.Header())
			}
		}
	}
	// The guard of the second one still works.
	open := setup(t, sessionhttp.Options{AnyOrigin: true})
	strict, err := sessionhttp.New(open.svc, nil)
	ok(t, err)
	if w := open.ask(strict.Wrap(http.HandlerFunc(who)), http.MethodPost, page, "Origin", "https://evil.example"); w.Code != http.StatusForbidden {
		t.Error(w.Code)
	}
}

func TestTwoServicesInOneRequest(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	office, m := another(t, f, sessionhttp.Options{CookieName: "__Host-office"})
	in := f.m.Wrap(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.In(f.svc).Set(r.Context(), "shop"))
		ok(t, note.Set(r.Context(), "office"))
		s, _ := office.From(r.Context())
		ok(t, s.SignIn(r.Context(), "clerk", nil))
		s, _ = f.svc.From(r.Context())
		ok(t, s.SignIn(r.Context(), "customer", nil))
		_, _ = io.WriteString(w, "done")
	})))
	w := httptest.NewRecorder()
	in.ServeHTTP(w, httptest.NewRequest(http.MethodGet, page, nil))
	cookies := w.Result().Cookies()
	if len(cookies) != 2 {
		t.Fatal(w.Header())
	}
	header := ""
	for _, c := range cookies {
		header += c.Name + "=" + c.Value + "; "
	}
	ask := func(method string, h http.Handler) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, page, nil)
		r.Header.Set("Cookie", header)
		w := httptest.NewRecorder()
		f.m.Wrap(m.Wrap(h)).ServeHTTP(w, r)
		return w
	}
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shop, _, _ := note.In(f.svc).Get(r.Context())
		mine, _, _ := note.In(office).Get(r.Context())
		_, _ = fmt.Fprint(w, shop, " ", mine, " ")
		who(w, r)
	})
	if got := ask(http.MethodGet, both).Body.String(); got != "shop office clerk<nil>" {
		t.Fatal(got)
	}
	if got := ask(http.MethodGet, f.m.Select(both)).Body.String(); got != "shop office customer<nil>" {
		t.Fatal(got)
	}
	w = ask(http.MethodPost, f.m.Select(sessionhttp.SignOut(nil)))
	if w.Code != http.StatusNoContent || f.cookie(w) == nil || strings.Contains(fmt.Sprint(w.Header()["Set-Cookie"]), "office") {
		t.Fatal(w.Code, w.Header())
	}
	if got := ask(http.MethodGet, f.m.Select(both)).Body.String(); got != " office <nil>" {
		t.Fatal(got)
	}
	w = httptest.NewRecorder()
	f.m.Select(both).ServeHTTP(w, httptest.NewRequest(http.MethodGet, page, nil))
	if w.Code != http.StatusInternalServerError {
		t.Fatal("outside of Wrap:", w.Code)
	}
}

// A handler may make a request of its own, of which the client gets nothing.
func TestTokenOfAnInnerRequestIsNotTheClients(t *testing.T) {
	f, office := setup(t, sessionhttp.Options{}), setup(t, sessionhttp.Options{CookieName: "__Host-office"})
	signsIn := office.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ok(t, from(r).SignIn(r.Context(), "clerk", nil))
	}))
	f.b.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpWrite))
	w := f.do(func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "shop"))
		inner := httptest.NewRecorder()
		signsIn.ServeHTTP(inner, r)
		if len(inner.Result().Cookies()) != 1 {
			t.Error(inner.Header())
		}
	}, "")
	if w.Code != http.StatusServiceUnavailable || len(w.Result().Cookies()) != 0 {
		t.Error(w.Code, w.Header())
	}
}

// Each would take the other's cookie for a stale one, and clear it.
// The store of one service has what it has, also if that of the other is down.
func TestTokenOfAServiceOutlivesTheFailureOfAnother(t *testing.T) {
	for name, transport := range map[string]sessionhttp.Transport{"cookie": nil, "header": sessionhttp.Header{Name: "Office-Session"}} {
		f, office := setup(t, sessionhttp.Options{}), setup(t, sessionhttp.Options{CookieName: "__Host-office", Transport: transport})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ok(t, note.In(f.svc).Set(r.Context(), "shop"))
			s, _ := office.svc.From(r.Context())
			ok(t, s.SignIn(r.Context(), "clerk", nil))
			_, _ = io.WriteString(w, "welcome")
		})
		f.b.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpWrite))
		w := httptest.NewRecorder()
		w.Header().Add("Set-Cookie", "other=1")
		f.m.Wrap(office.m.Wrap(h)).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil))
		if w.Code != http.StatusServiceUnavailable || w.Body.String() == "welcome" {
			t.Fatal(name, w.Code, w.Body)
		}
		given, token := w.Header().Get("Office-Session"), ""
		for _, c := range w.Result().Cookies() {
			if token += c.Name + " "; c.Name == "__Host-office" {
				given = c.Value
			}
		}
		want := map[string]string{"cookie": "other __Host-office ", "header": "other "}[name]
		if p, err := office.svc.Open(given).Principal(t.Context()); token != want || p.ID != "clerk" {
			t.Errorf("%s: the answer has %v, %v", name, w.Header(), err)
		}
	}
}

func TestTwoServicesNeedTwoCookieNames(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	_, m := another(t, f, sessionhttp.Options{})
	ran := false
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	if w := f.ask(h, http.MethodGet, page); w.Code != http.StatusInternalServerError || ran || !strings.Contains(f.log.String(), "CookieName") {
		t.Fatal(w.Code, ran, f.log)
	}
	_, m = another(t, f, sessionhttp.Options{Transport: sessionhttp.Bearer{}})
	if w := f.ask(m.Wrap(http.HandlerFunc(who)), http.MethodGet, page); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	// Another one between the two hides neither.
	_, inner := another(t, f, sessionhttp.Options{})
	_, between := another(t, f, sessionhttp.Options{CookieName: "__Host-office"})
	if w := f.ask(between.Wrap(inner.Wrap(h)), http.MethodGet, page); w.Code != http.StatusInternalServerError || ran {
		t.Fatal("with another service between them:", w.Code, ran)
	}
	if w := f.ask(between.Wrap(f.m.Wrap(http.HandlerFunc(who))), http.MethodGet, page); w.Code != http.StatusOK {
		t.Fatal("the same service twice:", w.Code)
	}
}

// net/http removes the files of a form from the request that it made, and the
// handler has a copy.
func TestFilesOfAFormAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := setup(t, sessionhttp.Options{})
	files := func() int {
		entries, err := os.ReadDir(os.Getenv("TMPDIR"))
		ok(t, err)
		return len(entries)
	}
	during := 0
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "v"))
		ok(t, r.ParseMultipartForm(1))
		during = files()
		w.WriteHeader(http.StatusNoContent)
	})
	for range 2 {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("f", "big.bin")
		ok(t, err)
		_, _ = part.Write(make([]byte, 11<<20))
		ok(t, form.Close())
		res, err := http.Post(srv.URL, form.FormDataContentType(), &body)
		ok(t, err)
		_ = res.Body.Close()
		if during == 0 {
			t.Fatal("the form made no file")
		}
	}
	srv.Close() // waits for the handlers
	if n := files(); n != 0 {
		t.Fatal(n, "files are left")
	}
}

func TestOuterHandlersSeeWhatTheHandlerRead(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a/{id}", func(w http.ResponseWriter, r *http.Request) {
		ok(t, r.ParseForm())
		_, err := io.Copy(io.Discard, r.Body)
		ok(t, err)
		_, _ = fmt.Fprint(w, r.Trailer.Get("X-Late"), r.PathValue("id"))
	})
	var pattern, late string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.m.Wrap(mux).ServeHTTP(w, r)
		pattern, late = r.Pattern, r.Trailer.Get("X-Late")
	}))
	defer srv.Close()
	for _, announced := range []string{"", "Trailer: X-Late\r\n"} {
		body := raw(t, srv, "POST /a/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"+announced+"\r\n3\r\nabc\r\n0\r\nX-Late: yes\r\n\r\n")
		if body != "yes7" {
			t.Errorf("%q: %q", announced, body)
		}
	}
	srv.Close()
	if pattern != "POST /a/{id}" || late != "yes" {
		t.Errorf("%q %q", pattern, late)
	}
}
