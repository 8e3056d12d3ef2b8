package sessions

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func lifeCases() []Case {
	return group("Life",
		// Bug: pallets-eco/flask-session#240, ca98am79/connect-dynamodb#101, gravitational/teleport#19885
		that("IdleEndsAtTheExactMillisecond", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(idle - time.Millisecond)
			c.alive(cl.token)
			c.clock.Advance(time.Millisecond)
			c.dead(cl.token)
			same(c, len(c.rows("")), 0, "rows listed")
			n, err := c.svc.Count(c.Context())
			c.ok(err, "Count")
			same(c, n, 0, "rows counted")
		}),
		// Bug: jdesboeufs/connect-mongo#152, jdesboeufs/connect-mongo#154
		that("UseMovesTheIdleDeadlineOnceInAStep", func(c *C) {
			cl := c.newClient("v")
			before := c.alive(cl.token).IdleDeadline
			c.clock.Advance(touch - time.Millisecond)
			c.b.Calls()
			k := cl.do(func(r *request) { r.has("v") })
			c.calls("Get 1", "not due")
			same(c, k.Action, session.ActionLeave, "credential when not due")

			c.clock.Advance(time.Millisecond)
			k = cl.do(func(r *request) { r.has("v") })
			c.calls("Get 1, Touch 1", "due")
			same(c, k.Action, session.ActionLeave, "credential when due")
			same(c, c.alive(cl.token).IdleDeadline, before.Add(touch), "idle deadline")

			c.b.Calls()
			cl.do(func(r *request) { r.has("v") })
			c.calls("Get 1", "no longer due")
		}),
		that("TouchOfASlowRequestDoesNotShorten", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(touch)
			slow := c.open(cl.token)
			slow.has("v")
			_, svc := c.node()
			c.beforeFirst(sessiontest.OpTouch, func() {
				c.clock.Advance(time.Second)
				r := c.openOn(svc, cl.token)
				r.has("v")
				r.commit()
			})
			slow.commit()
			same(c, c.alive(cl.token).IdleDeadline, c.clock.Now().Add(idle), "idle deadline")
		}),
		that("ChangeMovesTheIdleDeadlineWithoutATouch", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(touch)
			c.b.Calls()
			k := cl.do(func(r *request) { r.set("w") })
			c.calls("Get 1, Write 1", "a change when due")
			same(c, k.Action, session.ActionLeave, "credential")
			same(c, c.alive(cl.token).IdleDeadline, c.clock.Now().Add(idle), "idle deadline")
		}),
		// Bug: jdesboeufs/connect-mongo#199
		that("SessionInUseNeverGoesIdle", func(c *C) {
			cl := c.signedIn("alice")
			for range 40 {
				c.clock.Advance(idle - touch)
				cl.do(func(r *request) {
					_, err := r.s.Principal(r)
					c.ok(err, "Principal after %v of use", c.clock.Now())
				})
			}
		}),
		// Bug: gofiber/fiber#2741, maxcountryman/tower-sessions#74
		that("AbsoluteEndsASessionInUse", func(c *C) {
			cl := c.signedIn("alice")
			end := c.alive(cl.token).AbsoluteDeadline
			same(c, end, c.clock.Now().Add(absolute), "absolute deadline")
			for c.clock.Now().Add(20 * time.Minute).Before(end) {
				c.clock.Advance(20 * time.Minute)
				cl.do(func(r *request) { r.set(c.clock.Now().String()) })
				info := c.alive(cl.token)
				same(c, info.AbsoluteDeadline, end, "absolute deadline")
				if info.IdleDeadline.After(end) {
					c.Fatalf("idle deadline %v after the absolute one %v", info.IdleDeadline, end)
				}
			}
			c.clock.Advance(end.Sub(c.clock.Now()) - time.Millisecond)
			cl.do(func(r *request) { _, err := r.s.Principal(r); c.ok(err, "Principal") })
			c.clock.Advance(time.Millisecond)
			c.dead(cl.token)
		}),
		that("UseCountsShortlyBeforeTheAbsoluteDeadline", func(c *C) {
			_, svc := c.nodeWith(session.Options{Policy: session.Policy{Absolute: idle + time.Minute}})
			r := c.openOn(svc, "")
			r.set("v")
			token := r.commit().Token()
			c.clock.Advance(idle - time.Millisecond)
			r = c.openOn(svc, token)
			r.has("v")
			r.commit()
			c.clock.Advance(time.Minute)
			c.alive(token)
			c.clock.Advance(time.Millisecond)
			c.dead(token)
		}),
		that("AbsoluteEndsAnAnonymousSession", func(c *C) {
			cl := c.newClient("v")
			end := c.clock.Now().Add(absolute)
			for c.clock.Now().Before(end.Add(-time.Millisecond)) {
				c.clock.Advance(min(20*time.Minute, end.Add(-time.Millisecond).Sub(c.clock.Now())))
				cl.do(func(r *request) { r.has("v") })
			}
			c.clock.Advance(time.Millisecond)
			c.dead(cl.token)
		}),
		// Bug: tj/connect-redis#251, aspnet/Session#169
		that("CredentialLivesToTheAbsoluteDeadline", func(c *C) {
			cl := c.signedIn("alice")
			given := 0
			for i := range 60 {
				c.clock.Advance(25*time.Minute + 333*time.Millisecond)
				r := c.open(cl.token)
				if i%2 == 0 {
					r.set(strings.Repeat("x", i))
				} else {
					r.info()
				}
				k := r.commit()
				cl.take(k)
				if k.Action != session.ActionGive {
					continue
				}
				given++
				end := c.alive(cl.token).AbsoluteDeadline
				same(c, k.ExpiresAt, end, "the credential's expiry")
				cookie := c.clock.Now().Add(k.MaxAge)
				if cookie.Before(end) || cookie.Sub(end) >= time.Second {
					c.Fatalf("the cookie ends at %v, the session at %v", cookie, end)
				}
				if end.Sub(c.clock.Now()) < time.Hour {
					break
				}
			}
			if given < 10 {
				c.Fatalf("%d credentials in a day, want one for each rotation", given)
			}
		}),
		that("WriteToAnExpiredSessionCreatesANewRow", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			c.clock.Advance(idle)
			cl.do(func(r *request) { r.empty(); r.set("w") })
			if handleOf(cl.token) == handleOf(old) {
				c.Fatal("the expired session's handle is used again")
			}
			c.open(cl.token).has("w")
			c.dead(old)
		}),
		that("WriteAfterTheDeadlineRevivesNothing", func(c *C) {
			cl := c.newClient("v")
			r := c.open(cl.token)
			r.set("w")
			c.clock.Advance(idle)
			_, err := r.s.Commit(r)
			c.is(err, session.ErrGone, "Commit")
			c.dead(cl.token)
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("TimesAreSeparate", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(10 * time.Minute)
			signed := c.clock.Now()
			cl.do(func(r *request) { r.signIn("alice") })
			c.clock.Advance(5 * time.Minute)
			cl.do(func(r *request) { r.info() })
			c.clock.Advance(time.Minute)
			i := c.alive(cl.token)
			same(c, i.CreatedAt, signed, "CreatedAt")
			same(c, i.AuthenticatedAt, signed, "AuthenticatedAt")
			same(c, i.LastSeen, signed.Add(5*time.Minute), "LastSeen")
			same(c, i.IdleDeadline, signed.Add(5*time.Minute+idle), "IdleDeadline")
			same(c, i.AbsoluteDeadline, signed.Add(absolute), "AbsoluteDeadline")
		}),
		// Bug: spring-projects/spring-session#2614, spring-projects/spring-session#2230, spring-projects/spring-session#3287, spring-projects/spring-session#1843
		that("SweepRemovesEverythingExpired", func(c *C) {
			c.newClient("v")
			c.signedIn("alice")
			c.clock.Advance(idle / 2)
			live := c.signedIn("alice")
			c.clock.Advance(idle / 2)
			removed := 0
			for {
				n, err := c.b.DeleteExpired(c.Context(), driver.Sweep{Before: c.clock.Now(), Limit: 100})
				c.ok(err, "DeleteExpired")
				removed += n.Removed
				if !n.More {
					break
				}
			}
			same(c, removed, 2, "removed")
			same(c, strings.Join(c.rows("alice"), ","), handleOf(live.token), "alice's sessions")
			same(c, len(c.rows("")), 1, "rows")
		}),
		// Bug: spring-projects/spring-session#2175, spring-projects/spring-session#1030, spring-projects/spring-data-redis#1111
		that("SweepReportsEveryExpiredSessionOnSomeNode", func(c *C) {
			var seen events
			_, a := c.nodeWith(session.Options{OnEvent: seen.hook, Grace: -1})
			_, b := c.nodeWith(session.Options{OnEvent: seen.hook, Grace: -1})
			want := map[string]string{}
			for i := range 12 {
				p := fmt.Sprint("user", i%3)
				want[handleOf(c.signedIn(p).token)] = p
			}
			want[handleOf(c.newClient("v").token)] = ""
			out := c.signedIn("alice")
			ended := out.token
			out.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			c.clock.Advance(idle)
			removed := make([]int, 2)
			race(2, func(i int) {
				n, err := []*session.Service{a, b}[i].Sweep(c.Context())
				if err != nil {
					c.Errorf("Sweep: %v", err)
				}
				removed[i] = n.Removed
			})
			same(c, removed[0]+removed[1], len(want)+1, "removed, with the marker of the sign-out")
			got := map[string]string{}
			for _, e := range seen.of(session.EventExpired) {
				// The event has only the handle if the other node removed the row
				// first.
				got[e.Handle] = cmp.Or(e.Principal, got[e.Handle])
			}
			if marker := handleOf(ended); got[marker] == "" {
				delete(got, marker) // nobody can tell what the other node removed
			}
			same(c, fmt.Sprint(got), fmt.Sprint(want), "reported")
		}),
	)
}
