package sessions

import (
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// losing is a hook that makes the write with the number n and loses its answer.
// From then on the store is down, so that no read tells the outcome, until the
// returned function is called. Applied says whether the write takes effect.
func losing(n int64, applied bool) (hook sessiontest.Hook, up func()) {
	var writes atomic.Int64
	var down atomic.Bool
	return func(op sessiontest.Op, id string, next func() error) error {
		if down.Load() {
			return sessiontest.Down(op, id, next)
		}
		if op != sessiontest.OpWrite || writes.Add(1) != n {
			return next()
		}
		down.Store(true)
		if applied {
			if err := next(); err != nil {
				return err
			}
		}
		return model.NewError(model.ErrUnknown, "the answer was lost", nil)
	}, func() { down.Store(false) }
}

func doubtCases() []Case {
	var out []Case
	for _, applied := range []bool{true, false} {
		name := "WhichWasNotStored"
		if applied {
			name = "WhichWasStored"
		}
		out = append(out,
			that("UpdateIsMadeOnce"+name, func(c *C) {
				cl := c.newClient("v")
				r := c.open(cl.token)
				runs := 0
				c.ok(count.Update(r, func(n *int) error { runs++; *n++; return nil }), "Update")
				hook, up := losing(1, applied)
				c.b.SetHook(hook)
				_, err := r.s.Persist(r)
				c.is(err, model.ErrUnknown, "Persist without an answer")
				same(c, r.s.Changed(), true, "the change is pending")
				_, err = r.s.Persist(r)
				c.is(err, model.ErrUnavailable, "Persist while the store is down")
				up()
				r.commit()
				n, _, err := count.Get(c.open(cl.token))
				c.ok(err, "Get")
				same(c, n, 1, "the counter")
				if runs > 2 {
					c.Fatalf("the function ran %d times", runs)
				}
			}),
			that("RotateGivesTheTokenAtLast"+name, func(c *C) {
				cl := c.signedIn("alice")
				old := cl.token
				r := c.open(old)
				r.info()
				hook, up := losing(1, applied)
				c.b.SetHook(hook)
				c.is(r.s.Rotate(r), model.ErrUnknown, "Rotate without an answer")
				up()
				cl.take(r.commit())
				same(c, c.alive(cl.token).Principal, "alice", "principal")
				same(c, cl.token != old, applied, "a new token")
			}),
			that("SignInKeepsTheDataAndOneSession"+name, func(c *C) {
				cl := c.newClient("v")
				r := c.open(cl.token)
				r.has("v")
				hook, up := losing(2, applied)
				c.b.SetHook(hook)
				c.is(r.s.SignIn(r, "alice", nil), model.ErrUnknown, "SignIn whose marker has no answer")
				up()
				old := cl.token
				cl.take(r.commit())
				c.open(cl.token).has("v")
				same(c, c.alive(cl.token).Principal, "alice", "principal")
				c.dead(old)
				same(c, len(c.rows("")), 1, "rows")
			}),
			that("ImpersonationLeavesTheActorAWayBack"+name, func(c *C) {
				cl := c.signedIn("root")
				r := c.open(cl.token)
				r.info()
				hook, up := losing(2, applied)
				c.b.SetHook(hook)
				c.is(r.s.Impersonate(r, "alice", "help"), model.ErrUnknown, "Impersonate whose second write has no answer")
				up()
				cl.take(r.commit())
				same(c, c.alive(cl.token).Principal, "alice", "principal")
				cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
				same(c, c.alive(cl.token).Principal, "root", "principal")
				same(c, len(c.rows("")), 1, "rows")
			}),
			that("SignOutIsMadeAgain"+name, func(c *C) {
				cl := c.signedIn("alice")
				r := c.open(cl.token)
				r.info()
				hook, up := losing(1, applied)
				c.b.SetHook(hook)
				c.is(r.s.SignOut(r), model.ErrUnknown, "SignOut without an answer")
				up()
				same(c, r.commit().Action, session.ActionClear, "credential")
				c.dead(cl.token)
				same(c, len(c.rows("")), 0, "rows")
			}),
		)
	}
	return group("Doubt", append(out,
		that("ChangeThatAnotherRequestOvertookIsNotMadeAgain", func(c *C) {
			cl := c.newClient("v")
			r := c.open(cl.token)
			c.ok(count.Update(r, func(n *int) error { *n++; return nil }), "Update")
			hook, up := losing(1, true)
			c.b.SetHook(hook)
			_, err := r.s.Persist(r)
			c.is(err, model.ErrUnknown, "Persist without an answer")
			up()
			cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			_, err = r.s.Commit(r)
			c.is(err, model.ErrUnknown, "Commit after another request has written")
			n, _, err := count.Get(c.open(cl.token))
			c.ok(err, "Get")
			same(c, n, 1, "the counter")
		}),
		that("FirstValueLeavesNothing", func(c *C) {
			r := c.open("")
			r.set("v")
			c.b.SetHook(sessiontest.Fail(model.NewError(model.ErrUnknown, "the answer was lost", nil), sessiontest.OpWrite))
			_, err := r.s.Persist(r)
			c.is(err, model.ErrUnknown, "Persist without an answer")
			c.b.SetHook(nil)
			cl := &client{c: c}
			cl.take(r.commit())
			c.open(cl.token).has("v")
			same(c, len(c.rows("")), 1, "rows")
		}),
		that("RequestThatSpansTheAbsoluteDeadlineIsGone", func(c *C) {
			cl := c.signedIn("alice")
			end := c.clock.Now().Add(absolute - time.Second)
			for c.clock.Now().Before(end) {
				c.clock.Advance(min(idle/2, end.Sub(c.clock.Now())))
				cl.do(func(r *request) { r.info() })
			}
			r := c.open(cl.token)
			r.set("w")
			c.clock.Advance(2 * time.Second)
			_, err := r.s.Persist(r)
			c.is(err, session.ErrGone, "Persist after midnight")
			c.is(text.Set(r, "again"), session.ErrGone, "Set")
			same(c, r.commit().Action, session.ActionLeave, "credential")
		}),
	)...)
}
