package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
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
		that("ImpersonationKeepsTheActorAndGivesItBack", func(c *C) {
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
			c.ok(c.svc.Destroy(c.Context(), "admin", own), "Destroy of the actor's session, alive until the cap")
			c.dead(cl.token)
			cl, _ = start()
			for range 3 {
				c.clock.Advance(20 * time.Minute)
				cl.do(func(r *request) { r.info() })
			}
			c.dead(cl.token)
		}),
		// Bug: alexedwards/scs#235, alexedwards/scs#20, maxcountryman/tower-sessions#174
		that("LifetimesOfItsOwnShowEverywhere", func(c *C) {
			cl := c.signedIn("alice")
			end := c.alive(cl.token).AbsoluteDeadline
			k := cl.do(func(r *request) { c.ok(r.s.SetIdle(r, 2*time.Hour), "SetIdle") })
			i := c.alive(cl.token)
			same(c, i.IdleDeadline, c.clock.Now().Add(2*time.Hour), "idle deadline")
			same(c, i.AbsoluteDeadline, end, "absolute deadline")
			same(c, k.MaxAge, 2*time.Hour, "the cookie's lifetime")
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
		that("ShortIdleOfItsOwnSlidesInTime", func(c *C) {
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
		that("RejectingKeyRefusesTheLaterOfTwo", func(c *C) {
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
			// Another key's change is no conflict.
			a, b = c.open(cl.token), c.open(cl.token)
			a.set("w")
			c.ok(strict.Set(b, "b"), "Set")
			a.commit()
			b.commit()
		}),
		that("MergingKeyJoinsTwo", func(c *C) {
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
			together(9, func(i int) {
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
		that("SignInCarriesTheListedKeysOnly", func(c *C) {
			cl := c.newClient("v")
			cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			_, svc := c.node()
			c.b.SetHook(sessiontest.Before(sessiontest.OpDelete, func() {
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

func viewCases() []Case {
	return group("View",
		that("DetachedSessionEndsWhereverItIsDestroyed", func(c *C) {
			c.use(session.Options{WatchEvery: time.Millisecond})
			cl := c.signedIn("alice")
			r := c.open(cl.token)
			d, err := session.Detach(r)
			c.ok(err, "Detach")
			c.ok(d.Do(c.Context(), func(ctx context.Context) error { return text.Set(ctx, "from the view") }), "Do")
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			c.ok(d.Touch(c.Context()), "Touch after a rotation")
			c.open(cl.token).has("from the view")
			_, svc := c.node()
			c.ok(svc.Destroy(c.Context(), "alice", handleOf(cl.token)), "Destroy on another node")
			select {
			case <-d.Done():
			case <-time.After(time.Minute):
				c.Fatal("the view does not end")
			}
			c.is(d.Err(), session.ErrGone, "Err")
			c.is(d.Touch(c.Context()), session.ErrGone, "Touch")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("TouchOfADetachedSessionMovesTheIdleDeadline", func(c *C) {
			cl := c.signedIn("alice")
			d, err := session.Detach(c.open(cl.token))
			c.ok(err, "Detach")
			defer d.Close()
			for range 5 {
				c.clock.Advance(idle - time.Millisecond)
				c.ok(d.Touch(c.Context()), "Touch")
			}
			c.alive(cl.token)
			c.is(d.Do(c.Context(), func(ctx context.Context) error {
				s, err := session.Require(ctx)
				c.ok(err, "Require")
				return s.Rotate(ctx)
			}), session.ErrDetached, "Rotate")
			c.clock.Advance(idle)
			c.is(d.Touch(c.Context()), session.ErrGone, "Touch of an expired session")
			<-d.Done()
		}),
		// Bug: spring-projects/spring-session#2175, spring-projects/spring-session#1030, spring-projects/spring-data-redis#1111
		that("SweepTellsOfEveryExpiredSessionOnWhicheverNode", func(c *C) {
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
			out.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			c.clock.Advance(idle)
			removed := make([]int, 2)
			together(2, func(i int) {
				n, err := []*session.Service{a, b}[i].Sweep(c.Context())
				if err != nil {
					c.Errorf("Sweep: %v", err)
				}
				removed[i] = n.Removed
			})
			same(c, removed[0]+removed[1], len(want), "removed")
			got := map[string]string{}
			for _, e := range seen.of(session.EventExpired) {
				// One that the other node removed just before has its handle alone.
				got[e.Handle] = cmp.Or(e.Principal, got[e.Handle])
			}
			same(c, fmt.Sprint(got), fmt.Sprint(want), "announced")
		}),
		that("SealedRowOpensOnEveryNodeWithItsKey", func(c *C) {
			key := func(id string, fill byte) expiry.Key {
				return expiry.Key{ID: id, Secret: slices.Repeat([]byte{fill}, 32)}
			}
			ring := func(id string, fill byte) *expiry.Keyring {
				r, err := expiry.NewKeyring(key(id, fill))
				c.ok(err, "NewKeyring")
				return r
			}
			r := ring("a", 1)
			c.use(session.Options{Keyring: r, Pepper: true})
			cl := c.newClient("personal")
			if strings.Contains(string(c.raw()), "personal") {
				c.Fatal("the data is in the clear")
			}
			c.ok(r.Add(key("b", 2)), "Add")
			c.ok(r.Use("b"), "Use")
			c.open(cl.token).has("personal")
			same(c, strings.Contains(string(c.raw()), `"sealKey":"b"`), false, "sealed anew by a read")
			c.b.Calls()
			cl.do(func(r *request) { r.set("personal too") })
			c.calls("Get 1, Write 1", "a change of a sealed row")
			same(c, strings.Contains(string(c.raw()), `"sealKey":"b"`), true, "sealed anew by a write")
			_, other := c.nodeWith(session.Options{Keyring: ring("c", 3), Pepper: true})
			o := c.openOn(other, cl.token)
			o.empty()
			c.open(cl.token).has("personal too")
		}),
		// Bug: valery-barysok/session-file-store#51, valery-barysok/session-file-store#69
		that("ManyWritersAndReadersSeeWholeValues", func(c *C) {
			long := session.NewKey[[]int]("long")
			cl := c.newClient("v")
			together(24, func(i int) {
				for range 4 {
					r := c.open(cl.token)
					v, _, err := long.Get(r)
					if err != nil {
						c.Errorf("Get: %v", err)
						return
					}
					for _, n := range v {
						if n != v[0] {
							c.Errorf("torn: %d beside %d", n, v[0])
							return
						}
					}
					if i%2 == 0 {
						continue
					}
					if err := long.Set(r, slices.Repeat([]int{i}, 400)); err != nil {
						c.Errorf("Set: %v", err)
					}
					if _, err := r.s.Commit(r); err != nil && !errors.Is(err, model.ErrConflict) {
						c.Errorf("Commit: %v", err)
					}
				}
			})
		}),
		that("SignInsRaceDestroyPrincipal", func(c *C) {
			_, svc := c.node()
			for range 15 {
				var before string
				returned := make(chan struct{})
				together(2, func(i int) {
					if i == 0 {
						var err error
						if before, err = c.trySignIn(c.svc); err != nil {
							c.Errorf("SignIn: %v", err)
						}
						close(returned)
						if _, err := c.trySignIn(c.svc); err != nil {
							c.Errorf("SignIn: %v", err)
						}
						return
					}
					<-returned
					if _, err := svc.DestroyPrincipal(c.Context(), "alice"); err != nil {
						c.Errorf("DestroyPrincipal: %v", err)
					}
				})
				c.dead(before)
			}
		}),
	)
}
