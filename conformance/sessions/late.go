package sessions

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// lateCases are about writes whose answers were lost: they arrive late, or were
// stored and are taken for those of others.
func lateCases() []Case {
	return group("Late",
		that("UpdateIsMadeOnce", func(c *C) {
			cl, r := c.updating()
			r.persistLate(2)
			r.commit()
			counted(c, cl.token, 1)
		}),
		that("UpdateIsMadeOnceOfThreeThatAreLost", func(c *C) {
			cl, r := c.updating()
			for range 2 {
				r.persistLate(0)
			}
			r.persistLate(2)
			r.commit()
			counted(c, cl.token, 1)
		}),
		that("UpdateBeforeASignInIsMadeOnce", func(c *C) {
			cl, r := c.updating()
			r.persistLate(2)
			r.signIn("alice")
			cl.take(r.commit())
			same(c, c.alive(cl.token).Principal, "alice", "principal")
			counted(c, cl.token, 1)
		}),
		that("UpdateThatAnotherRequestOvertookIsNotMadeAgain", func(c *C) {
			cl, r := c.updating()
			var late func() error
			c.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				if op != sessiontest.OpWrite || late != nil {
					return next()
				}
				late = next
				return driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
			})
			_, err := r.s.Persist(r)
			c.is(err, model.ErrUnknown, "Persist without an answer")
			// It arrives after the look, and another request writes then.
			c.beforeFirst(sessiontest.OpWrite, func() {
				c.ok(late(), "the late write")
				cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			})
			_, err = r.s.Commit(r)
			c.is(err, model.ErrUnknown, "Commit after another request has written")
			counted(c, cl.token, 1)
		}),
		that("ChangesAfterALostAnswerAreKept", func(c *C) {
			cl, r := c.updating()
			hook, up := losing(1, true)
			c.b.SetHook(hook)
			_, err := r.s.Persist(r)
			c.is(err, model.ErrUnknown, "Persist without an answer")
			up()
			c.ok(other.Set(r, "later"), "Set")
			c.ok(count.Update(r, plus1), "Update")
			r.commit()
			counted(c, cl.token, 2)
			otherIs(c, cl.token, "later")
		}),
		that("RotationGivesItsToken", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			r := c.open(old)
			r.info()
			c.b.SetHook(sessiontest.Late(1, 2))
			c.is(r.s.Rotate(r), model.ErrUnknown, "Rotate without an answer")
			cl.take(r.commit())
			cl.do(func(r *request) { r.set("w") })
			same(c, c.alive(cl.token).Principal, "alice", "principal")
			same(c, cl.token != old, true, "a new token")
		}),
		that("RotationThatASocketOvertookGivesItsToken", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			r := c.open(old)
			r.info()
			view, err := session.Detach(r)
			c.ok(err, "Detach")
			c.b.SetHook(undecided())
			c.is(r.s.Rotate(r), model.ErrUnknown, "Rotate without an answer")
			c.ok(view.Do(c.Context(), func(ctx context.Context) error { return text.Set(ctx, "w") }), "Do")
			cl.take(r.commit())
			same(c, cl.token != old, true, "a new token")
			c.open(cl.token).has("w")
		}),
		that("UpdateBeforeAnImpersonationIsMadeOnce", func(c *C) {
			cl := c.signedIn("root")
			r := c.open(cl.token)
			c.ok(count.Update(r, plus1), "Update")
			r.persistLate(2)
			c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate")
			cl.take(r.commit())
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			counted(c, cl.token, 1)
		}),
		that("ImpersonationKnowsItsOwnPark", func(c *C) {
			cl := c.signedIn("root")
			r := c.open(cl.token)
			c.b.SetHook(sessiontest.Late(2, 3))
			c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate")
			cl.take(r.commit())
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			same(c, c.alive(cl.token).Principal, "root", "principal")
		}),
		that("EndOfAnImpersonationKnowsItsOwnWrites", func(c *C) {
			for n := 1; n <= 2; n++ {
				cl := c.signedIn("root")
				cl.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate") })
				r := c.open(cl.token)
				r.info()
				c.b.SetHook(sessiontest.Late(n, n+1))
				c.ok(r.s.EndImpersonation(r), "EndImpersonation")
				cl.take(r.commit())
				same(c, c.alive(cl.token).Principal, "root", "principal")
			}
			cl := c.signedIn("root")
			cl.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate") })
			r := c.open(cl.token)
			r.info()
			for range 2 {
				hook, up := losing(1, true)
				c.b.SetHook(hook)
				c.is(r.s.EndImpersonation(r), model.ErrUnknown, "EndImpersonation without an answer")
				up()
			}
			c.ok(r.s.EndImpersonation(r), "EndImpersonation at last")
			cl.take(r.commit())
			same(c, c.alive(cl.token).Principal, "root", "principal")
		}),
		that("EndOfAnEarlierImpersonationChangesNothing", func(c *C) {
			cl := c.signedIn("root")
			impersonate := func(r *request) { c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate") }
			cl.do(impersonate)
			slow := c.open(cl.token)
			slow.info()
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			cl.do(impersonate)
			c.is(slow.s.EndImpersonation(slow), session.ErrGone, "EndImpersonation of the first one")
			for range 2 {
				c.clock.Advance(20 * time.Minute)
				cl.do(func(r *request) { same(c, r.info().Principal, "alice", "principal") })
			}
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			same(c, c.alive(cl.token).Principal, "root", "principal")
		}),
		that("SignInKnowsItsOwnMarker", func(c *C) {
			cl := c.newClient("v")
			c.b.SetHook(sessiontest.Late(2, 3))
			cl.do(func(r *request) { r.signIn("alice") })
			same(c, c.alive(cl.token).Principal, "alice", "principal")
			c.open(cl.token).has("v")
			same(c, len(c.rows("")), 1, "rows")
		}),
		that("SignInKnowsItsOwnCopy", func(c *C) {
			cl := c.newClient("v")
			late := c.open(cl.token)
			c.ok(other.Set(late, "x"), "Set")
			c.beforeMarker(func() {
				late.commit()
				c.b.SetHook(sessiontest.Late(1, 2)) // the copy of what that has written
			})
			cl.do(func(r *request) { r.signIn("alice") })
			same(c, c.alive(cl.token).Principal, "alice", "principal")
			otherIs(c, cl.token, "x")
		}),
		that("SignInYieldsToTheMarkerOfASignOut", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			var writes atomic.Int64
			c.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				if op != sessiontest.OpWrite || writes.Add(1) != 2 {
					return next()
				}
				out := c.open(old)
				c.ok(out.s.SignOut(out), "SignOut")
				_ = next()
				return driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
			})
			r := c.open(old)
			c.is(r.s.SignIn(r, "alice", nil), session.ErrGone, "SignIn beside a sign-out")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("SignOutKnowsItsOwnMarker", func(c *C) {
			var seen events
			c.use(session.Options{OnEvent: seen.hook})
			cl := c.signedIn("alice")
			r := c.open(cl.token)
			r.info()
			hook, up := losing(1, true)
			c.b.SetHook(hook)
			c.is(r.s.SignOut(r), model.ErrUnknown, "SignOut without an answer")
			up()
			r.commit()
			same(c, len(seen.of(session.EventDestroyed)), 1, "events")
		}),
		that("BatchKnowsItsOwnMarkers", func(c *C) {
			for range 3 {
				c.signedIn("alice")
			}
			var batches atomic.Int64
			c.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				err := next()
				if (op == sessiontest.OpWriteMany || op == sessiontest.OpWrite) && batches.Add(1) == 1 {
					err = driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
				}
				return err
			})
			n, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
			same(c, n, 3, "sessions")
		}),
		that("IdentityIsStoredOnceWithLaterChanges", func(c *C) {
			for _, before := range []int{0, 2} { // stored at once, or late
				id := newIdentity()
				var seen events
				o := identityOptions
				o.OnEvent = seen.hook
				c.use(o)
				open := func() *request { return c.openFor(id) }
				r := open()
				c.ok(count.Update(r, plus1), "Update")
				c.b.SetHook(sessiontest.Late(1, before))
				if before == 0 {
					c.b.SetHook(undecided())
				}
				_, err := r.s.Persist(r)
				c.is(err, model.ErrUnknown, "Persist without an answer")
				c.ok(other.Set(r, "later"), "Set")
				r.commit()
				n, _, err := count.Get(open())
				c.ok(err, "Get")
				same(c, n, 1, "the counter")
				v, _, err := other.Get(open())
				c.ok(err, "Get")
				same(c, v, "later", "the later value")
				same(c, len(seen.of(session.EventCreated)), 1, "events of the creation")
			}
		}),
		that("SignInWhoseMarkerIsLostTakesOverWhatOthersWrote", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			r := c.open(old)
			r.has("v")
			hook, up := losing(2, false)
			c.b.SetHook(hook)
			c.is(r.s.SignIn(r, "alice", nil), model.ErrUnknown, "SignIn whose marker has no answer")
			up()
			late := c.open(old)
			c.ok(other.Set(late, "x"), "Set")
			c.ok(text.Set(late, "theirs"), "Set")
			late.commit()
			r.set("mine")
			cl.take(r.commit())
			same(c, c.alive(cl.token).Principal, "alice", "principal")
			otherIs(c, cl.token, "x")
			c.open(cl.token).has("mine")
			c.dead(old)
			same(c, len(c.rows("")), 1, "rows")
		}),
	)
}

