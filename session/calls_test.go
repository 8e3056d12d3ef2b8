package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// The driver calls that the package comment promises, with every feature that
// adds none turned on.
func TestDriverCallsOfTheVerbs(t *testing.T) {
	for name, o := range map[string]session.Options{
		"plain": {},
		"all that is free": {
			Keyring: ring(t, "a", 1), Pepper: true, StoreDown: session.Anonymous,
			OnEvent:   func(context.Context, session.Event) {},
			Binder:    func(context.Context, session.Info, session.Client) session.Decision { return session.DecisionAllow },
			NotBefore: func(context.Context, string) (time.Time, error) { return time.Time{}, nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := sessiontest.New(t, &o)
			token := ""
			step := func(want, what string, work func(u *unit) error) {
				t.Helper()
				token = do(t, k, token, work)
				k.Backend.Assert(t, want, what)
			}
			step("none", "no token", look)
			step("Write 1", "the first value", func(u *unit) error { return note.Set(u, "v") })
			step("Get 1, Write 1, Delete 1", "a sign-in over it", func(u *unit) error { return u.s.SignIn(u, "alice", nil) })
			step("Get 1", "reads", func(u *unit) error { _, _, err := note.Get(u); return err })
			step("Get 1, Write 1", "changes", func(u *unit) error { return note.Set(u, "w") })
			step("Get 1, Write 1", "Rotate", func(u *unit) error { return u.s.Rotate(u) })
			step("Get 1, Write 1", "Reauthenticate", func(u *unit) error { return u.s.Reauthenticate(u) })
			step("Get 1, Write 1", "Elevate", func(u *unit) error { return u.s.Elevate(u, 2, time.Hour) })
			step("Get 1, Write 1", "SetIdle", func(u *unit) error { return u.s.SetIdle(u, time.Hour) })
			step("Get 1", "RequireRecent and CSRFToken", func(u *unit) error {
				_, err := u.s.CSRFToken(u)
				if err == nil {
					err = u.s.RequireRecent(u, time.Minute, 2)
				}
				return err
			})
			k.Clock.Advance(20 * time.Minute)
			step("Get 1, Touch 1", "reads when the deadline is due", look)
			step("Get 1, Write 2", "Impersonate", func(u *unit) error { return u.s.Impersonate(u, "bob", "ticket") })
			step("Get 2", "reads while impersonating", look)
			step("Get 3, Write 1, Delete 1", "EndImpersonation", func(u *unit) error { return u.s.EndImpersonation(u) })
			step("Get 1, Delete 1", "SignOut", func(u *unit) error { return u.s.SignOut(u) })
		})
	}
	k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 1, On: session.OnLimitReject}})
	signIn(t, k, "", "alice", nil)
	k.Backend.Assert(t, "Write 1, Page 2", "a sign-in with a limit that rejects")
	u := begin(t, k, "")
	is(t, u.s.SignIn(u, "alice", nil), session.ErrLimit)
	k.Backend.Assert(t, "Page 1", "one that is refused")
}

// Keys that are retired while requests run spoil nothing.
func TestKeyringIsSafeForConcurrentUse(t *testing.T) {
	r := ring(t, "k0", 0)
	k := sessiontest.New(t, &session.Options{Keyring: r, Pepper: true})
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	workers(4, 200, func(i int) {
		if i%20 == 0 {
			id := "k" + string(rune('a'+i/20))
			if err := errors.Join(r.Add(keyOf(id, byte(i))), r.Use(id)); err != nil {
				t.Errorf("a new key: %v", err)
			}
		}
		s := k.Service.Open(token)
		ctx := session.NewContext(t.Context(), s)
		if err := note.Update(ctx, func(v *string) error { *v += "x"; return nil }); err != nil {
			t.Errorf("Update: %v", err)
		}
		if _, err := s.Commit(ctx); err != nil {
			t.Errorf("Commit: %v", err)
		}
	})
	v, _, err := note.Get(begin(t, k, token))
	if err != nil || len(v) != 201 {
		t.Fatal(len(v), err)
	}
}
