package sessionhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// held makes the store's next write wait for release. Entered is closed when it
// waits.
func (f *fixture) held() (entered, release chan struct{}) {
	entered, release = make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	f.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if op == sessiontest.OpWrite && once.CompareAndSwap(false, true) {
			close(entered)
			<-release
		}
		return next()
	})
	return entered, release
}

// sink records whether anything was written to it.
type sink struct {
	*httptest.ResponseRecorder
	reached atomic.Bool
}

func (s *sink) WriteHeader(code int) { s.reached.Store(true); s.ResponseRecorder.WriteHeader(code) }
func (s *sink) Write(p []byte) (int, error) {
	s.reached.Store(true)
	return s.ResponseRecorder.Write(p)
}
func (s *sink) Flush() { s.reached.Store(true); s.ResponseRecorder.Flush() }

// Bug: expressjs/session#309, expressjs/session#360, expressjs/session#526, simov/grant#121
func TestNoByteLeavesBeforeTheCommitReturns(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/next", http.StatusFound) },
		"write":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		"flush":      func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"controller": func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"string":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"copy": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("x")})
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, sessionhttp.Options{})
			entered, release := f.held()
			w := &sink{ResponseRecorder: httptest.NewRecorder()}
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = note.Set(r.Context(), "v")
					answer(w, r)
				})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			<-entered
			if w.reached.Load() {
				t.Error("a byte left before the commit")
			}
			close(release)
			<-done
			if f.cookie(w.ResponseRecorder) == nil {
				t.Error("no cookie")
			}
		})
	}
}

func TestCommitThatFailsReplacesTheAnswer(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	f.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if op == sessiontest.OpWrite {
			return model.ErrUnavailable
		}
		return next()
	})
	for _, cookie := range []string{token, ""} {
		var wrote error
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", f.m.CookieName()+"="+cookie)
		w := httptest.NewRecorder()
		w.Header().Set("X-Outer", "stays")
		f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ok(t, note.Set(r.Context(), "w"))
			w.Header().Set("Location", "/welcome")
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(http.StatusFound)
			_, wrote = io.WriteString(w, "welcome")
		})).ServeHTTP(w, r)
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "welcome") || w.Header().Get("Location") != "" {
			t.Fatal(w.Code, w.Body, w.Header())
		}
		if w.Header().Get("X-Outer") != "stays" || f.cookie(w) != nil || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Fatal(w.Header())
		}
		if wrote == nil {
			t.Fatal("a write that was dropped reports no error")
		}
	}
}

func TestSessionEndedMeanwhileIsReported(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	w := f.do(func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "w"))
		f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignOut(r.Context())) }, token)
		_, _ = io.WriteString(w, "saved")
	}, token)
	if w.Code != http.StatusConflict || strings.Contains(w.Body.String(), "saved") || f.cookie(w) != nil {
		t.Fatal(w.Code, w.Body, w.Header())
	}
	// A request that only reads loses nothing: its answer is sent.
	token = f.token()
	f.clock.Advance(5 * 60e9)
	w = f.do(func(w http.ResponseWriter, r *http.Request) {
		_, _, err := note.Get(r.Context())
		ok(t, err)
		f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignOut(r.Context())) }, token)
		_, _ = io.WriteString(w, "read")
	}, token)
	if w.Code != http.StatusOK || w.Body.String() != "read" || f.cookie(w) != nil {
		t.Fatal(w.Code, w.Body, w.Header())
	}
	if n, err := f.svc.Count(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

func TestStoreThatIsDownIsNeverSilentlyAnonymous(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	f.b.SetHook(func(sessiontest.Op, string, func() error) error { return model.ErrUnavailable })
	careless := func(w http.ResponseWriter, r *http.Request) {
		if _, err := from(r).Principal(r.Context()); err != nil {
			_, _ = io.WriteString(w, "hello, stranger")
		}
	}
	w := f.do(careless, token)
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "stranger") || w.Header().Get("Retry-After") == "" {
		t.Fatal(w.Code, w.Body)
	}
	if f.cookie(w) != nil {
		t.Fatal("the cookie was touched")
	}
	w = f.do(careless, "")
	if w.Code != http.StatusOK || w.Body.String() != "hello, stranger" {
		t.Fatal("without a token:", w.Code, w.Body)
	}
	w = f.do(func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := note.Get(r.Context()); err != nil {
			http.Error(w, "my own page", http.StatusBadGateway)
		}
	}, token)
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "my own page") {
		t.Fatal("a handler's own answer:", w.Code, w.Body)
	}
	if strings.Contains(f.log.String(), token) {
		t.Fatal("the token is in the log")
	}
}

