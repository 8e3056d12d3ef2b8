package sessions

import (
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func signInCases() []Case {
	return group("SignIn",
		that("CarriesAnonymousDataInThreeCalls", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			c.b.Calls()
			k := cl.do(func(r *request) { r.signIn("alice") })
			c.calls("Get 1, Write 1, Delete 1", "sign-in over an anonymous session")
			same(c, k.Action, session.ActionGive, "credential")
			if handleOf(cl.token) == handleOf(old) {
				c.Fatal("the handle stays the same")
			}
			r := c.open(cl.token)
			r.has("v")
			p, err := r.s.Principal(r)
			c.ok(err, "Principal")
			same(c, p.ID, "alice", "principal")
			same(c, p.SessionID, handleOf(cl.token), "session id")
			c.dead(old)
		}),
		that("NothingBeforeItTakesOneCall", func(c *C) {
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
			c.once(sessiontest.OpDelete, func() {
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
		that("ConflictCopiesTheDataAfresh", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			_, svc := c.node()
			c.once(sessiontest.OpDelete, func() {
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
		that("OldRowMayBeTouchedMeanwhile", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			c.clock.Advance(touch)
			_, svc := c.node()
			c.once(sessiontest.OpDelete, func() {
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

func rotationCases() []Case {
	return group("Rotation",
		// Bug: expressjs/session#923, spring-projects/spring-session#1428, spring-projects/spring-session#1270, nightscout/nocturne#391
		that("ParallelRequestsRotateOnce", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			c.b.Calls()
			var rs []*request
			for range 3 {
				r := c.open(old)
				r.info()
				rs = append(rs, r)
			}
			given := 0
			for i, r := range rs {
				r.set(strings.Repeat("x", i+1))
				if k := r.commit(); k.Action == session.ActionGive && k.Token() != old {
					given++
					cl.take(k)
				}
			}
			same(c, given, 1, "new secrets")
			c.alive(old)
			c.alive(cl.token)
			c.open(cl.token).has("xxx")
			// A request that loads only now rotates no more.
			k := c.commitOf(old)
			same(c, k.Action, session.ActionLeave, "credential of a late request")
			c.alive(cl.token)
			same(c, strings.Join(c.rows("alice"), ","), handleOf(cl.token), "alice's sessions")
		}),
		that("TakesTwoCallsOnTheSameRow", func(c *C) {
			cl := c.signedIn("alice")
			before := c.alive(cl.token)
			old := c.untilRotation(cl)
			c.b.Calls()
			cl.do(func(r *request) { r.info() })
			c.calls("Get 1, Write 1", "a rotation that is due")
			if cl.token == old || handleOf(cl.token) != handleOf(old) {
				c.Fatal("want another secret under the same handle")
			}
			after := c.alive(cl.token)
			same(c, after.CreatedAt, before.CreatedAt, "CreatedAt")
			same(c, after.AuthenticatedAt, before.AuthenticatedAt, "AuthenticatedAt")
			same(c, after.AbsoluteDeadline, before.AbsoluteDeadline, "AbsoluteDeadline")
		}),
		that("OldSecretLivesUntilTheNewOneWasSeenAndAnOverlap", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			cl.do(func(r *request) { r.info() })
			c.clock.Advance(20 * time.Minute)
			c.alive(old) // the answer with the new one may be lost
			c.b.Calls()
			cl.do(func(r *request) { r.info() })
			c.calls("Get 1, Write 1", "the first use of the new secret")
			c.clock.Advance(overlap - time.Millisecond)
			c.alive(old)
			c.clock.Advance(time.Millisecond)
			c.dead(old)
			c.alive(cl.token)
			log := c.log.String()
			if _, secret, _ := strings.Cut(old, "."); !strings.Contains(log, "rotated away") || strings.Contains(log, secret) {
				c.Fatalf("the old secret later is logged as an anomaly, without it: %q", log)
			}
		}),
		that("ClientThatNeverGotTheNewSecretStaysSignedIn", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			c.commitOf(old) // rotated; the answer is lost
			for i := range 8 {
				c.clock.Advance(20 * time.Minute)
				r := c.open(old)
				r.info()
				if i%2 == 0 {
					r.set(strings.Repeat("x", i+1))
				}
				k := r.commit()
				if k.Action == session.ActionGive && k.Token() == old {
					c.Fatal("the old secret was given out again")
				}
				c.alive(old)
				if k.Action == session.ActionGive {
					cl.take(k)
					c.alive(cl.token)
					return
				}
			}
			c.Fatal("no new secret was offered again")
		}),
		// Bug: gorilla/sessions#11, gorilla/sessions#235
		that("RotateHasNoOverlap", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			slow := c.open(old)
			slow.info()
			c.b.Calls()
			cl.do(func(r *request) {
				c.ok(r.s.Rotate(r), "Rotate")
				c.dead(old)
			})
			same(c, handleOf(cl.token), handleOf(old), "handle")
			c.alive(cl.token)
			// Who still holds the old secret cannot have the next.
			c.is(slow.s.Rotate(slow), session.ErrGone, "Rotate with the replaced secret")
			c.alive(cl.token)
		}),
		that("ALateTouchHandsOutNoReplacedToken", func(c *C) {
			cl := c.signedIn("alice")
			c.clock.Advance(touch)
			slow := c.open(cl.token)
			slow.info()
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			if k := slow.commit(); k.Action != session.ActionLeave {
				c.Fatalf("after the secret was replaced, a touch says: %v", k)
			}
			c.alive(cl.token)
		}),
		that("RotateTakesTwoCallsAndTheChangesAlong", func(c *C) {
			cl := c.signedIn("alice")
			c.b.Calls()
			cl.do(func(r *request) { r.set("w"); c.ok(r.s.Rotate(r), "Rotate") })
			c.calls("Get 1, Write 1", "Rotate and a change")
			c.open(cl.token).has("w")
		}),
		// Bug: ayunis-core#1047
		that("DestroyDuringTheOverlapKillsBoth", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			cl.do(func(r *request) { r.info() })
			cl.do(func(r *request) { r.info() })
			c.alive(old)
			c.ok(c.svc.Destroy(c.Context(), "alice", handleOf(old)), "Destroy")
			c.dead(old)
			c.dead(cl.token)
		}),
		that("ReauthenticateMovesTheAbsoluteDeadline", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("v") })
			before := c.alive(cl.token)
			c.clock.Advance(10 * time.Minute)
			old := cl.token
			cl.do(func(r *request) { c.ok(r.s.Reauthenticate(r), "Reauthenticate") })
			c.dead(old)
			r := c.open(cl.token)
			r.has("v")
			after := r.info()
			same(c, after.CreatedAt, before.CreatedAt, "CreatedAt")
			same(c, after.AuthenticatedAt, c.clock.Now(), "AuthenticatedAt")
			same(c, after.AbsoluteDeadline, c.clock.Now().Add(absolute), "AbsoluteDeadline")
			anon := c.newClient("v")
			ar := c.open(anon.token)
			c.is(ar.s.Reauthenticate(ar), session.ErrUnauthenticated, "Reauthenticate of an anonymous session")
		}),
	)
}

// untilRotation uses a new session until its secret is due to be rotated, and
// returns its token.
func (c *C) untilRotation(cl *client) string {
	c.Helper()
	for range 2 {
		c.clock.Advance(rotate / 3)
		cl.do(func(r *request) { r.info() })
	}
	c.clock.Advance(rotate / 3)
	return cl.token
}

// commitOf is what a request that reads and has that token is answered.
func (c *C) commitOf(token string) session.Credential {
	c.Helper()
	r := c.open(token)
	r.info()
	return r.commit()
}
