package sessionhttp_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Frameworks such as Echo keep the writer of Wrap, and their recovery is outside
// of it or inside: the answer goes through the writer after the panic.
func TestRecoveryWritesThroughTheWriterAfterAPanic(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	var kept http.ResponseWriter
	inner := f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept = w
		_ = from(r).SignIn(r.Context(), "alice", nil)
		panic("boom")
	}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				kept.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(kept, "sorry")
			}
		}()
		inner.ServeHTTP(w, r)
	}))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	ok(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusInternalServerError || string(body) != "sorry" || len(res.Cookies()) != 1 {
		t.Fatal(res.StatusCode, string(body), err, res.Header)
	}
	if w := f.do(who, res.Cookies()[0].Value); w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
	// If nothing could be stored, the recovery still answers.
	f.b.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpWrite))
	res, err = http.Get(srv.URL)
	ok(t, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusInternalServerError || len(res.Cookies()) != 0 {
		t.Fatal(res.StatusCode, res.Header)
	}
}

func TestAbortStaysAnAbort(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.token()
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "kept"))
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	for _, path := range []string{"/", "/late"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
		ok(t, err)
		r.Header.Set("Cookie", f.pair(token))
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		if err == nil {
			t.Error(path, "answered", res.StatusCode)
		}
		if got := f.do(get(t), token).Body.String(); got != `"kept" true` {
			t.Error(path, got)
		}
	}
}

// quiet says whether it was written to, as gin's writer does.
type quiet struct {
	http.ResponseWriter
	done bool
}

func (q *quiet) Write(p []byte) (int, error) { q.done = true; return q.ResponseWriter.Write(p) }
func (q *quiet) Written() bool               { return q.done }

// counting says so as chi's writer does.
type counting struct{ *quiet }

func (c counting) Written() int      { return 0 } // not the method of gin
func (c counting) BytesWritten() int { return 1 }
func (c counting) Status() int {
	if c.done {
		return http.StatusOK
	}
	return 0
}

func TestCookieThatWasNotSentIsLogged(t *testing.T) {
	const past = "wrote past this writer"
	for name, wrap := range map[string]func(*quiet) http.ResponseWriter{
		"gin":     func(q *quiet) http.ResponseWriter { return q },
		"chi":     func(q *quiet) http.ResponseWriter { return counting{q} },
		"wrapped": func(q *quiet) http.ResponseWriter { return wrapper{q} },
	} {
		f := setup(t, sessionhttp.Options{})
		handle := ""
		serve := func(signIn, through bool) {
			outer := wrap(&quiet{ResponseWriter: httptest.NewRecorder()})
			f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if signIn {
					ok(t, from(r).SignIn(r.Context(), "alice", nil))
				}
				if through {
					outer = w
				}
				i, err := from(r).Info(r.Context())
				ok(t, err)
				handle = i.Handle
				_, _ = io.WriteString(outer, "the request alone was passed on")
			})).ServeHTTP(outer, httptest.NewRequest(http.MethodGet, page, nil))
		}
		serve(false, false)
		serve(true, true)
		if strings.Contains(f.log.String(), past) {
			t.Error(name, f.log)
		}
		serve(true, false)
		if !strings.Contains(f.log.String(), past) || !strings.Contains(f.log.String(), handle) {
			t.Error(name, f.log)
		}
	}
	f := setup(t, sessionhttp.Options{})
	token := ""
	func() {
		defer func() { _ = recover() }()
		f.do(func(_ http.ResponseWriter, r *http.Request) {
			ok(t, from(r).SignIn(r.Context(), "alice", nil))
			c, err := from(r).Persist(r.Context())
			ok(t, err)
			token = c.Token()
			panic("boom")
		}, "")
	}()
	if !strings.Contains(f.log.String(), "panicked") || !strings.Contains(f.log.String(), token[:22]) || strings.Contains(f.log.String(), token[23:]) {
		t.Error(f.log)
	}
}

func TestFirstUseAfterTheFirstByteIsLogged(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	late := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello ")
		who(w, r)
	}
	if w := f.do(late, token); w.Body.String() != "hello alice<nil>" || !strings.Contains(f.log.String(), "first used after the first byte") {
		t.Fatal(w.Body, f.log)
	}
	early := setup(t, sessionhttp.Options{})
	early.do(func(w http.ResponseWriter, r *http.Request) { who(w, r); late(w, r) }, early.signIn("alice"))
	early.do(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, "")
	if early.log.String() != "" {
		t.Fatal(early.log)
	}
}

type closeOnly struct{ bare }

func (closeOnly) CloseNotify() <-chan bool { return nil }

type pusher struct{ flushOnly }

func (pusher) CloseNotify() <-chan bool             { return nil }
func (pusher) Push(string, *http.PushOptions) error { return session.ErrDetached }

type everything struct{ hijackOnly }

func (everything) Flush()                   {}
func (everything) CloseNotify() <-chan bool { return nil }

type hijackClose struct{ hijackOnly }

func (hijackClose) CloseNotify() <-chan bool { return nil }

type flushClose struct{ flushOnly }

func (flushClose) CloseNotify() <-chan bool { return nil }

// gin's Stream asserts CloseNotifier without a look.
func TestWriterNotifiesAndPushesIfTheWriterBelowDoes(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	b := bare{httptest.NewRecorder()}
	for name, tc := range map[string]struct {
		w    http.ResponseWriter
		want string
	}{
		"close": {closeOnly{b}, "c"}, "HTTP/2": {pusher{flushOnly{b}}, "fcp"}, "HTTP/1": {everything{hijackOnly{b}}, "fhc"},
		"hijack, close": {hijackClose{hijackOnly{b}}, "hc"}, "flush, close": {wrapper{flushClose{flushOnly{b}}}, "fc"}, "none": {b, ""},
	} {
		f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			got := ""
			if _, has := w.(http.Flusher); has {
				got += "f"
			}
			if _, has := w.(http.Hijacker); has {
				got += "h"
			}
			if n, has := w.(interface{ CloseNotify() <-chan bool }); has {
				got += "c"
				n.CloseNotify()
			}
			if p, has := w.(http.Pusher); has {
				got += "p"
				is(t, p.Push("/a.css", nil), session.ErrDetached)
			}
			if got != tc.want {
				t.Errorf("%s: %q, want %q", name, got, tc.want)
			}
		})).ServeHTTP(tc.w, httptest.NewRequest(http.MethodGet, page, nil))
	}
	// The real connection tells a handler that its client has gone.
	gone := make(chan bool, 1)
	entered := make(chan struct{})
	srv := f.server(t, func(w http.ResponseWriter, _ *http.Request) {
		n := w.(interface{ CloseNotify() <-chan bool }).CloseNotify()
		close(entered)
		gone <- <-n
	})
	conn := dial(t, srv)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	_ = conn.Close()
	if !<-gone {
		t.Fatal("not told")
	}
}

func dial(t testing.TB, srv *httptest.Server) io.ReadWriteCloser {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	ok(t, err)
	return conn
}
