package scsstore_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/sojourn-go/sojourn/adapters/scsstore"
	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var (
	_ scs.CtxStore         = (*scsstore.Store)(nil)
	_ scs.IterableStore    = (*scsstore.Store)(nil)
	_ scs.IterableCtxStore = (*scsstore.Store)(nil)
)

// each runs the test on a store in memory and on one in files, with a clock.
func each(t *testing.T, test func(t *testing.T, s *scsstore.Store, clock *sessiontest.Clock)) {
	t.Helper()
	inMemory, err := memory.New(memory.NewSpace(), "scs", nil)
	if err != nil {
		t.Fatal(err)
	}
	inFiles, err := file.New(t.TempDir(), "scs", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, backend := range map[string]expiry.ModelExpirySupport{"memory": inMemory, "file": inFiles} {
		t.Run(name, func(t *testing.T) {
			clock := sessiontest.NewClock(time.Now())
			s, err := scsstore.New(backend, &expiry.StoreOptions{Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Records().Close() })
			if err := s.Records().CreateStorage(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, s, clock)
		})
	}
}

// want checks what a store finds.
func want(t *testing.T, s *scsstore.Store, token, data string, found bool) {
	t.Helper()
	b, ok, err := s.Find(token)
	if err != nil || ok != found || string(b) != data {
		t.Fatalf("Find returned %q, %v and %v, want %q and %v", b, ok, err, data, found)
	}
}

// The checks are those of the stores of scs, whose tests cannot be imported. Time is
// told instead of slept through.
func TestStore(t *testing.T) {
	each(t, func(t *testing.T, s *scsstore.Store, clock *sessiontest.Clock) {
		t.Helper()
		commit := func(token, data string, in time.Duration) {
			t.Helper()
			if err := s.Commit(token, []byte(data), clock.Now().Add(in)); err != nil {
				t.Fatal(err)
			}
		}
		want(t, s, "missing", "", false)
		want(t, s, string(make([]byte, 4096)), "", false) // what a client may send
		commit("token", "data", time.Minute)
		want(t, s, "token", "data", true)
		commit("token", "new data", time.Minute)
		want(t, s, "token", "new data", true)
		commit("empty", "", time.Minute)
		want(t, s, "empty", "", true)

		commit("short", "data", 100*time.Millisecond)
		want(t, s, "short", "data", true)
		clock.Advance(101 * time.Millisecond)
		want(t, s, "short", "", false)
		commit("past", "data", time.Minute)
		commit("past", "data", -time.Second)
		want(t, s, "past", "", false)

		all, err := s.All()
		if err != nil || len(all) != 2 || string(all["token"]) != "new data" {
			t.Fatal(all, err)
		}
		for range 2 { // the second time nothing is there
			if err := s.Delete("token"); err != nil {
				t.Fatal(err)
			}
		}
		want(t, s, "token", "", false)
		if err := s.Delete("empty"); err != nil {
			t.Fatal(err)
		}
		if all, err := s.All(); err != nil || all == nil || len(all) != 0 {
			t.Fatal(all, err)
		}
	})
}

func TestStoreDoesNotKeepTheCallersMemory(t *testing.T) {
	each(t, func(t *testing.T, s *scsstore.Store, clock *sessiontest.Clock) {
		t.Helper()
		data := []byte("data")
		if err := s.Commit("token", data, clock.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		copy(data, "XXXX")
		b, _, _ := s.Find("token")
		copy(b, "YYYY")
		want(t, s, "token", "data", true)
	})
}

// The id of a record is the token: no error names it.
func TestErrorsHaveNoToken(t *testing.T) {
	raw, err := memory.New(memory.NewSpace(), "scs", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := sessiontest.Wrap(raw)
	s, err := scsstore.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := s.Commit("secret", []byte("data"), later); err != nil {
		t.Fatal(err)
	}
	b.SetTamper(sessiontest.Torn)
	_, _, torn := s.Find("secret")
	_, all := s.All()
	b.SetHook(sessiontest.Down)
	_, _, down := s.Find("secret")
	for i, err := range []error{down, s.Commit("secret", nil, later), s.Delete("secret"), torn, all} {
		if i < 3 && !errors.Is(err, expiry.ErrUnavailable) || err != nil && strings.Contains(err.Error(), "secret") {
			t.Error(i, err)
		}
	}
}

// visitor is a browser.
type visitor struct {
	t   *testing.T
	c   http.Client
	url string
}

func visit(t *testing.T, h http.Handler) *visitor {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, http.Client{Jar: jar}, srv.URL}
}

func (v *visitor) get(path string, header ...string) string {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.url+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := v.c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return fmt.Sprint(res.StatusCode, " ", string(text))
}

func (v *visitor) cookies() []string {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.url, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	var names []string
	for _, c := range v.c.Jar.Cookies(r.URL) {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

// program is one on scs.
func program(m *scs.SessionManager) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/in", func(w http.ResponseWriter, r *http.Request) {
		if err := m.RenewToken(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		m.Put(r.Context(), "user", r.FormValue("user"))
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("/next", func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "n", m.GetInt(r.Context(), "n")+1)
		_, _ = fmt.Fprint(w, m.GetInt(r.Context(), "n"), " of ", m.GetString(r.Context(), "user"))
	})
	mux.HandleFunc("/out", func(w http.ResponseWriter, r *http.Request) {
		if err := m.Destroy(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

func manager(s scs.Store) *scs.SessionManager {
	m := scs.New()
	m.Store = s
	m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		slog.Error("scs", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
	}
	return m
}

func TestManager(t *testing.T) {
	each(t, func(t *testing.T, s *scsstore.Store, _ *sessiontest.Clock) {
		t.Helper()
		for _, hashed := range []bool{false, true} {
			m := manager(s)
			m.HashTokenInStore = hashed
			v := visit(t, m.LoadAndSave(program(m)))
			for _, step := range [][2]string{
				{"/next", "200 1 of "}, {"/in?user=alice", "200 hello"}, {"/next", "200 2 of alice"}, {"/out", "200 "}, {"/next", "200 1 of "},
			} {
				if got := v.get(step[0]); got != step[1] {
					t.Fatalf("%s: %q, want %q", step[0], got, step[1])
				}
			}
			all, err := s.All()
			if err != nil || len(all) != 1 { // of all states of the session one is left
				t.Fatal(len(all), err)
			}
			if !hashed { // scs gives Iterate the stored hash as a token
				if err := m.Iterate(t.Context(), m.Destroy); err != nil {
					t.Fatal(err)
				}
			} else if _, err := s.Records().DeleteAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
