package sessions

import (
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// evicting are the limits under which a sign-in is not refused for want of room.
var evicting = []session.OnLimit{session.OnLimitEvictOldest, session.OnLimitEvictIdlest}

func seatCases() []Case {
	return group("Limit",
		that("SignInsOfOneMillisecondEvictTheOneBefore", func(c *C) {
			for _, on := range evicting {
				c.use(session.Options{Limit: session.Limit{Max: 1, On: on}})
				before := ""
				for range 6 {
					token, err := c.trySignIn(c.svc)
					c.ok(err, "SignIn with %s", on)
					c.alive(token)
					if before != "" {
						c.dead(before)
					}
					before = token
				}
			}
		}),
		that("NodeWithASlowClockEvicts", func(c *C) {
			for _, on := range evicting {
				opts := session.Options{Limit: session.Limit{Max: 2, On: on}, SweptElsewhere: true}
				c.use(opts)
				_, err := c.svc.DestroyPrincipal(c.Context(), "alice")
				c.ok(err, "DestroyPrincipal")
				opts.Clock = sessiontest.NewClock(c.clock.Now().Add(-time.Second))
				slow, err := session.New(c.b, &opts)
				c.ok(err, "session.New")
				first, second := c.signedIn("alice"), c.signedIn("alice")
				c.clock.Advance(touch)
				second.do(func(r *request) { r.info() })
				token, err := c.trySignIn(slow)
				c.ok(err, "SignIn on the slow node with %s", on)
				c.dead(first.token)
				c.alive(second.token)
				c.alive(token)
			}
		}),
		that("RowsThatNobodyCanOpenTakeNoSeat", func(c *C) {
			var since time.Time
			c.use(session.Options{
				Limit:     session.Limit{Max: 2, On: session.OnLimitReject},
				NotBefore: func(context.Context, string) (time.Time, error) { return since, nil },
			})
			c.signedIn("alice")
			c.signedIn("alice")
			_, err := c.trySignIn(c.svc)
			c.is(err, session.ErrLimit, "SignIn at the limit")
			since = c.clock.Advance(time.Second)
			a, b := c.signedIn("alice"), c.signedIn("alice")
			_, err = c.trySignIn(c.svc)
			c.is(err, session.ErrLimit, "SignIn at the limit")
			// One is put aside during an impersonation, and comes back.
			b.do(func(r *request) { c.ok(r.s.Impersonate(r, "bob", "ticket 7"), "Impersonate") })
			token, err := c.trySignIn(c.svc)
			c.ok(err, "SignIn during the impersonation")
			b.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			for _, t := range []string{a.token, b.token, token} {
				c.alive(t)
			}
		}),
		that("SignInThatFailsEvictsNobody", func(c *C) {
			c.use(session.Options{Limit: session.Limit{Max: 1}})
			sitting := c.signedIn("alice")
			cart := c.newClient("cart")
			r := c.open(cart.token)
			c.beforeMarker(func() {
				c.b.SetHook(nil)
				cart.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			})
			c.is(r.s.SignIn(r, "alice", nil), session.ErrGone, "SignIn")
			c.alive(sitting.token)
			same(c, strings.Join(c.rows("alice"), " "), handleOf(sitting.token), "alice's sessions")
		}),
	)
}