// undecided carries out the first write, and loses its answer so that no read tells
// the outcome.
func undecided() sessiontest.Hook {
	var writes atomic.Int64
	return func(op sessiontest.Op, _ string, next func() error) error {
		err := next()
		if op == sessiontest.OpWrite && writes.Add(1) == 1 {
			err = driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
		}
		return err
	}
}

func plus1(n *int) error { *n++; return nil }

// updating returns a client, and a request of it that adds one to count.
func (c *C) updating() (*client, *request) {
	c.Helper()
	cl := c.newClient("v")
	r := c.open(cl.token)
	c.ok(count.Update(r, plus1), "Update")
	return cl, r
}

// persistLate persists the request with a write without an answer. It arrives just
// before the write with the number before, or never if that is zero.
func (r *request) persistLate(before int) {
	r.c.Helper()
	r.c.b.SetHook(sessiontest.Late(1, before))
	_, err := r.s.Persist(r)
	r.c.is(err, model.ErrUnknown, "Persist without an answer")
}

func counted(c *C, token string, want int) {
	c.Helper()
	n, _, err := count.Get(c.open(token))
	c.ok(err, "Get")
	same(c, n, want, "the counter")
}

func otherIs(c *C, token, want string) {
	c.Helper()
	v, _, err := other.Get(c.open(token))
	c.ok(err, "Get")
	same(c, v, want, "the other value")
}
