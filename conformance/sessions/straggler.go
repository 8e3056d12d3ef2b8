package sessions

import (
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
)

// change replaces or ends the session of a client, who has a value in it.
type change struct {
	name string
	why  session.Why // what a late request is told
	// brief: the client itself did it, and for Policy.Overlap alone it is known
	// that a request is late.
	brief bool
	make  func(c *C, cl *client) // by cl, or by somebody else
	rows  int                    // sessions that are left
}

// changes are all ways in which a session is replaced or ends early.
func changes() []change {
	by := func(run func(r *request)) func(*C, *client) {
		return func(_ *C, cl *client) { cl.do(run) }
	}
	return []change{
		{"SignIn", session.WhyReplaced, true, by(func(r *request) { r.signIn("alice") }), 1},
		{"Rotate", session.WhyReplaced, true, by(func(r *request) { r.c.ok(r.s.Rotate(r), "Rotate") }), 1},
		{"Reauthenticate", session.WhyReplaced, true, by(func(r *request) { r.c.ok(r.s.Reauthenticate(r), "Reauthenticate") }), 1},
		{"Elevate", session.WhyReplaced, true, by(func(r *request) { r.c.ok(r.s.Elevate(r, 2, time.Hour), "Elevate") }), 1},
		{"Impersonate", session.WhyReplaced, true, by(func(r *request) { r.c.ok(r.s.Impersonate(r, "bob", "help"), "Impersonate") }), 2},
		{"SignOut", session.WhyEnded, true, by(func(r *request) { r.c.ok(r.s.SignOut(r), "SignOut") }), 0},
		{"Destroy", session.WhyEnded, false, func(c *C, cl *client) {
			c.ok(c.svc.Destroy(c.Context(), "alice", handleOf(cl.token)), "Destroy")
		}, 0},
		{"DestroyPrincipal", session.WhyEnded, false, func(c *C, _ *client) {
			_, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
		}, 0},
		{"DestroyAll", session.WhyEnded, false, func(c *C, _ *client) {
			_, err := c.svc.DestroyAll(c.Context())
			c.ok(err, "DestroyAll")
		}, 0},
		{"DestroyOthers", session.WhyEnded, false, func(c *C, _ *client) {
			c.signedIn("alice").do(func(r *request) {
				_, err := r.s.DestroyOthers(r)
				c.ok(err, "DestroyOthers")
			})
		}, 1},
		{"Eviction", session.WhyEnded, false, func(c *C, _ *client) {
			c.use(session.Options{Limit: session.Limit{Max: 1}})
			c.clock.Advance(time.Second)
			c.signedIn("alice")
		}, 1},
	}
}

// late stops the case unless a request under the token is known to be late: it
// is anonymous and told why, may write nothing and gets no token.
func (c *C) late(token string, why session.Why, brief bool) {
	c.Helper()
	r := c.open(token)
	r.empty()
	got, err := r.s.Why(r)
	c.ok(err, "Why")
	same(c, got, why, "Why")
	c.is(text.Set(r, "late"), session.ErrGone, "Set")
	c.is(text.Update(r, func(*string) error { return nil }), session.ErrGone, "Update")
	c.is(r.s.SetIdle(r, time.Hour), session.ErrGone, "SetIdle")
	_, there, err := text.Take(r)
	c.ok(err, "Take")
	same(c, there, false, "a value is there")
	k := r.commit()
	same(c, k.Action, session.ActionLeave, "credential of a late request")
	same(c, k.Stale, !brief, "the client may forget the token")
}

