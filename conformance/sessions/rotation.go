package sessions

import (
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

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
			// A request that loads only now does not rotate again. It gets the
			// same new token, in case the answer with it was lost.
			k := c.commitOf(old)
			same(c, k.Action, session.ActionGive, "credential of a late request")
			same(c, k.Token(), cl.token, "the token that is offered again")
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
		that("OldSecretIsValidUntilTheOverlapAfterTheNewOne", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			cl.do(func(r *request) { r.info() })
			c.clock.Advance(20 * time.Minute)
			c.alive(old) // the answer with the new secret can be lost
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
				c.Fatalf("the log has no anomaly for the old secret, or has the secret: %q", log)
			}
		}),
		that("ClientThatNeverGotTheNewSecretStaysSignedIn", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			c.commitOf(old) // rotates, and the answer is lost
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
			// A client with the old secret does not get the next one.
			c.is(slow.s.Rotate(slow), session.ErrGone, "Rotate with the replaced secret")
			c.alive(cl.token)
		}),
		that("LateTouchGivesNoReplacedToken", func(c *C) {
			cl := c.signedIn("alice")
			c.clock.Advance(touch)
			slow := c.open(cl.token)
			slow.info()
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			k, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit of a request that moves the deadline")
			same(c, k.Action, session.ActionLeave, "its credential")
			c.alive(cl.token)
		}),
		that("SlowAnswerOffersNoReplacedToken", func(c *C) {
			for name, end := range map[string]func(cl *client){
				"SignIn":  func(cl *client) { cl.do(func(r *request) { r.signIn("bob") }) },
				"SignOut": func(cl *client) { cl.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") }) },
				"Rotate":  func(cl *client) { cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") }) },
				"":        func(*client) {},
			} {
				cl := c.signedIn("alice")
				for range 3 {
					c.clock.Advance(rotate / 3)
					c.open(cl.token).commitRead() // of the last one, the answer is lost
				}
				slow := c.open(cl.token)
				slow.info()
				c.b.Calls()
				same(c, c.open(cl.token).commitRead().Action, session.ActionGive, "an answer at once offers it again")
				c.calls("Get 1", "a request with an offer")
				end(cl)
				c.clock.Advance(2 * time.Second)
				c.b.Calls()
				k := slow.commit()
				c.calls("Get 1", "a slow answer with an offer")
				same(c, k.Action == session.ActionGive, name == "", "the slow answer offers the secret, after "+name)
				if name == "" {
					cl.take(k)
					c.alive(cl.token)
				}
			}
		}),
		that("RotateWithChangesTakesTwoCalls", func(c *C) {
			cl := c.signedIn("alice")
			c.b.Calls()
			cl.do(func(r *request) { r.set("w"); c.ok(r.s.Rotate(r), "Rotate") })
			c.calls("Get 1, Write 1", "Rotate and a change")
			c.open(cl.token).has("w")
		}),
		// Bug: ayunis-core#1047
		that("DestroyDuringTheOverlapEndsBothSecrets", func(c *C) {
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

// untilRotation uses a new session until its rotation is due. It returns its
// token.
func (c *C) untilRotation(cl *client) string {
	c.Helper()
	for range 2 {
		c.clock.Advance(rotate / 3)
		cl.do(func(r *request) { r.info() })
	}
	c.clock.Advance(rotate / 3)
	return cl.token
}

// commitOf makes a request with the token that reads. It returns the credential.
func (c *C) commitOf(token string) session.Credential {
	c.Helper()
	r := c.open(token)
	r.info()
	return r.commit()
}
