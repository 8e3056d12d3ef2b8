package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestImpersonationChecksItsArguments(t *testing.T) {
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook, Limit: session.Limit{Max: 1, On: session.OnLimitReject}})
	u := begin(t, k, "")
	is(t, u.s.Impersonate(u, "alice", "x"), session.ErrUnauthenticated)
	admin := signIn(t, k, "", "admin", nil)
	victim := signIn(t, k, "", "alice", nil)
	u = begin(t, k, admin)
	for _, tc := range [][2]string{{"", "x"}, {"alice", ""}, {"alice", strings.Repeat("x", 257)}, {"alice", "\xff"}, {"admin", "x"}} {
		is(t, u.s.Impersonate(u, tc[0], tc[1]), model.ErrInvalid)
	}
	is(t, u.s.EndImpersonation(u), session.ErrUnauthenticated)
	k.Clock.Advance(25 * time.Minute)
	k.Backend.Calls()
	acting := do(t, k, admin, func(u *unit) error { return u.s.Impersonate(u, "alice", "ticket 1") })
	alive(t, k, victim) // an impersonation takes no room in the limit
	got := seen.take(session.EventImpersonated)
	if len(got) != 1 || got[0].Actor != "admin" || got[0].Principal != "alice" || got[0].Previous == "" {
		t.Fatalf("%+v", got)
	}
	do(t, k, acting, func(u *unit) error {
		_, err := u.s.DestroyOthers(u)
		is(t, err, session.ErrImpersonating)
		return nil
	})
	alive(t, k, victim)
	// Without Impersonate the actor's own session would be idle by now.
	k.Clock.Advance(20 * time.Minute)
	back := do(t, k, acting, func(u *unit) error { return u.s.EndImpersonation(u) })
	if i := alive(t, k, back); i.Principal != "admin" || i.Actor != "" {
		t.Fatalf("%+v", i)
	}
	if got := seen.take(session.EventImpersonationEnded); len(got) != 1 || got[0].Principal != "admin" {
		t.Fatalf("%+v", got)
	}
}

// A program can act as several people in one use of a session.
func TestImpersonationsFollowOneAnother(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, signIn(t, k, "", "admin", nil))
	for _, target := range []string{"alice", "bob", "alice"} {
		ok(t, u.s.Impersonate(u, target, "ticket 1"))
		if p, err := u.s.Principal(u); err != nil || p.ID != target {
			t.Fatal(p, err)
		}
		ok(t, u.s.EndImpersonation(u))
		if p, err := u.s.Principal(u); err != nil || p.ID != "admin" {
			t.Fatal(p, err)
		}
	}
	if got := alive(t, k, u.end("")); got.Principal != "admin" || got.Actor != "" {
		t.Fatalf("%+v", got)
	}
	if n, err := k.Service.Count(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

// Whether a browser keeps the token is the actor's choice, on their device.
func TestImpersonationIsKeptAsLongAsTheActorsToken(t *testing.T) {
	for _, want := range []session.Persistence{session.PersistenceDefault, session.PersistenceBrowser, session.PersistencePersistent} {
		k := sessiontest.New(t, nil)
		token := signIn(t, k, "", "admin", &session.SignInOptions{Persistence: want})
		u := begin(t, k, token)
		ok(t, u.s.Impersonate(u, "alice", "ticket 1"))
		if c, err := u.s.Commit(u); err != nil || c.Persistence != want {
			t.Errorf("the token of the impersonation is kept as %d, that of the actor as %d, %v", c.Persistence, want, err)
		}
	}
}
