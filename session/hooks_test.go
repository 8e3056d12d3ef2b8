package session_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// A hook without an answer says nothing about a session, so no view ends.
func TestViewsOutliveAHookThatFails(t *testing.T) {
	for name, hooks := range map[string]func(o *session.Options, fail func() error){
		"NotBefore": func(o *session.Options, fail func() error) {
			o.NotBefore = func(context.Context, string) (time.Time, error) { return time.Time{}, fail() }
		},
		"NotBeforeSID": func(o *session.Options, fail func() error) {
			o.NotBeforeSID = func(context.Context, string) (time.Time, error) { return time.Time{}, fail() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				errDown := errors.New("the table of users is down")
				var down atomic.Bool
				o := session.Options{WatchEvery: time.Second}
				hooks(&o, func() error {
					if down.Load() {
						return errDown
					}
					return nil
				})
				k := sessiontest.New(t, &o)
				token := signIn(t, k, "", "alice", &session.SignInOptions{SID: "idp/1"})
				view, err := session.Detach(begin(t, k, token))
				ok(t, err)
				defer view.Close()
				down.Store(true)
				<-time.After(5500 * time.Millisecond) // in the time of the bubble
				ok(t, view.Err())
				is(t, view.Touch(t.Context()), errDown)
				down.Store(false)
				ok(t, view.Touch(t.Context()))
			})
		})
	}
}

// A thief of a cookie need not say what their program is.
func TestBinderIsAskedAboutAClientThatSaysNothing(t *testing.T) {
	asked := 0
	k := sessiontest.New(t, &session.Options{Binder: func(_ context.Context, was session.Info, now session.Client) session.Decision {
		if asked++; was.Client.UserAgent != now.UserAgent {
			return session.DecisionChallenge
		}
		return session.DecisionAllow
	}})
	u := begin(t, k, "")
	u.s.SetClient(session.Client{UserAgent: "Firefox/1"})
	ok(t, u.s.SignIn(u, "alice", nil))
	token := u.end("")
	u = begin(t, k, token)
	u.s.SetClient(session.Client{})
	is(t, u.s.RequireRecent(u, 0, 0), session.ErrReauthenticate)
	if asked != 1 {
		t.Fatalf("asked %d times", asked)
	}
	// The session is theirs now, if they have proved it.
	ok(t, u.s.Reauthenticate(u))
	token = u.end(token)
	u = begin(t, k, token)
	u.s.SetClient(session.Client{})
	ok(t, u.s.RequireRecent(u, 0, 0))
	// A program without a transport has no client, and asks about none.
	u = begin(t, k, token)
	ok(t, u.s.RequireRecent(u, 0, 0))
	if asked != 2 {
		t.Fatalf("asked %d times", asked)
	}
}

// An impersonation that nothing would serve costs the actor their session.
func TestImpersonateAsksNotBeforeOfTheTarget(t *testing.T) {
	var k *sessiontest.Kit
	seen := &events{}
	k = sessiontest.New(t, &session.Options{OnEvent: seen.hook, NotBefore: func(_ context.Context, principal string) (time.Time, error) {
		if principal == "disabled" {
			return k.Clock.Now().Add(time.Hour), nil
		}
		return time.Time{}, nil
	}})
	token := signIn(t, k, "", "admin", nil)
	u := begin(t, k, token)
	ok(t, read(u))
	seen.take()
	k.Backend.Calls()
	is(t, u.s.Impersonate(u, "disabled", "ticket 7"), session.ErrNotBefore)
	k.Backend.Assert(t, "none", "an impersonation that is refused")
	if got := seen.take(session.EventRejected); len(got) != 1 || got[0].Reason != session.ReasonTooOld || got[0].Principal != "disabled" {
		t.Fatalf("%+v", got)
	}
	if p, err := u.s.Principal(u); err != nil || p.ID != "admin" || p.Actor != "" {
		t.Fatal(p, err)
	}
	if got := alive(t, k, u.end(token)); got.Principal != "admin" {
		t.Fatalf("%+v", got)
	}
}

// A hook that panics leaves a session that can be committed at once.
func TestHookThatPanicsHoldsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := false
		k := sessiontest.New(t, &session.Options{NotBefore: func(context.Context, string) (time.Time, error) {
			if broken {
				panic("the hook is broken")
			}
			return time.Time{}, nil
		}})
		token := signIn(t, k, "", "alice", nil)
		broken = true
		for name, use := range map[string]func(u *unit) error{
			"Info":   read,
			"Set":    func(u *unit) error { return note.Set(u, "v") },
			"Rotate": func(u *unit) error { return u.s.Rotate(u) },
			"SignIn": func(u *unit) error { return u.s.SignIn(u, "alice", nil) },
		} {
			u := begin(t, k, token)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: the panic is lost", name)
					}
				}()
				_ = use(u)
			}()
			if c, err := u.s.Commit(u); err != nil || c.Action != session.ActionLeave { // after Timeout the lock is busy
				t.Errorf("%s: then Commit returns %v, %v", name, c, err)
			}
		}
	})
}

// That a sign-in replaces a session is part of its one event, also if it learns
// that late.
func TestSignInThatEndsTheOldSessionLateIsOneEvent(t *testing.T) {
	seen := &events{}
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
	u := begin(t, k, do(t, k, "", func(u *unit) error { return note.Set(u, "v") }))
	ok(t, read(u))
	writes, down := 0, false
	k.Backend.SetHook(func(op sessiontest.Op, id string, next func() error) error {
		if op == sessiontest.OpWrite {
			writes++
		}
		if down = down || writes == 2; down { // the marker
			return model.ErrUnknown
		}
		return next()
	})
	is(t, u.s.SignIn(u, "alice", nil), model.ErrUnknown)
	k.Backend.SetHook(nil)
	seen.take(session.EventCreated)
	u.end("")
	if got := seen.take(session.EventDestroyed); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// A clock that was a day ahead does not make a proof good for a day.
func TestProofFromTheFutureIsNotRecent(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	u := begin(t, k, token)
	ok(t, u.s.RequireRecent(u, 5*time.Minute, 0))
	k.Clock.Advance(-4 * time.Minute) // nodes may differ by less
	u = begin(t, k, token)
	ok(t, u.s.RequireRecent(u, 5*time.Minute, 0))
	k.Clock.Advance(-24 * time.Hour)
	u = begin(t, k, token)
	is(t, u.s.RequireRecent(u, 5*time.Minute, 0), session.ErrReauthenticate)
	ok(t, u.s.RequireRecent(u, 0, 0))
	ok(t, u.s.Reauthenticate(u))
	ok(t, u.s.RequireRecent(u, 5*time.Minute, 0))
}