func TestOnErrorAnswersInstead(t *testing.T) {
	var seen error
	f := setup(t, sessionhttp.Options{OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		seen = err
		w.WriteHeader(http.StatusTeapot)
	}})
	token := f.token()
	f.b.SetHook(func(sessiontest.Op, string, func() error) error { return model.ErrUnavailable })
	w := f.do(func(_ http.ResponseWriter, r *http.Request) { _, _, _ = note.Get(r.Context()) }, token)
	var load *sessionhttp.LoadError
	if w.Code != http.StatusTeapot || !errors.As(seen, &load) || !errors.Is(seen, model.ErrUnavailable) {
		t.Fatal(w.Code, seen)
	}
}

func TestFailedHousekeepingKeepsTheAnswer(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	f.clock.Advance(5 * 60e9)
	f.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if op == sessiontest.OpTouch {
			return model.ErrUnavailable
		}
		return next()
	})
	w := f.do(get(t), token)
	if w.Code != http.StatusOK || w.Body.String() != `"v" true` || f.cookie(w) != nil {
		t.Fatal(w.Code, w.Body)
	}
}

func TestWriteAfterTheFirstByteIsAnError(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	w := f.do(func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "early"))
		_, _ = io.WriteString(w, "x")
		is(t, note.Set(r.Context(), "late"), session.ErrCommitted)
	}, "")
	if got := f.do(get(t), f.cookie(w).Value).Body.String(); got != `"early" true` {
		t.Fatal(got)
	}
}

func TestPanicPersistsAndGoesOn(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	for _, value := range []any{"boom", http.ErrAbortHandler} {
		func() {
			defer func() {
				if p := recover(); p != value {
					t.Errorf("recovered %v", p)
				}
			}()
			f.do(func(_ http.ResponseWriter, r *http.Request) {
				ok(t, note.Set(r.Context(), fmt.Sprint(value)))
				panic(value)
			}, token)
		}()
		if got := f.do(get(t), token).Body.String(); got != fmt.Sprintf("%q true", fmt.Sprint(value)) {
			t.Errorf("after the panic: %s", got)
		}
	}
	// An outer handler that recovers and answers also sends the cookie.
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover(); w.WriteHeader(http.StatusInternalServerError) }()
		f.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ok(t, note.Set(r.Context(), "v"))
			panic("boom")
		})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	if f.cookie(w) == nil {
		t.Error("no cookie after a panic")
	}
}

// Bug: aspnet/Session#201, gofiber/fiber#4560
func TestClientThatHangsUpLosesNothing(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Cookie", f.m.CookieName()+"="+token)
	f.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		ok(t, note.Set(r.Context(), "w"))
	})).ServeHTTP(httptest.NewRecorder(), r)
	if got := f.do(get(t), token).Body.String(); got != `"w" true` {
		t.Fatal(got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	r = r.WithContext(ctx)
	f.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		ok(t, from(r).SignOut(r.Context()))
	})).ServeHTTP(httptest.NewRecorder(), r)
	if got := f.do(get(t), token).Body.String(); got != `"" false` {
		t.Fatal(got)
	}
}

func (f *fixture) server(t testing.TB, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewServer(f.m.Wrap(h))
	t.Cleanup(srv.Close)
	return srv
}

// Bug: alexedwards/scs#141, alexedwards/scs#186, go-chi/chi#617, auth0/express-openid-connect#835
func TestFirstEventArrivesWhileTheHandlerRuns(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	end := make(chan struct{})
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		_ = note.Set(r.Context(), "v")
		_, _ = io.WriteString(w, "data: 1\n")
		w.(http.Flusher).Flush()
		<-end
	})
	res, err := http.Get(srv.URL)
	ok(t, err)
	defer func() { _ = res.Body.Close() }()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	close(end)
	if err != nil || line != "data: 1\n" || len(res.Cookies()) != 1 {
		t.Fatal(line, err, res.Cookies())
	}
}

