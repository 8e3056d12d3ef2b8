package gorillastore_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	ginsessions "github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/sojourn-go/sojourn/adapters/gorillastore"
	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var _ sessions.Store = (*gorillastore.Store)(nil)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	gin.DefaultWriter = io.Discard
	os.Exit(m.Run())
}

func open(t *testing.T, backend expiry.ModelExpirySupport, clock expiry.Clock) *gorillastore.Store {
	t.Helper()
	s, err := gorillastore.New(backend, &expiry.StoreOptions{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Records().Close() })
	if err := s.Records().CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func inMemory(t *testing.T) expiry.ModelExpirySupport {
	t.Helper()
	b, err := memory.New(memory.NewSpace(), "gorilla", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func inFiles(t *testing.T) expiry.ModelExpirySupport {
	t.Helper()
	b, err := file.New(t.TempDir(), "gorilla", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ginStore is a store of gorilla for gin-contrib/sessions, whose suite is the one
// for such stores that can be imported.
type ginStore struct{ *gorillastore.Store }

func (s ginStore) Options(o ginsessions.Options) { s.Store.Options = o.ToGorillaOptions() }

func TestSuiteOfGinContrib(t *testing.T) {
	for name, backend := range map[string]func(*testing.T) expiry.ModelExpirySupport{"memory": inMemory, "file": inFiles} {
		t.Run(name, func(t *testing.T) {
			factory := func(t *testing.T) ginsessions.Store {
				t.Helper()
				return ginStore{open(t, backend(t), nil)}
			}
			tester.GetSet(t, factory)
			tester.DeleteKey(t, factory)
			tester.Flashes(t, factory)
			tester.Clear(t, factory)
			tester.Options(t, factory)
			tester.Many(t, factory)
		})
	}
}

// exchange loads the session "s" with the cookies, changes it, and saves it unless the change
// returns false. It returns the cookies of the answer.
func exchange(t *testing.T, s *gorillastore.Store, cookies []*http.Cookie, change func(*sessions.Session) bool) ([]*http.Cookie, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://shop.example/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	session, err := s.Get(r, "s")
	if err != nil {
		return nil, err
	}
	if change(session) {
		err = session.Save(r, w)
	}
	res := w.Result()
	_ = res.Body.Close()
	return res.Cookies(), err
}

func put(n int) func(*sessions.Session) bool {
	return func(s *sessions.Session) bool { s.Values["n"] = n; return true }
}

// want checks what a session has. Zero means a new session.
func want(t *testing.T, s *gorillastore.Store, cookies []*http.Cookie, n int) {
	t.Helper()
	if _, err := exchange(t, s, cookies, func(session *sessions.Session) bool {
		if got, _ := session.Values["n"].(int); got != n || session.IsNew != (n == 0) || (session.ID == "") != (n == 0) {
			t.Fatalf("the session has %v, is new: %v, id %q; want %d", session.Values, session.IsNew, session.ID, n)
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, cookies []*http.Cookie, err error) []*http.Cookie {
	t.Helper()
	if err != nil || len(cookies) != 1 {
		t.Fatal(cookies, err)
	}
	return cookies
}

func TestStore(t *testing.T) {
	for name, backend := range map[string]func(*testing.T) expiry.ModelExpirySupport{"memory": inMemory, "file": inFiles} {
		t.Run(name, func(t *testing.T) {
			clock := sessiontest.NewClock(time.Now())
			s := open(t, backend(t), clock)
			do := func(cookies []*http.Cookie, change func(*sessions.Session) bool) []*http.Cookie {
				t.Helper()
				got, err := exchange(t, s, cookies, change)
				return must(t, got, err)
			}
			a := do(nil, put(1))
			want(t, s, a, 1)
			if c := a[0]; !c.Secure || !c.HttpOnly || c.Path != "/" || c.MaxAge != 86400*30 || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("the cookie is %v", c)
			}
			if again := do(a, put(2)); again[0].Value != a[0].Value {
				t.Error("the id has changed")
			}
			want(t, s, a, 2)
			want(t, s, do(nil, put(3)), 3)
			want(t, s, nil, 0)
			want(t, s, []*http.Cookie{{Name: "s", Value: strings.Repeat("x", 4096)}}, 0)

			// The clock ends a session to the millisecond.
			short := do(nil, func(session *sessions.Session) bool {
				session.Options.MaxAge = 60
				return put(4)(session)
			})
			clock.Advance(time.Minute - time.Millisecond)
			want(t, s, short, 4)
			clock.Advance(time.Millisecond)
			want(t, s, short, 0)

			// A MaxAge of zero or less removes the session and its cookie.
			for _, age := range []int{-1, 0} {
				b := do(nil, put(5))
				gone := do(b, func(session *sessions.Session) bool { session.Options.MaxAge = age; return true })
				if gone[0].Value != "" || gone[0].MaxAge != age {
					t.Errorf("MaxAge %d: the cookie is %v", age, gone[0])
				}
				want(t, s, b, 0)
				want(t, s, gone, 0)
			}
		})
	}
}

// A request that is still running when its user signs out does not bring the session
// back.
func TestSaveDoesNotReviveASession(t *testing.T) {
	s := open(t, inMemory(t), nil)
	got, err := exchange(t, s, nil, put(1))
	a := must(t, got, err)
	got, err = exchange(t, s, a, func(session *sessions.Session) bool {
		got, err := exchange(t, s, a, func(session *sessions.Session) bool { session.Options.MaxAge = -1; return true })
		must(t, got, err)
		return put(2)(session)
	})
	if !errors.Is(err, expiry.ErrNotFound) || len(got) != 0 {
		t.Fatal(got, err)
	}
	want(t, s, a, 0)
}

// What is in the store opens nothing, and a failure is an error beside a new session.
func TestStoreHoldsNoCookie(t *testing.T) {
	b := sessiontest.Wrap(inMemory(t))
	s := open(t, b, nil)
	got, err := exchange(t, s, nil, put(1))
	a := must(t, got, err)
	for item, err := range s.Records().All(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(item.ID, a[0].Value) {
			t.Error("the store has the cookie")
		}
		want(t, s, []*http.Cookie{{Name: "s", Value: item.ID}}, 0)
	}
	b.SetHook(sessiontest.Down)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://shop.example/", nil)
	r.AddCookie(a[0])
	session, err := s.New(r, "s")
	if !errors.Is(err, expiry.ErrUnavailable) || session == nil || !session.IsNew {
		t.Fatal(session, err)
	}
	if got, err := exchange(t, s, nil, put(2)); !errors.Is(err, expiry.ErrUnavailable) || len(got) != 0 {
		t.Fatal(got, err)
	}
}
