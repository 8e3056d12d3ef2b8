package session_test

import (
	"context"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// The package comment lists the calls of the store. Features that add no calls
// are all on in the second case.
func TestDriverCallsOfTheVerbs(t *testing.T) {
	for name, o := range map[string]session.Options{
		"plain": {},
		"with every feature that adds no calls": {
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
			step("none", "no token", read)
			step("Write 1", "the first value", func(u *unit) error { return note.Set(u, "v") })
			step("Get 1, Write 2", "a sign-in over it", func(u *unit) error { return u.s.SignIn(u, "alice", nil) })
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
			step("Get 1, Touch 1", "reads when the deadline is due", read)
			step("Get 1, Write 2", "Impersonate", func(u *unit) error { return u.s.Impersonate(u, "bob", "ticket") })
			step("Get 2", "reads while impersonating", read)
			step("Get 3, Write 2", "EndImpersonation", func(u *unit) error { return u.s.EndImpersonation(u) })
			step("Get 1, Write 1", "SignOut", func(u *unit) error { return u.s.SignOut(u) })
		})
	}
	k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 1, On: session.OnLimitReject}})
	signIn(t, k, "", "alice", nil)
	k.Backend.Assert(t, "Write 1, Page 2", "a sign-in with OnLimitReject")
	u := begin(t, k, "")
	is(t, u.s.SignIn(u, "alice", nil), session.ErrLimit)
	k.Backend.Assert(t, "Page 1", "a sign-in that is refused")
}
