package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// why returns what the client of the tokens is told.
func (c *C) why(tokens ...string) session.Why {
	c.Helper()
	s := c.svc.OpenAny(tokens...)
	why, err := s.Why(c.Context())
	c.ok(err, "Why")
	return why
}

func whyCases() []Case {
	return group("Why",
		that("TellsWhatHappened", func(c *C) {
			same(c, c.why(), session.WhyNone, "no token")
			same(c, c.why("x", ""), session.WhyNone, "a malformed token")
			cl := c.signedIn("alice")
			same(c, c.why(cl.token), session.WhyNone, "a token that opens a session")
			other := c.signedIn("alice")
			same(c, c.why(handleOf(cl.token)+other.token[len(handleOf(other.token)):]), session.WhyNone, "a wrong secret")
			c.clock.Advance(idle)
			same(c, c.why(cl.token), session.WhyIdle, "an idle session")
			c.use(session.Options{Policy: session.Policy{Idle: -1, Absolute: time.Hour}})
			cl = c.signedIn("alice")
			c.clock.Advance(time.Hour)
			same(c, c.why(cl.token), session.WhyAbsolute, "a session at its absolute deadline")
			var since time.Time
			c.use(session.Options{NotBefore: func(context.Context, string) (time.Time, error) { return since, nil }})
			cl = c.signedIn("alice")
			since = c.clock.Advance(time.Second)
			same(c, c.why(cl.token), session.WhyNotBefore, "a session from before NotBefore")
		}),
		that("NotBeforeIsInMilliseconds", func(c *C) {
			var since time.Time
			c.use(session.Options{NotBefore: func(context.Context, string) (time.Time, error) { return since, nil }})
			for range 20 {
				c.clock.Advance(100 * time.Microsecond)
				cl := c.signedIn("alice")
				since = c.clock.Now() // more precise than what rows keep
				cl.do(func(r *request) { c.ok(r.s.Reauthenticate(r), "Reauthenticate") })
				same(c, c.alive(cl.token).Principal, "alice", "principal")
			}
			since = c.clock.Now().Add(time.Minute)
			r := c.open("")
			c.is(r.s.SignIn(r, "alice", nil), session.ErrNotBefore, "SignIn before NotBefore")
			same(c, r.commit().Action, session.ActionLeave, "credential")
		}),
		that("SignOutAsksNoHook", func(c *C) {
			var hookErr error
			c.use(session.Options{NotBefore: func(context.Context, string) (time.Time, error) { return time.Time{}, hookErr }})
			cl := c.signedIn("alice")
			hookErr = errors.New("the user table is down")
			r := c.open(cl.token)
			_, err := r.s.Principal(r)
			c.is(err, hookErr, "Principal")
			c.ok(r.s.SignOut(r), "SignOut")
			same(c, r.commit().Action, session.ActionClear, "credential")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("SeveralTokensServeTheOneThatOpens", func(c *C) {
			good, gone := c.signedIn("alice"), c.signedIn("bob")
			gone.do(func(r *request) { r.set("v") })
			dead := gone.token
			c.ok(c.svc.Destroy(c.Context(), "bob", handleOf(dead)), "Destroy")
			for _, tokens := range [][]string{
				{good.token, good.token}, {"", good.token}, {good.token, "x"}, {dead, good.token}, {good.token, dead},
				{"a", "b", dead, dead, "c", good.token},
			} {
				s := c.svc.OpenAny(tokens...)
				p, err := s.Principal(c.Context())
				c.ok(err, "Principal")
				same(c, p.ID, "alice", "principal")
			}
			s := c.svc.OpenAny(good.token, good.token)
			c.b.Calls()
			_, err := s.Principal(c.Context())
			c.ok(err, "Principal")
			c.calls("Get 1", "equal tokens")
		}),
		that("SeveralTokensThatOpenAreNobodysAndEndTogether", func(c *C) {
			a, b := c.signedIn("alice"), c.signedIn("bob")
			s := c.svc.OpenAny(a.token, b.token)
			_, err := s.Principal(c.Context())
			c.is(err, session.ErrUnauthenticated, "Principal")
			k, err := s.Persist(c.Context())
			c.ok(err, "Persist")
			same(c, k.Stale, true, "the client may forget them")
			c.alive(a.token)
			c.ok(s.SignOut(c.Context()), "SignOut")
			k, err = s.Commit(c.Context())
			c.ok(err, "Commit")
			same(c, k.Action, session.ActionClear, "credential")
			c.dead(a.token)
			c.dead(b.token)
			a, b = c.signedIn("alice"), c.signedIn("bob")
			s = c.svc.OpenAny(a.token, b.token)
			c.ok(s.SignIn(c.Context(), "carol", nil), "SignIn")
			k, err = s.Commit(c.Context())
			c.ok(err, "Commit")
			same(c, c.alive(k.Token()).Principal, "carol", "principal")
			c.dead(a.token)
			c.dead(b.token)
		}),
		that("RefusedNewSessionsAreNotStored", func(c *C) {
			r := c.open("")
			r.s.RefuseNew(session.ErrCrossSite)
			c.is(text.Set(r, "v"), session.ErrCrossSite, "Set")
			c.is(r.s.SignIn(r, "alice", nil), session.ErrCrossSite, "SignIn")
			same(c, r.commit().Action, session.ActionLeave, "credential")
			cl := c.newClient("v")
			r = c.open(cl.token)
			r.s.RefuseNew(session.ErrCrossSite)
			r.set("w") // it has a session
			r.signIn("alice")
			same(c, r.commit().Action, session.ActionGive, "credential")
		}),
		that("PassiveUseMovesNothing", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("message") })
			end := c.alive(cl.token).IdleDeadline
			c.clock.Advance(idle - time.Minute)
			r := c.open(cl.token)
			r.s.SetPassive()
			v, there, err := text.Take(r)
			c.ok(err, "Take")
			same(c, there && v == "message", true, "the message is read")
			c.b.Calls()
			same(c, r.commit().Action, session.ActionLeave, "credential")
			c.calls("none", "the commit of a passive use")
			same(c, c.alive(cl.token).IdleDeadline, end, "idle deadline")
			c.open(cl.token).has("message")
		}),
		that("PassiveChangeMovesNoIdleDeadline", func(c *C) {
			for name, change := range map[string]func(r *request) error{
				"Set":      func(r *request) error { return text.Set(r, "w") },
				"EndViews": func(r *request) error { return r.s.EndViews(r) },
				"SetSID":   func(r *request) error { return r.s.SetSID(r, "") },
				"Rotate":   func(r *request) error { return r.s.Rotate(r) },
				"Elevate":  func(r *request) error { return r.s.Elevate(r, 1, time.Hour) },
				"SetNotAfter": func(r *request) error {
					return r.s.SetNotAfter(r, c.clock.Now().Add(absolute))
				},
				"SetLifetime": func(r *request) error { return r.s.SetLifetime(r, 2*absolute) },
			} {
				cl := c.signedIn("alice")
				end := c.alive(cl.token).IdleDeadline
				c.clock.Advance(idle - time.Minute)
				for range 2 {
					r := c.open(cl.token)
					r.s.SetPassive()
					c.ok(change(r), "%s", name)
					cl.take(r.commit())
					same(c, c.alive(cl.token).IdleDeadline, end, "idle deadline after "+name)
				}
				r := c.open(cl.token)
				r.s.SetPassive()
				c.ok(r.s.SetLifetime(r, idle-30*time.Second), "SetLifetime")
				r.commit()
				same(c, c.alive(cl.token).ExpiresAt(), end.Add(-30*time.Second), "deadline after a shorter lifetime")
			}
			// What a use does not move moves with a limit of its own.
			cl := c.signedIn("alice")
			r := c.open(cl.token)
			r.s.SetPassive()
			c.ok(r.s.SetIdle(r, time.Hour), "SetIdle")
			r.commit()
			same(c, c.alive(cl.token).IdleDeadline, c.clock.Now().Add(time.Hour), "idle deadline after SetIdle")
		}),
		that("ChangeWithoutADeadlineMovesItAsAUseDoes", func(c *C) {
			cl := c.signedIn("alice")
			end := c.alive(cl.token).IdleDeadline
			c.clock.Advance(touch - time.Millisecond)
			cl.do(func(r *request) { c.ok(r.s.SetSID(r, ""), "SetSID") })
			same(c, c.alive(cl.token).IdleDeadline, end, "idle deadline before it is due")
			c.clock.Advance(time.Millisecond)
			cl.do(func(r *request) { c.ok(r.s.EndViews(r), "EndViews") })
			same(c, c.alive(cl.token).IdleDeadline, c.clock.Now().Add(idle), "idle deadline when it is due")
		}),
		that("StoreThatHangsOnAWriteIsAskedOnce", func(c *C) {
			cl := c.newClient("v")
			asked := 0
			c.use(session.Options{Timeout: time.Minute, StoreDown: func(_ context.Context, err error) error { asked++; return err }})
			c.b.SetHook(func(_ sessiontest.Op, _ string, _ func() error) error { return context.DeadlineExceeded })
			r := c.open(cl.token)
			for range 3 {
				c.is(text.Set(r, "w"), context.DeadlineExceeded, "Set")
			}
			c.b.SetHook(nil)
			same(c, asked, 1, "StoreDown is asked")
			c.calls("Get 1", "three changes")
			_, err := r.s.Commit(r)
			if err == nil {
				c.Fatal("Commit of a session that was not loaded returned nil")
			}
			c.is(r.s.Err(), context.DeadlineExceeded, "Err")
		}),
	)
}
