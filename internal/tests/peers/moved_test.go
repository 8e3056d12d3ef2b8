package peers

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/alexedwards/scs/v2"
	gorilla "github.com/gorilla/sessions"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// before is a program on the library before, which keeps a user and a note.
type before struct {
	name   string
	cookie string
	login  http.Handler
	who    http.Handler // says who is signed in
	open   func(r *http.Request) (Old, error)
}

func beforeSCS(_ *testing.T) before {
	m := scs.New()
	return before{
		name: "scs", cookie: m.Cookie.Name, open: fromSCS(m),
		login: m.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			m.Put(r.Context(), "user", "alice")
			m.Put(r.Context(), "note", "milk")
		})),
		who: m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, m.GetString(r.Context(), "user"))
		})),
	}
}

func beforeGorilla(t *testing.T) before {
	t.Helper()
	store := gorilla.NewFilesystemStore(t.TempDir(), []byte("a key of thirty-two random bytes"))
	return before{
		name: "gorilla", cookie: "old", open: fromGorilla(store, "old"),
		login: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, "old")
			s.Values["user"], s.Values["note"] = "alice", "milk"
			if err := s.Save(r, w); err != nil {
				t.Error(err)
			}
		}),
		who: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, "old")
			user, _ := s.Values["user"].(string)
			_, _ = io.WriteString(w, user)
		}),
	}
}

func TestMoveSignsNobodyOut(t *testing.T) {
	for _, b := range []before{beforeSCS(t), beforeGorilla(t)} {
		t.Run(b.name, func(t *testing.T) {
			m, err := sessionhttp.New(sessiontest.New(t, nil).Service, &sessionhttp.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle("/logout", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if s, err := session.Require(r.Context()); err != nil || s.SignOut(r.Context()) != nil {
					t.Error("not signed out")
				}
			}))
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
				user, _, err := session.User(r.Context())
				note, _, err2 := Note.Get(r.Context())
				if err != nil || err2 != nil {
					t.Error(err, err2)
				}
				_, _ = io.WriteString(w, user+" "+note)
			})
			old := newClient(t, site{serve: recorded(b.login)})
			old.visit("/")
			copied := old.cookies[b.cookie]
			if copied == "" {
				t.Fatalf("the library before sent %v", old.cookies)
			}
			now := site{serve: recorded(m.Wrap(Move(b.cookie, b.open, mux)))}
			c := newClient(t, now)
			c.cookies[b.cookie] = copied
			tab := c.with() // two tabs load at the same time
			for i, browser := range []*client{c, tab, c} {
				if _, text := browser.visit("/"); text != "alice milk" {
					t.Fatalf("visit %d: %q", i, text)
				}
			}
			if c.cookies[m.CookieName()] == "" || c.cookies[b.cookie] != "" {
				t.Errorf("after the move the browser has %v", c.cookies)
			}
			// The old cookie opens nothing now, here and there.
			thief := newClient(t, now)
			thief.cookies[b.cookie] = copied
			if code, text := thief.visit("/"); text != " " {
				t.Errorf("a copy of the old cookie: %d %q", code, text)
			}
			thief = newClient(t, site{serve: recorded(b.who)})
			thief.cookies[b.cookie] = copied
			if code, text := thief.visit("/"); text != "" {
				t.Errorf("a copy of the old cookie, at the library before: %d %q", code, text)
			}
			c.visit("/logout")
			if _, text := c.visit("/"); text != " " {
				t.Errorf("after the sign-out: %q", text)
			}
		})
	}
}

// A first request may be a sign-out. The old session ends with it.
func TestMoveThenSignOutEndsBoth(t *testing.T) {
	b := beforeSCS(t)
	m, err := sessionhttp.New(sessiontest.New(t, nil).Service, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := newClient(t, site{serve: recorded(b.login)})
	old.visit("/")
	handler := m.Wrap(Move(b.cookie, b.open, sessionhttp.SignOut(nil)))
	r := httptest.NewRequest(http.MethodPost, "https://example.com/logout", nil)
	r.AddCookie(&http.Cookie{Name: b.cookie, Value: old.cookies[b.cookie]})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if user := who(t, b, old.cookies[b.cookie]); user != "" {
		t.Errorf("%d: the old session is still %q's", w.Code, user)
	}
}

func who(t *testing.T, b before, cookie string) string {
	t.Helper()
	c := newClient(t, site{serve: recorded(b.who)})
	c.cookies[b.cookie] = cookie
	_, text := c.visit("/")
	return text
}
