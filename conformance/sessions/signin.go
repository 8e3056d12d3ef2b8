package sessions

import (
	"strings"

	"github.com/sojourn-go/sojourn/session"
)

func signInCases() []Case {
	return group("SignIn",
		that("CarriesAnonymousDataInThreeCalls", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			c.b.Calls()
			k := cl.do(func(r *request) { r.signIn("alice") })
			c.calls("Get 1, Write 2", "sign-in over an anonymous session")
			same(c, k.Action, session.ActionGive, "credential")
			if handleOf(cl.token) == handleOf(old) {
				c.Fatal("the handle is the same as before")
			}
			r := c.open(cl.token)
			r.has("v")
			p, err := r.s.Principal(r)
			c.ok(err, "Principal")
			same(c, p.ID, "alice", "principal")
			same(c, p.SessionID, handleOf(cl.token), "session id")
			c.dead(old)
		}),
		that("WithoutASessionTakesOneCall", func(c *C) {
			cl := c.signedIn("alice")
			c.calls("Write 1", "sign-in without a session")
			c.alive(cl.token)
		}),
		// Bug: spring-projects/spring-session#1791, spring-projects/spring-session#1987
		that("AnonymousSessionLeavesNoIndexEntry", func(c *C) {
			cl := c.newClient("v")
			same(c, len(c.rows("alice")), 0, "alice's sessions")
			cl.do(func(r *request) { r.signIn("alice") })
			same(c, strings.Join(c.rows("alice"), ","), handleOf(cl.token), "alice's sessions")
			same(c, len(c.rows("")), 1, "rows")
		}),
		that("OldSessionEndedMeanwhileLeavesNothing", func(c *C) {
			cl := c.newClient("v")
			r := c.open(cl.token)
			r.has("v")
			_, svc := c.node()
			c.beforeMarker(func() {
				out := c.openOn(svc, cl.token)
				c.ok(out.s.SignOut(out), "SignOut")
			})
			c.is(r.s.SignIn(r, "alice", nil), session.ErrGone, "SignIn")
			_, err := r.s.Principal(r)
			c.is(err, session.ErrUnauthenticated, "Principal")
			same(c, r.commit().Action, session.ActionLeave, "credential")
			same(c, len(c.rows("")), 0, "rows")
			same(c, len(c.rows("alice")), 0, "alice's sessions")
		}),
		that("ConflictCopiesTheFreshData", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			_, svc := c.node()
			c.beforeMarker(func() {
				w := c.openOn(svc, old)
				c.ok(other.Set(w, "x"), "Set")
				w.commit()
			})
			cl.do(func(r *request) { r.set("mine"); r.signIn("alice") })
			r := c.open(cl.token)
			r.has("mine")
			v, _, err := other.Get(r)
			c.ok(err, "Get")
			same(c, v, "x", "what was written meanwhile")
			c.dead(old)
			same(c, len(c.rows("")), 1, "rows")
		}),
		that("OldRowCanBeTouchedMeanwhile", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			c.clock.Advance(touch)
			_, svc := c.node()
			c.beforeMarker(func() {
				reader := c.openOn(svc, old)
				reader.has("v")
				reader.commit()
			})
			cl.do(func(r *request) { r.signIn("alice") })
			c.dead(old)
			c.open(cl.token).has("v")
		}),
		that("AnotherPrincipalsDataIsLeftBehind", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("alice's") })
			old := cl.token
			cl.do(func(r *request) { r.signIn("bob") })
			_, ok, err := text.Get(c.open(cl.token))
			c.ok(err, "Get")
			same(c, ok, false, "bob has alice's data")
			c.dead(old)
			same(c, len(c.rows("alice")), 0, "alice's sessions")
			cl.do(func(r *request) { r.set("bob's"); r.signIn("bob") })
			c.open(cl.token).has("bob's")
		}),
	)
}
