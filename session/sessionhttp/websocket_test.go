package sessionhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// Bug: alexedwards/scs#11, alexedwards/scs#69, alexedwards/scs#188
func TestWebSocketOfALibraryEndsWithItsSession(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	handled := make(chan error, 1)
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		handled <- func() error {
			if err := note.Set(r.Context(), "before the upgrade"); err != nil {
				return err
			}
			s, err := session.Require(r.Context())
			if err != nil {
				return err
			}
			if _, err := s.Persist(r.Context()); err != nil {
				return err
			}
			live, err := session.Detach(r.Context())
			if err != nil {
				return err
			}
			defer live.Close()
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return err
			}
			defer func() { _ = conn.CloseNow() }()
			if err := note.Set(r.Context(), "late"); !errors.Is(err, session.ErrCommitted) {
				return errors.Join(errors.New("not committed"), err)
			}
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go func() {
				select {
				case <-live.Done():
					_ = conn.Close(websocket.StatusPolicyViolation, "signed out")
				case <-ctx.Done():
				}
			}()
			for {
				kind, text, err := conn.Read(ctx)
				if err != nil {
					<-live.Done()
					return nil
				}
				err = live.Do(ctx, func(ctx context.Context) error { return note.Set(ctx, string(text)) })
				if err != nil {
					return err
				}
				if err := conn.Write(ctx, kind, text); err != nil {
					return err
				}
			}
		}()
	})
	token := f.signIn("alice")
	conn, res, err := websocket.Dial(t.Context(), strings.Replace(srv.URL, "http", "ws", 1), &websocket.DialOptions{ //nolint:bodyclose // Dial returns no body to close
		HTTPHeader: http.Header{"Cookie": {f.pair(token)}},
	})
	ok(t, err)
	defer func() { _ = conn.CloseNow() }()
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res.Status)
	}
	for _, text := range []string{"one", "two"} {
		ok(t, conn.Write(t.Context(), websocket.MessageText, []byte(text)))
		if _, got, err := conn.Read(t.Context()); err != nil || string(got) != text {
			t.Fatal(string(got), err)
		}
		if w := f.do(get(t), token); w.Body.String() != `"`+text+`" true` {
			t.Fatal(w.Body)
		}
	}
	f.do(func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).SignOut(r.Context())) }, token)
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Fatal("after the sign-out:", err)
	}
	ok(t, <-handled)
}

func TestWebSocketUpgradeGivesTheCookieOfANewSession(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	srv := f.server(t, func(w http.ResponseWriter, r *http.Request) {
		ok(t, note.Set(r.Context(), "v"))
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close(websocket.StatusNormalClosure, "")
	})
	conn, res, err := websocket.Dial(t.Context(), strings.Replace(srv.URL, "http", "ws", 1), nil) //nolint:bodyclose // as above
	ok(t, err)
	defer func() { _ = conn.CloseNow() }()
	if c := res.Cookies(); len(c) != 1 || f.do(get(t), c[0].Value).Body.String() != `"v" true` {
		t.Fatal(res.Header)
	}
}

func TestHundredThousandRequestsLeaveMemoryFlat(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.signIn("alice")
	read := f.m.Wrap(http.HandlerFunc(who))
	write := f.m.Wrap(set(t, "v"))
	ask := func(i int) {
		r := httptest.NewRequest(http.MethodGet, page, nil)
		if i%3 != 0 {
			r.Header.Set("Cookie", f.pair(token))
		}
		h := read
		if i%10 == 1 {
			h = write
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	measure := func() (heap uint64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	for i := range 3_000 {
		ask(i)
	}
	heap, goroutines := measure()
	for i := range 100_000 {
		ask(i)
	}
	after, goroutinesAfter := measure()
	if grown := int64(after) - int64(heap); grown > 1<<20 || goroutinesAfter > goroutines {
		t.Fatalf("the heap grew by %d bytes, goroutines from %d to %d", grown, goroutines, goroutinesAfter)
	}
}
