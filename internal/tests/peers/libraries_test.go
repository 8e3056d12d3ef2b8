package peers

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gofiber/fiber/v3"
	recovery "github.com/gofiber/fiber/v3/middleware/recover"
	fibersession "github.com/gofiber/fiber/v3/middleware/session"
	gorilla "github.com/gorilla/sessions"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// The limits of the sessions in all libraries that have them, and the time between
// two visits.
const (
	idle     = 10 * time.Minute
	absolute = time.Hour
	step     = idle - time.Minute
)

// visit is one request in a library's own words.
type visit interface {
	get(key string) string
	set(key, value string)
	signIn()
	signOut()
}

// handle is the program, the same for all libraries. Hold waits while the request
// runs, after it has read its session.
func handle(path string, v visit, hold func()) string {
	switch path {
	case "/login":
		v.signIn()
	case "/logout":
		v.signOut()
	case "/read":
		_ = v.get("user")
		hold()
	case "/write/a", "/write/b":
		_ = v.get("user")
		hold()
		v.set(strings.TrimPrefix(path, "/write/"), "1")
	}
	return v.get("user") + " " + v.get("a") + " " + v.get("b")
}

// answer is what a client gets.
type answer struct {
	status  int
	text    string
	cookies []*http.Cookie
}

func answerOf(res *http.Response) answer {
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		body = []byte(err.Error())
	}
	return answer{res.StatusCode, string(body), res.Cookies()}
}

// site is a program with a library.
type site struct {
	serve func(r *http.Request) answer
	// dump returns what a copy of the store would give to try as cookies, or nil
	// if the library has no store that can be copied.
	dump   func() []string
	cookie string
	// fail makes the store fail from now on. It is nil if nothing can make it fail.
	fail func()
	// age lets time pass for what is stored. Without it the clock of the test does.
	age func(d time.Duration)
}

// opener makes a program whose requests to paths wait in hold.
type opener func(t *testing.T, hold func(path string)) site

type library struct {
	name  string
	open  opener
	start func(t *testing.T) opener // if not nil, it returns what opens the program
	real  bool                      // it needs the real clock, and nothing lets time pass for what it stores
}

var libraries = []library{
	{name: "Sojourn", open: openSojourn},
	{name: "scs", open: openSCS},
	{name: "gorilla", open: openGorilla},
	{name: "gofiber", open: openFiber, real: true},
	{name: "Spring Session", start: startSpring},
}

func recorded(h http.Handler) func(*http.Request) answer {
	return func(r *http.Request) answer {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return answerOf(w.Result())
	}
}

// Sojourn.

type ours struct {
	ctx context.Context
	s   *session.Session
}

func (v ours) get(key string) string {
	if key == "user" {
		id, _, _ := session.User(v.ctx)
		return id
	}
	text, _, _ := session.NewKey[string](key).Get(v.ctx)
	return text
}
func (v ours) set(key, value string) { _ = session.NewKey[string](key).Set(v.ctx, value) }
func (v ours) signIn()               { _ = v.s.SignIn(v.ctx, "alice", nil) }
func (v ours) signOut()              { _ = v.s.SignOut(v.ctx) }

func openSojourn(t *testing.T, hold func(string)) site {
	t.Helper()
	kit := sessiontest.New(t, &session.Options{Policy: session.Policy{Idle: idle, Absolute: absolute, TouchEvery: -1}})
	m, err := sessionhttp.New(kit.Service, &sessionhttp.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handler := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := session.From(r.Context())
		_, _ = io.WriteString(w, handle(r.URL.Path, ours{r.Context(), s}, func() { hold(r.URL.Path) }))
	}))
	serve := recorded(handler)
	return site{
		cookie: m.CookieName(),
		serve: func(r *http.Request) answer {
			kit.Clock.Advance(time.Since(kit.Clock.Now())) // the time of the test
			return serve(r)
		},
		dump: func() []string {
			var found []string
			for info, err := range kit.Service.Sessions(t.Context(), "alice") {
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, info.Handle)
			}
			return found
		},
		fail: func() {
			kit.Backend.SetHook(sessiontest.Fail(model.ErrUnavailable, sessiontest.OpGet, sessiontest.OpGetMany))
		},
	}
}

// scs.

type theirs struct {
	m   *scs.SessionManager
	ctx context.Context
}

func (v theirs) get(key string) string { return v.m.GetString(v.ctx, key) }
func (v theirs) set(key, value string) { v.m.Put(v.ctx, key, value) }
func (v theirs) signIn()               { _ = v.m.RenewToken(v.ctx); v.m.Put(v.ctx, "user", "alice") }
func (v theirs) signOut()              { _ = v.m.Destroy(v.ctx) }

var errDown = errors.New("the store is down")

// failing is a store of scs that can be made to fail.
type failing struct {
	*memstore.MemStore
	down *bool
}

func (f failing) Find(token string) ([]byte, bool, error) {
	if *f.down {
		return nil, false, errDown
	}
	return f.MemStore.Find(token)
}

