package scsstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/sojourn-go/sojourn/adapters/scsstore"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var visits = session.NewKey[int]("n")

// migration is a program on scs whose next version is on package session.
type migration struct {
	old   *scs.SessionManager
	kit   *sessiontest.Kit
	next  bool  // the new version serves
	fail  error // of open
	opens int
	ends  []time.Time // the deadlines that open saw
}

func (g *migration) open(ctx context.Context) error {
	g.opens++
	g.ends = append(g.ends, g.old.Deadline(ctx))
	if g.fail != nil {
		return g.fail
	}
	if err := visits.Set(ctx, g.old.GetInt(ctx, "n")); err != nil {
		return err
	}
	user := g.old.GetString(ctx, "user")
	if user == "" {
		return nil
	}
	s, err := session.Require(ctx)
	if err != nil {
		return err
	}
	return s.SignIn(ctx, user, nil)
}

func (g *migration) handler(t *testing.T) http.Handler {
	t.Helper()
	m, err := sessionhttp.New(g.kit.Service, &sessionhttp.Options{Insecure: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/next", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		if err := visits.Update(r.Context(), func(v *int) error { *v++; n = *v; return nil }); err != nil {
			http.Error(w, err.Error(), sessionhttp.Status(err))
			return
		}
		user, _, _ := session.User(r.Context())
		_, _ = fmt.Fprint(w, n, " of ", user)
	})
	mux.HandleFunc("/out", func(w http.ResponseWriter, r *http.Request) {
		s, _ := session.From(r.Context())
		if err := s.SignOut(r.Context()); err != nil {
			http.Error(w, err.Error(), sessionhttp.Status(err))
		}
	})
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "plain") })
	before, after := g.old.LoadAndSave(program(g.old)), m.Wrap(scsstore.Move(g.old, g.open)(mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.next {
			after.ServeHTTP(w, r)
			return
		}
		before.ServeHTTP(w, r)
	})
}

func newMigration(t *testing.T, change func(*scs.SessionManager)) (*migration, *visitor) {
	t.Helper()
	g := &migration{old: manager(memstore.NewWithCleanupInterval(0)), kit: sessiontest.New(t, nil)}
	if change != nil {
		change(g.old)
	}
	return g, visit(t, g.handler(t))
}

func (v *visitor) steps(list ...[2]string) {
	v.t.Helper()
	for i, step := range list {
		if got := v.get(step[0]); !strings.HasPrefix(got, step[1]) {
			v.t.Fatalf("step %d, %s: %q, want %q", i, step[0], got, step[1])
		}
	}
}

// Everybody stays signed in through the move, whatever the manager's store, codec and cookie.
func TestMoveKeepsEverybodySignedIn(t *testing.T) {
	for name, change := range map[string]func(*scs.SessionManager){
		"defaults": nil,
		"a hashed token, an idle limit and a cookie of another name": func(m *scs.SessionManager) {
			m.HashTokenInStore, m.IdleTimeout, m.Cookie.Name = true, time.Hour, "sid"
		},
		"a codec of its own": func(m *scs.SessionManager) { m.Codec = reversed{} },
	} {
		t.Run(name, func(t *testing.T) {
			g, v := newMigration(t, change)
			v.steps([2]string{"/next", "200 1 of "}, [2]string{"/in?user=alice", "200"}, [2]string{"/next", "200 2 of alice"})
			g.next = true
			v.steps([2]string{"/next", "200 3 of alice"})
			if got := v.cookies(); !reflect.DeepEqual(got, []string{"id"}) {
				t.Fatalf("after the move the browser has the cookies %v", got)
			}
			v.steps([2]string{"/next", "200 4 of alice"}, [2]string{"/out", "200"}, [2]string{"/next", "200 1 of "})
			if g.opens != 1 {
				t.Errorf("%d calls of open, want 1", g.opens)
			}
		})
	}
}

// reversed is a codec of a program's own.
type reversed struct{ scs.GobCodec }