// Bug: alexedwards/scs#141, alexedwards/scs#186
func TestEarlyHintsDoNotEndTheSession(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		if err := note.Set(r.Context(), "v"); err != nil {
			t.Errorf("after 103: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	hints := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints++
			if code != http.StatusEarlyHints || h.Get("Set-Cookie") != "" {
				t.Errorf("%d %v", code, h)
			}
			return nil
		},
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	ok(t, err)
	res, err := http.DefaultClient.Do(req)
	ok(t, err)
	_ = res.Body.Close()
	if hints != 1 || res.StatusCode != http.StatusNoContent || len(res.Cookies()) != 1 {
		t.Fatal(hints, res.StatusCode, res.Cookies())
	}
}

// Bug: alexedwards/scs#11, alexedwards/scs#69, alexedwards/scs#188
func TestHijackCommitsFirst(t *testing.T) {
	hijackers := map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"assertion": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return w.(http.Hijacker).Hijack()
		},
		"controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
		"through a wrapper": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(wrapper{w}).Hijack()
		},
	}
	for name, hijack := range hijackers {
		t.Run(name, func(t *testing.T) {
			f := setup(t, sessionhttp.Options{})
			srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
				_ = note.Set(r.Context(), "v")
				conn, rw, err := hijack(w)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				if !errors.Is(note.Set(r.Context(), "late"), session.ErrCommitted) {
					t.Error("not committed")
				}
				_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nSet-Cookie: %s\r\n\r\n", w.Header().Get("Set-Cookie"))
				_ = rw.Flush()
				line, _ := rw.ReadString('\n')
				_, _ = rw.WriteString(line)
				_ = rw.Flush()
			})
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			ok(t, err)
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			rd := bufio.NewReader(conn)
			res, err := http.ReadResponse(rd, nil)
			ok(t, err)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusSwitchingProtocols || len(res.Cookies()) != 1 {
				t.Fatal(res.StatusCode, res.Header)
			}
			_, _ = io.WriteString(conn, "ping\n")
			if line, err := rd.ReadString('\n'); err != nil || line != "ping\n" {
				t.Fatal(line, err)
			}
			if got := f.do(get(t), res.Cookies()[0].Value).Body.String(); got != `"v" true` {
				t.Fatal(got)
			}
		})
	}
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bare is a writer without optional interfaces.
type bare struct{ w *httptest.ResponseRecorder }

func (b bare) Header() http.Header         { return b.w.Header() }
func (b bare) Write(p []byte) (int, error) { return b.w.Write(p) }
func (b bare) WriteHeader(code int)        { b.w.WriteHeader(code) }

type flushOnly struct{ bare }

func (flushOnly) Flush() {}

type hijackOnly struct{ bare }

func (hijackOnly) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errors.New("no") }

func TestWriterHasTheInterfacesOfTheWriterBelow(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	b := bare{httptest.NewRecorder()}
	for name, tc := range map[string]struct {
		w             http.ResponseWriter
		flush, hijack bool
	}{
		"neither":         {b, false, false},
		"flush":           {flushOnly{b}, true, false},
		"hijack":          {hijackOnly{b}, false, true},
		"through wrapper": {wrapper{wrapper{flushOnly{b}}}, true, false},
	} {
		f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, flush := w.(http.Flusher)
			_, hijack := w.(http.Hijacker)
			if flush != tc.flush || hijack != tc.hijack {
				t.Errorf("%s: flush %v, hijack %v", name, flush, hijack)
			}
			u, unwraps := w.(interface{ Unwrap() http.ResponseWriter })
			if !unwraps || u.Unwrap() != tc.w {
				t.Errorf("%s: no Unwrap", name)
			}
		})).ServeHTTP(tc.w, httptest.NewRequest(http.MethodGet, "/", nil))
	}
}

func TestFilesAreServed(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	path := filepath.Join(t.TempDir(), "a.txt")
	ok(t, os.WriteFile(path, []byte(strings.Repeat("x", 100000)), 0o600))
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		_ = note.Set(r.Context(), "v")
		http.ServeFile(w, r, path)
	})
	res, err := http.Get(srv.URL)
	ok(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) != 100000 || len(res.Cookies()) != 1 {
		t.Fatal(len(body), err, res.Cookies())
	}
}
