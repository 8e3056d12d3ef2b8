package sessions

import (
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func powerCases() []Case {
	return group("Powers",
		that("ElevationEndsByItself", func(c *C) {
			cl := c.signedIn("alice")
			before, old := c.alive(cl.token), cl.token
			c.b.Calls()
			cl.do(func(r *request) { c.ok(r.s.Elevate(r, 3, 10*time.Minute), "Elevate") })
			c.calls("Get 1, Write 1", "Elevate")
			c.dead(old)
			after := c.alive(cl.token)
			same(c, after.Level, 3, "level")
			same(c, after.AbsoluteDeadline, before.AbsoluteDeadline, "absolute deadline")
			c.clock.Advance(10*time.Minute - time.Millisecond)
			same(c, c.alive(cl.token).Level, 3, "level at the last millisecond")
			c.clock.Advance(time.Millisecond)
			same(c, c.alive(cl.token).Level, 0, "level afterwards")
		}),
		that("ImpersonationReturnsToTheActor", func(c *C) {
			admin := c.signedIn("admin")
			admin.do(func(r *request) { r.set("admin's") })
			own := admin.token
			c.b.Calls()
			admin.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "ticket 7"), "Impersonate") })
			c.calls("Get 1, Write 2", "Impersonate")
			c.dead(own)
			r := c.open(admin.token)
			p, err := r.s.Principal(r)
			c.ok(err, "Principal")
			same(c, p.ID+" by "+p.Actor, "alice by admin", "principal")
			c.calls("Get 3", "a dead token, and a load under impersonation")
			_, there, err := text.Get(r)
			c.ok(err, "Get")
			same(c, there, false, "the actor's data is there")
			i := r.info()
			same(c, i.AbsoluteDeadline, c.clock.Now().Add(time.Hour), "absolute deadline")
			listed := ""
			for i, err := range c.svc.Sessions(c.Context(), "alice") {
				c.ok(err, "Sessions")
				listed += i.Actor + ": " + i.ActorReason
			}
			same(c, listed, "admin: ticket 7", "alice's list")
			for name, err := range map[string]error{
				"SignIn": r.s.SignIn(r, "bob", nil), "Impersonate": r.s.Impersonate(r, "bob", "x"),
				"Elevate": r.s.Elevate(r, 9, time.Hour), "Reauthenticate": r.s.Reauthenticate(r),
				"RequireRecent": r.s.RequireRecent(r, 0, 0),
			} {
				c.is(err, session.ErrImpersonating, name)
			}
			acting := admin.token
			admin.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			c.dead(acting)
			c.dead(own)
			same(c, handleOf(admin.token), handleOf(own), "handle of the actor's session")
			c.open(admin.token).has("admin's")
			same(c, len(c.rows("alice")), 0, "alice's sessions")
		}),
		that("ImpersonationEndsWithEitherAccountAndByTheClock", func(c *C) {
			start := func() (*client, string) {
				admin := c.signedIn("admin")
				own := handleOf(admin.token)
				admin.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "x"), "Impersonate") })
				c.alive(admin.token)
				return admin, own
			}
			cl, _ := start()
			_, err := c.svc.DestroyPrincipal(c.Context(), "admin")
			c.ok(err, "DestroyPrincipal of the actor")
			c.dead(cl.token)
			cl, _ = start()
			_, err = c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal of the target")
			c.dead(cl.token)
			cl, own := start()
			cl.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			if slices.Contains(c.rows(""), own) {
				c.Fatal("the actor's session outlives the sign-out")
			}
			cl, own = start()
			for range 3 {
				c.clock.Advance(20*time.Minute - time.Millisecond)
				cl.do(func(r *request) { r.info() })
			}
			c.ok(c.svc.Destroy(c.Context(), "admin", own), "Destroy of the actor's session, which lives until the limit")
			c.dead(cl.token)
			cl, _ = start()
			for range 3 {
				c.clock.Advance(20 * time.Minute)
				cl.do(func(r *request) { r.info() })
			}
			c.dead(cl.token)
		}),
		// Bug: alexedwards/scs#235, alexedwards/scs#20, maxcountryman/tower-sessions#174
		that("OwnLifetimesApplyEverywhere", func(c *C) {
			cl := c.signedIn("alice")
			end := c.alive(cl.token).AbsoluteDeadline
			k := cl.do(func(r *request) { c.ok(r.s.SetIdle(r, 2*time.Hour), "SetIdle") })
			i := c.alive(cl.token)
			same(c, i.IdleDeadline, c.clock.Now().Add(2*time.Hour), "idle deadline")
			same(c, i.AbsoluteDeadline, end, "absolute deadline")
			same(c, k.Action, session.ActionLeave, "credential")
			c.clock.Advance(2*time.Hour - time.Millisecond)
			k = cl.do(func(r *request) { r.info() })
			same(c, k.Action, session.ActionGive, "credential")
			cl.do(func(r *request) { c.ok(r.s.SetLifetime(r, 3*time.Hour), "SetLifetime") })
			end = i.AuthenticatedAt.Add(3 * time.Hour)
			same(c, c.alive(cl.token).ExpiresAt(), end, "deadline of the row")
			c.clock.Advance(end.Sub(c.clock.Now()))
			c.dead(cl.token)
			same(c, len(c.rows("alice")), 0, "alice's sessions")
		}),
		that("OwnShortIdleLimitSlides", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { c.ok(r.s.SetIdle(r, time.Minute), "SetIdle") })
			for range 10 {
				c.clock.Advance(50 * time.Second)
				cl.do(func(r *request) { r.info() })
				c.alive(cl.token)
			}
			c.clock.Advance(time.Minute)
			c.dead(cl.token)
		}),
		that("KeyFailingOnConflictRefusesTheLater", func(c *C) {
			strict := session.NewKey[string]("strict").FailingOnConflict()
			cl := c.newClient("v")
			a, b := c.open(cl.token), c.open(cl.token)
			c.ok(strict.Set(a, "a"), "Set")
			c.ok(strict.Set(b, "b"), "Set")
			c.ok(other.Set(b, "x"), "Set")
			a.commit()
			_, err := b.s.Commit(b)
			c.is(err, session.ErrKeyConflict, "Commit")
			c.is(err, model.ErrConflict, "Commit")
			r := c.open(cl.token)
			v, _, err := strict.Get(r)
			c.ok(err, "Get")
			same(c, v, "a", "the key")
			_, there, err := other.Get(r)
			c.ok(err, "Get")
			same(c, there, false, "the refused request's other key is there")
			// A change of another key does not conflict.
			a, b = c.open(cl.token), c.open(cl.token)
			a.set("w")
			c.ok(strict.Set(b, "b"), "Set")
			a.commit()
			b.commit()
		}),
		that("MergingKeyJoinsValues", func(c *C) {
			tags := session.NewKey[[]string]("tags").Merging(func(base, fresh, mine []string) ([]string, error) {
				out := slices.Clone(fresh)
				for _, v := range mine {
					if !slices.Contains(base, v) && !slices.Contains(out, v) {
						out = append(out, v)
					}
				}
				return out, nil
			})
			cl := c.newClient("v")
			cl.do(func(r *request) { c.ok(tags.Set(r, []string{"old"}), "Set") })
			race(9, func(i int) {
				r := c.open(cl.token)
				v, _, err := tags.Get(r)
				if err == nil {
					err = tags.Set(r, append(v, fmt.Sprint(i)))
				}
				if _, cerr := r.s.Commit(r); err != nil || cerr != nil {
					c.Errorf("%v, %v", err, cerr)
				}
			})
			v, _, err := tags.Get(c.open(cl.token))
			c.ok(err, "Get")
			same(c, len(v), 10, "tags")
		}),
		that("SignInCarriesOnlyTheListedKeys", func(c *C) {
			cl := c.newClient("v")
			cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			_, svc := c.node()
			c.b.SetHook(sessiontest.BeforeNth(sessiontest.OpWrite, 2, func() {
				c.b.SetHook(nil)
				w := c.openOn(svc, cl.token)
				c.ok(other.Set(w, "y"), "Set")
				c.ok(count.Set(w, 1), "Set")
				w.commit()
			}))
			cl.do(func(r *request) {
				c.ok(r.s.SignIn(r, "alice", &session.SignInOptions{Carry: []string{"other"}}), "SignIn")
			})
			r := c.open(cl.token)
			_, there, err := text.Get(r)
			c.ok(err, "Get")
			same(c, there, false, "a key that is not listed is there")
			v, _, err := other.Get(r)
			c.ok(err, "Get")
			same(c, v, "y", "the listed key, as it was written meanwhile")
			_, there, err = count.Get(r)
			c.ok(err, "Get")
			same(c, there, false, "a key that was written meanwhile is there")
		}),
	)
}
