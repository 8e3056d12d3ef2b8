package fiberstorage_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/cache"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	fibersession "github.com/gofiber/fiber/v3/middleware/session"

	"github.com/sojourn-go/sojourn/adapters/fiberstorage"
	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var _ fiber.Storage = (*fiberstorage.Storage)(nil)

// each runs the test on a storage in memory and on one in files, with a clock.
func each(t *testing.T, test func(t *testing.T, s *fiberstorage.Storage, clock *sessiontest.Clock)) {
	t.Helper()
	inMemory, err := memory.New(memory.NewSpace(), "fiber", nil)
	if err != nil {
		t.Fatal(err)
	}
	inFiles, err := file.New(t.TempDir(), "fiber", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, backend := range map[string]expiry.ModelExpirySupport{"memory": inMemory, "file": inFiles} {
		t.Run(name, func(t *testing.T) {
			clock := sessiontest.NewClock(time.Now())
			s, err := fiberstorage.New(backend, &expiry.StoreOptions{Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			if err := s.Records().CreateStorage(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, s, clock)
		})
	}
}

func want(t *testing.T, s *fiberstorage.Storage, key, value string) {
	t.Helper()
	b, err := s.Get(key)
	if err != nil || string(b) != value || (b == nil) != (value == "") {
		t.Fatalf("Get(%q) returned %q and %v, want %q", key, b, err, value)
	}
}

// The checks are those that gofiber's storages have in common. Their suite is not
// available as a module. Time is told instead of slept through.
func TestStorage(t *testing.T) {
	each(t, func(t *testing.T, s *fiberstorage.Storage, clock *sessiontest.Clock) {
		t.Helper()
		set := func(key, value string, lifetime time.Duration) {
			t.Helper()
			if err := s.Set(key, []byte(value), lifetime); err != nil {
				t.Fatal(err)
			}
		}
		want(t, s, "missing", "")
		want(t, s, "", "")
		want(t, s, strings.Repeat("x", 4096), "") // what a client may send
		set("key", "one", 0)
		want(t, s, "key", "one")
		set("key", "two", 0)
		want(t, s, "key", "two")
		set("", "value", 0)
		set("key", "", 0) // is ignored
		want(t, s, "key", "two")
		set("short", "value", time.Second)
		clock.Advance(time.Second - time.Millisecond)
		want(t, s, "short", "value")
		clock.Advance(time.Millisecond)
		want(t, s, "short", "")
		set("past", "value", time.Hour)
		set("past", "value", -time.Second)
		want(t, s, "past", "")
		for range 2 { // the second time nothing is there
			if err := s.Delete("key"); err != nil {
				t.Fatal(err)
			}
		}
		want(t, s, "key", "")
		if err := s.Delete(""); err != nil {
			t.Fatal(err)
		}
		set("a", "1", 0)
		set("b", "2", time.Hour)
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		want(t, s, "a", "")
		want(t, s, "b", "")
		set("a", "1", 0)
		want(t, s, "a", "1")
	})
}

// Fiber uses the memory of keys and values again.
func TestStorageDoesNotKeepTheCallersMemory(t *testing.T) {
	each(t, func(t *testing.T, s *fiberstorage.Storage, _ *sessiontest.Clock) {
		t.Helper()
		value := []byte("value")
		if err := s.Set("key", value, 0); err != nil {
			t.Fatal(err)
		}
		copy(value, "XXXXX")
		b, _ := s.Get("key")
		copy(b, "YYYYY")
		want(t, s, "key", "value")
	})
}

// Keys are cookies of sessions: neither the store nor an error has them.
func TestKeysStaySecret(t *testing.T) {
	raw, err := memory.New(memory.NewSpace(), "fiber", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := sessiontest.Wrap(raw)
	s, err := fiberstorage.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set("secret", []byte("value"), 0); err != nil {
		t.Fatal(err)
	}
	for item, err := range s.Records().All(t.Context(), nil) {
		if err != nil || strings.Contains(item.ID, "secret") {
			t.Error(item.ID, err)
		}
		want(t, s, item.ID, "")
	}
	b.SetHook(sessiontest.Down)
	_, err = s.Get("secret")
	for _, err := range []error{err, s.Set("secret", []byte("value"), 0), s.Delete("secret")} {
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

// request sends one with pairs of header names and values to the app. It returns the
// cookie of the answer, and its status and text.
func request(t *testing.T, app *fiber.App, method, path string, header ...string) (cookie, text string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := app.Test(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		cookie = c.String()
	}
	return cookie, fmt.Sprint(res.StatusCode, " ", string(body))
}

// Fiber's own middlewares keep what they have in the storage.
func TestMiddlewares(t *testing.T) {
	each(t, func(t *testing.T, s *fiberstorage.Storage, _ *sessiontest.Clock) {
		t.Helper()
		sessions := fiber.New()
		sessions.Use(fibersession.New(fibersession.Config{Storage: s}))
		sessions.Get("/next", func(c fiber.Ctx) error {
			n, _ := fibersession.FromContext(c).Get("n").(int)
			fibersession.FromContext(c).Set("n", n+1)
			return c.SendString(fmt.Sprint(n + 1))
		})
		cookie := ""
		for i := range 3 {
			next, text := request(t, sessions, http.MethodGet, "/next", "Cookie", cookie)
			if text != fmt.Sprint("200 ", i+1) {
				t.Fatal("session:", text)
			}
			if next != "" {
				cookie = next
			}
		}

		limited := fiber.New()
		limited.Use(limiter.New(limiter.Config{Max: 2, Expiration: time.Hour, Storage: s}))
		limited.Get("/", func(c fiber.Ctx) error { return c.SendString("ok") })
		for i, status := range []string{"200", "200", "429"} {
			if _, text := request(t, limited, http.MethodGet, "/"); !strings.HasPrefix(text, status) {
				t.Fatal("limiter:", i, text)
			}
		}

		made := 0
		make1 := func(c fiber.Ctx) error { made++; return c.SendString(fmt.Sprint("made ", made)) }
		cached := fiber.New()
		cached.Use(cache.New(cache.Config{Expiration: time.Hour, Storage: s}))
		cached.Get("/", make1)
		once := fiber.New()
		once.Use(idempotency.New(idempotency.Config{Storage: s}))
		once.Post("/", make1)
		for range 2 {
			if _, text := request(t, cached, http.MethodGet, "/"); text != "200 made 1" {
				t.Fatal("cache:", text)
			}
		}
		for range 2 {
			if _, text := request(t, once, http.MethodPost, "/", "X-Idempotency-Key", strings.Repeat("k", 36)); text != "200 made 2" {
				t.Fatal("idempotency:", text)
			}
		}
	})
}
