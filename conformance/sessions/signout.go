package sessions

import (
	"errors"
	"fmt"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func signOutCases() []Case {
	return group("SignOut",
		that("EndsTheSessionBeforeItReturns", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			c.b.Calls()
			k := cl.do(func(r *request) {
				c.ok(r.s.SignOut(r), "SignOut")
				c.calls("Get 1, Write 1", "sign-out")
				c.dead(old)
				c.b.Calls()
			})
			c.calls("none", "the commit after")
			same(c, k.Action, session.ActionClear, "credential")
			same(c, len(c.rows("")), 0, "rows")
			same(c, len(c.rows("alice")), 0, "alice's sessions")
		}),
		// Bug: expressjs/session#632, django/django#5950, vert-x3/vertx-web#2771, petergoldstein/dalli#1040, rack/rack-session GHSA-9j94-67jr-4cqj
		that("DuringAWritingRequestIsNotUndone", func(c *C) {
			cl := c.signedIn("alice")
			slow := c.open(cl.token)
			slow.set("w")
			old := cl.token
			cl.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			c.b.Calls()
			k, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit")
			c.calls("Write 1", "a change after the sign-out")
			same(c, k.Action, session.ActionLeave, "credential")
			c.dead(old)
			same(c, len(c.rows("")), 0, "rows")
			_, err = slow.s.Principal(slow)
			c.is(err, session.ErrUnauthenticated, "Principal")
		}),
		that("BetweenAConflictAndTheRetryIsNotUndone", func(c *C) {
			cl := c.signedIn("alice")
			slow := c.open(cl.token)
			slow.set("w")
			cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			_, svc := c.node()
			c.beforeFirst(sessiontest.OpWrite, func() {
				c.beforeFirst(sessiontest.OpWrite, func() { // before the second write
					out := c.openOn(svc, cl.token)
					c.ok(out.s.SignOut(out), "SignOut")
				})
			})
			c.b.Calls()
			_, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit")
			c.retried("a conflict, and a retry that finds nothing")
			same(c, len(c.rows("")), 0, "rows")
		}),
		// Bug: valery-barysok/session-file-store#55, xerj-org/xerj#74, auth0/nextjs-auth0#2530
		that("DuringAReadingRequestIsNotUndone", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(touch)
			slow := c.open(cl.token)
			slow.has("v")
			old := cl.token
			cl.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			k, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit")
			same(c, k.Action, session.ActionLeave, "credential")
			c.dead(old)
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("WinsOverManyWriters", func(c *C) {
			cl := c.signedIn("alice")
			race(9, func(i int) {
				r := c.open(cl.token)
				if i == 4 {
					if err := r.s.SignOut(r); err != nil {
						c.Errorf("SignOut: %v", err)
					}
					return
				}
				if p, err := r.s.Principal(r); err != nil || p.ID != "alice" {
					return // loaded after the sign-out
				}
				if err := session.NewKey[int](fmt.Sprint("k", i)).Set(r, i); err != nil {
					c.Errorf("Set: %v", err)
				}
				if _, err := r.s.Commit(r); err != nil && !errors.Is(err, session.ErrGone) {
					c.Errorf("Commit: %v", err)
				}
			})
			c.dead(cl.token)
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("HandleIsNotReused", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			cl.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			cl.token = old // a browser that did not clear its cookie
			cl.do(func(r *request) { r.signIn("alice") })
			if handleOf(cl.token) == handleOf(old) {
				c.Fatal("the handle of a session that was signed out is reused")
			}
			c.dead(old)
		}),
		that("LaterValuesGoToANewSession", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			k := cl.do(func(r *request) {
				c.ok(r.s.SignOut(r), "SignOut")
				r.set("goodbye")
			})
			same(c, k.Action, session.ActionGive, "credential")
			r := c.open(cl.token)
			r.has("goodbye")
			same(c, r.info().Principal, "", "principal")
			c.dead(old)
			same(c, len(c.rows("alice")), 0, "alice's sessions")
		}),
		that("LostAnswerIsVerifiedByARead", func(c *C) {
			cl := c.signedIn("alice")
			c.b.SetHook(sessiontest.LoseFirst(sessiontest.OpWrite))
			r := c.open(cl.token)
			c.ok(r.s.SignOut(r), "SignOut whose answer was lost")
			c.b.SetHook(nil)
			c.dead(cl.token)
		}),
	)
}