func stragglerCases() []Case {
	var out []Case
	for _, ch := range changes() {
		out = append(out, that("OfA"+ch.name+"GetsNoSession", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("v") })
			old := cl.token
			slow := c.open(old)
			slow.set("slow")
			looking := c.open(old)
			looking.has("v")
			ch.make(c, cl)
			c.late(old, ch.why, ch.brief)

			k, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit of a request that was under way")
			same(c, k.Action, session.ActionLeave, "its credential")
			same(c, looking.commit().Action, session.ActionLeave, "credential of a request that only read")
			same(c, len(c.rows("")), ch.rows, "rows")
			n, err := c.svc.Count(c.Context())
			c.ok(err, "Count")
			same(c, n, ch.rows, "counted")
			if cl.token != "" && cl.token != old {
				c.alive(cl.token)
			}
			if ch.brief {
				c.clock.Advance(overlap)
				fresh := &client{c: c, token: old}
				fresh.do(func(r *request) { r.empty(); r.set("w") })
				if fresh.token == old || fresh.token == "" {
					c.Fatal("after the overlap the client gets no new session")
				}
			} else {
				c.clock.Advance(idle - time.Minute)
				c.late(old, ch.why, ch.brief)
			}
		}))
	}
	return group("Straggler", append(out,
		that("DoubleEndOfAnImpersonationChangesNothing", func(c *C) {
			cl := c.signedIn("root")
			cl.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate") })
			acting := cl.token
			second := c.open(acting)
			same(c, second.info().Actor, "root", "the actor")
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			c.is(second.s.EndImpersonation(second), session.ErrGone, "the second EndImpersonation")
			same(c, second.commit().Action, session.ActionLeave, "its credential")
			third := c.open(acting)
			c.is(third.s.EndImpersonation(third), session.ErrUnauthenticated, "the third EndImpersonation")
			same(c, third.commit().Action, session.ActionLeave, "its credential")
			same(c, c.alive(cl.token).Principal, "root", "principal")
		}),
		that("MarkersAreNoSessions", func(c *C) {
			var seen events
			c.use(session.Options{OnEvent: seen.hook, Limit: session.Limit{Max: 2, On: session.OnLimitReject}, Grace: -1})
			for i := range 5 {
				cl := c.newClient("v")
				cl.do(func(r *request) { r.signIn("alice") })
				if i > 0 {
					cl.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
				}
			}
			same(c, len(c.rows("")), 1, "rows")
			same(c, len(c.rows("alice")), 1, "alice's sessions")
			n, err := c.svc.Count(c.Context())
			c.ok(err, "Count")
			same(c, n, 1, "counted")
			if dump := string(c.shown()); strings.Count(dump, "\n") != 10 || strings.Count(dump, `"data"`) != 1 || strings.Count(dump, `"alice"`) != 1 {
				c.Fatalf("want one session and nine markers without data, the store has %s", dump)
			}
			n, err = c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
			same(c, n, 1, "destroyed")
			c.clock.Advance(idle)
			before := len(seen.of(session.EventExpired))
			swept, err := c.svc.Sweep(c.Context())
			c.ok(err, "Sweep")
			same(c, swept.Removed, 10, "removed")
			same(c, len(seen.of(session.EventExpired)), before, "events of expired markers")
			p, err := c.b.Page(c.Context(), time.Time{}, driver.Query{Limit: 100})
			c.ok(err, "Page")
			same(c, len(p.Records), 0, "records")
		}),
		that("MarkerIsNeverProlonged", func(c *C) {
			cl := c.signedIn("alice")
			c.clock.Advance(touch)
			var reading []*request
			for range 3 {
				r := c.open(cl.token)
				r.info() // the idle deadline is due
				reading = append(reading, r)
			}
			cl.do(func(r *request) { r.signIn("alice") })
			for i, r := range reading {
				c.clock.Advance(time.Second)
				_, err := r.s.Commit(r)
				c.is(err, session.ErrGone, fmt.Sprint("commit ", i))
			}
			c.clock.Advance(overlap)
			if dump := string(c.shown()); strings.Count(dump, "\n") != 1 {
				c.Fatalf("the marker is still there: %s", dump)
			}
		}),
		that("SignInUnderAReplacedTokenWorks", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			cl.do(func(r *request) { r.signIn("alice") })
			again := &client{c: c, token: old} // a double click
			again.do(func(r *request) { r.signIn("alice") })
			c.alive(cl.token)
			same(c, c.alive(again.token).Principal, "alice", "principal")
		}),
		that("RotationThatIsLostIsOfferedAgain", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("v") })
			old := c.untilRotation(cl)
			var offered string
			c.b.Calls()
			for i := range 100 { // the answers are lost for five hours
				r := c.open(old)
				r.has("v")
				k := r.commit()
				same(c, k.Action, session.ActionGive, "credential")
				if offered == "" {
					offered = k.Token()
				}
				same(c, k.Token(), offered, "the token that is offered")
				if i == 1 {
					c.calls("Get 2, Write 1, Touch 1", "the rotation, and one more request")
				}
				c.clock.Advance(touch)
			}
			cl.token = offered
			cl.do(func(r *request) { r.has("v") })
			c.clock.Advance(overlap)
			c.dead(old)
			c.alive(offered)
		}),
		that("OfferIsNotSentAfterAConflictOfItsTouch", func(c *C) {
			cl := c.signedIn("alice")
			old := c.untilRotation(cl)
			c.open(old).commitRead() // the rotation, of which the answer is lost
			c.clock.Advance(touch)
			slow := c.open(old)
			same(c, slow.info().Principal, "alice", "principal")
			(&client{c: c, token: old}).do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			c.clock.Advance(time.Millisecond) // so that the touch would move the deadline
			c.b.Calls()
			k, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit of a request with an offer")
			same(c, k.Action, session.ActionLeave, "its credential")
			c.calls("Get 1, Touch 1", "a touch that meets a conflict")
		}),
	)...)
}
