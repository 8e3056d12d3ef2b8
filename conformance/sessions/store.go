package sessions

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func storeCases() []Case {
	return group("Store",
		// Bug: alkem-io/server#6333, balderdashy/sails#2276
		that("DownIsAnErrorAndNotAnonymous", func(c *C) {
			cl := c.signedIn("alice")
			c.b.SetHook(sessiontest.Down)
			c.b.Calls()
			r := c.open(cl.token)
			_, err := r.s.Principal(r)
			c.is(err, model.ErrUnavailable, "Principal")
			if errors.Is(err, session.ErrUnauthenticated) {
				c.Fatal("a store that is down looks like an anonymous session")
			}
			_, _, err = text.Get(r)
			c.is(err, model.ErrUnavailable, "Get")
			c.is(text.Set(r, "w"), model.ErrUnavailable, "Set")
			c.is(r.s.SignOut(r), model.ErrUnavailable, "SignOut")
			_, err = r.s.Commit(r)
			c.is(err, model.ErrUnavailable, "Commit")
			c.calls("Get 1", "a store that is down is called once")
			c.b.SetHook(nil)
			c.alive(cl.token)
		}),
		that("DownIsNoErrorWithoutAToken", func(c *C) {
			c.b.SetHook(sessiontest.Down)
			r := c.open("")
			r.empty()
			same(c, r.commit().Action, session.ActionLeave, "credential")
			c.calls("none", "no token")
		}),
		that("FailedPersistKeepsTheChanges", func(c *C) {
			cl := c.newClient("v")
			r := c.open(cl.token)
			r.set("w")
			c.b.SetHook(sessiontest.Down)
			_, err := r.s.Persist(r)
			c.is(err, model.ErrUnavailable, "Persist")
			same(c, r.s.Changed(), true, "Changed")
			c.b.SetHook(nil)
			r.commit()
			c.open(cl.token).has("w")
		}),
		// Bug: aspnet/Session#201, gofiber/fiber#4560
		that("CancelledRequestStillPersists", func(c *C) {
			cl := c.signedIn("alice")
			old := cl.token
			r := c.open(old)
			r.set("w")
			ctx, cancel := context.WithCancel(r)
			cancel()
			_, err := r.s.Commit(ctx)
			c.ok(err, "Commit")
			c.open(old).has("w")
			r = c.open(old)
			ctx, cancel = context.WithCancel(r)
			cancel()
			c.ok(r.s.SignOut(ctx), "SignOut")
			c.dead(old)
		}),
		that("LostAnswerOfAChangeIsVerifiedByARead", func(c *C) {
			cl := c.newClient("v")
			c.b.SetHook(sessiontest.LoseFirst(sessiontest.OpWrite))
			cl.do(func(r *request) { r.set("w") })
			c.b.SetHook(nil)
			c.open(cl.token).has("w")
		}),
		that("SealedRowOpensOnEveryNodeWithItsSealKey", func(c *C) {
			key := func(id string, fill byte) expiry.SealKey {
				return expiry.SealKey{ID: id, Secret: slices.Repeat([]byte{fill}, 32)}
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
				c.Fatal("the data is not encrypted")
			}
			c.ok(r.Add(key("b", 2)), "Add")
			c.ok(r.Use("b"), "Use")
			c.open(cl.token).has("personal")
			same(c, strings.Contains(string(c.shown()), `"sealKey":"b"`), false, "encrypted again by a read")
			c.b.Calls()
			cl.do(func(r *request) { r.set("personal too") })
			c.calls("Get 1, Write 1", "a change of an encrypted row")
			same(c, strings.Contains(string(c.shown()), `"sealKey":"b"`), true, "encrypted again by a write")
			_, other := c.nodeWith(session.Options{Keyring: ring("c", 3), Pepper: true})
			o := c.openOn(other, cl.token)
			o.empty()
			c.open(cl.token).has("personal too")
		}),
		// Bug: valery-barysok/session-file-store#51, valery-barysok/session-file-store#69
		that("ManyWritersAndReadersSeeWholeValues", func(c *C) {
			long := session.NewKey[[]int]("long")
			cl := c.newClient("v")
			race(24, func(i int) {
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
	)
}