func (reversed) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	b, err := scs.GobCodec{}.Encode(deadline, values)
	return flip(b), err
}

func (reversed) Decode(b []byte) (time.Time, map[string]any, error) {
	return scs.GobCodec{}.Decode(flip(b))
}

func flip(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c
	}
	return out
}

// The values of a visitor who has not signed in move too.
func TestMoveKeepsAnonymousValues(t *testing.T) {
	g, v := newMigration(t, nil)
	v.steps([2]string{"/next", "200 1 of "})
	g.next = true
	v.steps([2]string{"/next", "200 2 of "}, [2]string{"/next", "200 3 of "})
}

// Tabs that a browser restores send the old cookie at the same time. All of them are
// signed in, the deadline is that of the old session, and it soon ends.
func TestMoveServesOtherTabs(t *testing.T) {
	g, v := newMigration(t, nil)
	v.steps([2]string{"/in?user=alice", "200"})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := v.c.Jar.Cookies(r.URL)[0]
	token := old.Value
	g.next = true
	for range 3 {
		tab := &visitor{t, http.Client{}, v.url}
		if got := tab.get("/next", "Cookie", old.String()); got != "200 1 of alice" {
			t.Fatal(got)
		}
	}
	if g.opens != 3 || !g.ends[1].Equal(g.ends[0]) || !g.ends[2].Equal(g.ends[0]) {
		t.Errorf("open saw the deadlines %v", g.ends)
	}
	ctx, err := g.old.Load(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(g.old.Deadline(ctx)); g.old.Token(ctx) == "" || left > 30*time.Second {
		t.Errorf("the old session lives for %v", left)
	}
	// With the new cookie beside it, the old one ends at once.
	v.steps([2]string{"/next", "200 1 of alice"})
	v.c.Jar.SetCookies(r.URL, []*http.Cookie{old})
	v.steps([2]string{"/next", "200 2 of alice"})
	if ctx, err = g.old.Load(t.Context(), token); err != nil || g.old.Token(ctx) != "" {
		t.Error("the old session is still there", err)
	}
	if g.opens != 4 {
		t.Errorf("%d calls of open, want 4", g.opens)
	}
}

// broken is a store of scs that is down.
type broken struct{ scs.Store }

func (broken) Find(string) ([]byte, bool, error) { return nil, false, errors.New("down") }

// A failure signs nobody out: the next request tries again.
func TestMoveTriesAgain(t *testing.T) {
	g, v := newMigration(t, nil)
	v.steps([2]string{"/next", "200 1 of "}, [2]string{"/in?user=alice", "200"})
	g.next = true
	store := g.old.Store
	g.old.Store = broken{store}
	v.steps([2]string{"/next", "500"})
	g.old.Store = store
	g.fail = errors.New("no")
	v.steps([2]string{"/next", "500"})
	g.fail = nil
	g.kit.Backend.SetHook(sessiontest.Down)
	v.steps([2]string{"/next", "503"})
	g.kit.Backend.SetHook(nil)
	// A page of another site may lack the new cookie, so it moves nothing.
	if got := v.get("/plain", "Sec-Fetch-Site", "cross-site"); got != "200 plain" {
		t.Fatal(got)
	}
	if got := v.cookies(); !reflect.DeepEqual(got, []string{"session"}) {
		t.Fatalf("before the move the browser has the cookies %v", got)
	}
	v.steps([2]string{"/next", "200 2 of alice"})
}

// An old cookie that opens nothing is cleared, and a visitor without one costs no call
// of the old store.
func TestMoveClearsDeadCookies(t *testing.T) {
	g, v := newMigration(t, nil)
	v.steps([2]string{"/next", "200 1 of "})
	g.next = true
	g.old.Store = memstore.NewWithCleanupInterval(0)
	v.steps([2]string{"/next", "200 1 of "})
	g.old.Store = broken{}
	v.steps([2]string{"/next", "200 2 of "})
	if g.opens != 0 {
		t.Errorf("%d calls of open", g.opens)
	}
}