func openSCS(_ *testing.T, hold func(string)) site {
	m := scs.New()
	store := failing{memstore.NewWithCleanupInterval(0), new(bool)}
	m.Store, m.Lifetime, m.IdleTimeout = store, absolute, idle
	m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, _ error) {
		http.Error(w, "error", http.StatusInternalServerError)
	}
	return site{
		cookie: m.Cookie.Name,
		serve: recorded(m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, handle(r.URL.Path, theirs{m, r.Context()}, func() { hold(r.URL.Path) }))
		}))),
		dump: func() []string {
			all, _ := store.All()
			var tokens []string
			for token := range all {
				tokens = append(tokens, token)
			}
			return tokens
		},
		fail: func() { *store.down = true },
	}
}

// gorilla, with the store of files that comes with it.

type files struct{ s *gorilla.Session }

func (v files) get(key string) string { text, _ := v.s.Values[key].(string); return text }
func (v files) set(key, value string) { v.s.Values[key] = value }
func (v files) signIn()               { v.s.Values["user"] = "alice" }
func (v files) signOut() {
	v.s.Options.MaxAge = -1
	v.s.Values = map[any]any{}
}

func openGorilla(t *testing.T, hold func(string)) site {
	t.Helper()
	dir := t.TempDir()
	store := gorilla.NewFilesystemStore(dir, []byte("a key of thirty-two random bytes"))
	store.MaxAge(int(idle / time.Second))
	return site{
		cookie: "id",
		serve: recorded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, "id") // as its documentation does
			text := handle(r.URL.Path, files{s}, func() { hold(r.URL.Path) })
			if r.URL.Path != "/read" && r.URL.Path != "/show" {
				if err := s.Save(r, w); err != nil {
					http.Error(w, "error", http.StatusInternalServerError)
					return
				}
			}
			_, _ = io.WriteString(w, text)
		})),
		dump: func() []string {
			found, _ := filepath.Glob(filepath.Join(dir, "session_*"))
			var ids []string
			for _, f := range found {
				id := strings.TrimPrefix(filepath.Base(f), "session_")
				ids = append(ids, id, base64.URLEncoding.EncodeToString([]byte(id)))
			}
			return ids
		},
		fail: func() { // a folder in place of each file
			found, _ := filepath.Glob(filepath.Join(dir, "session_*"))
			for _, f := range found {
				_ = os.Remove(f)
				_ = os.Mkdir(f, 0o700)
			}
		},
	}
}

// gofiber.

type fibers struct{ s *fibersession.Middleware }

func (v fibers) get(key string) string { text, _ := v.s.Get(key).(string); return text }
func (v fibers) set(key, value string) { v.s.Set(key, value) }
func (v fibers) signIn()               { _ = v.s.Regenerate(); v.s.Set("user", "alice") }
func (v fibers) signOut()              { _ = v.s.Destroy() }

// shelf is a storage of fiber in a map.
type shelf struct {
	values map[string][]byte
	down   bool
}

func (s *shelf) GetWithContext(_ context.Context, key string) ([]byte, error) { return s.Get(key) }
func (s *shelf) Get(key string) ([]byte, error) {
	if s.down {
		return nil, errDown
	}
	return s.values[key], nil
}
func (s *shelf) SetWithContext(_ context.Context, key string, val []byte, exp time.Duration) error {
	return s.Set(key, val, exp)
}
func (s *shelf) Set(key string, val []byte, _ time.Duration) error {
	s.values[strings.Clone(key)] = append([]byte(nil), val...)
	return nil
}
func (s *shelf) DeleteWithContext(_ context.Context, key string) error { return s.Delete(key) }
func (s *shelf) Delete(key string) error                               { delete(s.values, key); return nil }
func (s *shelf) ResetWithContext(context.Context) error                { return s.Reset() }
func (s *shelf) Reset() error                                          { clear(s.values); return nil }
func (s *shelf) Close() error                                          { return nil }

func openFiber(t *testing.T, hold func(string)) site {
	t.Helper()
	storage := &shelf{values: map[string][]byte{}}
	app := fiber.New()
	app.Use(recovery.New()) // the session middleware panics if its storage fails
	app.Use(fibersession.New(fibersession.Config{Storage: storage, IdleTimeout: idle, AbsoluteTimeout: absolute}))
	app.All("/*", func(c fiber.Ctx) error {
		path := strings.Clone(c.Path())
		return c.SendString(handle(path, fibers{fibersession.FromContext(c)}, func() { hold(path) }))
	})
	return site{
		cookie: "session_id",
		serve: func(r *http.Request) answer {
			res, err := app.Test(r, fiber.TestConfig{Timeout: 0})
			if err != nil {
				t.Error(err)
				return answer{}
			}
			return answerOf(res)
		},
		dump: func() []string {
			var ids []string
			for id := range storage.values {
				ids = append(ids, id)
			}
			return ids
		},
		fail: func() { storage.down = true },
	}
}
