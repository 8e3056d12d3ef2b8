package sessions

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

func dataCases() []Case {
	return group("Data",
		that("ClearMergesKeyByKey", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) {
				r.set("v")
				c.ok(count.Set(r, 1), "Set")
			})
			late := c.open(cl.token)
			c.ok(session.Clear(late), "Clear")
			cl.do(func(r *request) {
				r.set("changed by another request")
				c.ok(other.Set(r, "added by another request"), "Set")
			})
			c.b.Calls()
			late.commit()
			c.retried("a Clear that races")
			names, err := session.Keys(c.open(cl.token))
			c.ok(err, "Keys")
			same(c, strings.Join(names, " "), "other", "the keys that are left")
			same(c, c.alive(cl.token).Principal, "alice", "principal")
		}),
		that("RefreshIsDoneByOneOfManyRequests", func(c *C) {
			_, second := c.node()
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("old") })
			var fetches atomic.Int64
			fresh := func(v string) bool { return v == "new" }
			race(16, func(i int) {
				svc := c.svc
				if i%2 == 1 {
					svc = second
				}
				r := c.openOn(svc, cl.token)
				v, err := text.Refresh(r, time.Hour, fresh, func(_ context.Context, old string) (string, error) {
					fetches.Add(1)
					if old != "old" {
						c.Errorf("fetch got %q", old)
					}
					return "new", nil
				})
				if err != nil || v != "new" {
					c.Errorf("Refresh: %q, %v", v, err)
				}
				if _, err := r.s.Commit(r); err != nil {
					c.Errorf("Commit: %v", err)
				}
			})
			same(c, fetches.Load(), 1, "calls of fetch")
			r := c.open(cl.token)
			r.has("new")
			names, err := session.Keys(r)
			c.ok(err, "Keys")
			same(c, strings.Join(names, " "), "text", "keys")
			if strings.Contains(string(c.raw()), "lease") {
				c.Fatal("a lease is left in the row")
			}
		}),
		that("RefreshCostsThreeCalls", func(c *C) {
			cl := c.signedIn("alice")
			r := c.open(cl.token)
			_, err := session.Keys(r)
			c.ok(err, "Keys")
			c.b.Calls()
			_, err = text.Refresh(r, 0, func(v string) bool { return v != "" }, func(context.Context, string) (string, error) { return "new", nil })
			c.ok(err, "Refresh")
			c.calls("Get 1, Write 2", "a refresh")
			r.commit()
			c.calls("none", "the commit after it")
			c.open(cl.token).has("new")
		}),
		that("RefreshIsTakenOverAfterItsHold", func(c *C) {
			cl := c.signedIn("alice")
			ctx, die := context.WithCancel(c.Context())
			_, dying := c.node()
			r := c.openOn(dying, cl.token)
			fresh := func(v string) bool { return v != "" }
			// The node dies in its fetch: its lease stays.
			_, err := text.Refresh(session.NewContext(ctx, r.s), time.Minute, fresh, func(context.Context, string) (string, error) {
				die()
				short, cancel := context.WithTimeout(c.Context(), 10*time.Millisecond)
				defer cancel()
				_, err := text.Refresh(session.NewContext(short, c.open(cl.token).s), time.Minute, fresh, func(context.Context, string) (string, error) {
					c.Error("two nodes fetch")
					return "", nil
				})
				if err == nil {
					c.Error("a second node did not wait for the lease")
				}
				c.clock.Advance(time.Minute)
				v, err := text.Refresh(c.open(cl.token), time.Minute, fresh, func(context.Context, string) (string, error) { return "of the other", nil })
				c.ok(err, "Refresh after the hold")
				same(c, v, "of the other", "value")
				return "", model.ErrUnavailable
			})
			c.is(err, model.ErrUnavailable, "Refresh of the first")
			c.open(cl.token).has("of the other")
		}),
		that("KeysAreCountedByTheRowsUnderThem", func(c *C) {
			key := func(id string) expiry.SealKey {
				return expiry.SealKey{ID: id, Secret: slices.Repeat([]byte(id), 32)}
			}
			ring, err := expiry.NewKeyring(key("a"))
			c.ok(err, "NewKeyring")
			c.ok(ring.Add(key("b")), "Add")
			c.use(session.Options{Keyring: ring, Pepper: true})
			var clients []*client
			for range 5 {
				clients = append(clients, c.newClient("v"))
			}
			c.ok(ring.Use("b"), "Use")
			clients[0].do(func(r *request) { r.signIn("alice") })
			use, err := c.svc.KeyUse(c.Context(), nil)
			c.ok(err, "KeyUse")
			same(c, use["a"], 4, "sessions under the old key")
			same(c, use["b"], 2, "the session and the marker under the new key")
			c.clock.Advance(overlap)
			use, err = c.svc.KeyUse(c.Context(), nil)
			c.ok(err, "KeyUse")
			same(c, use["b"], 1, "sessions under the new key")
		}),
		that("AnonymousSessionsEndEarlier", func(c *C) {
			c.use(session.Options{Policy: session.Policy{AnonymousIdle: time.Minute}})
			bot, cl := c.newClient("v"), c.newClient("v")
			cl.do(func(r *request) { r.signIn("alice") })
			c.clock.Advance(time.Minute)
			c.dead(bot.token)
			c.open(cl.token).has("v")
		}),
		that("LastSeenMovesWithoutAnIdleLimit", func(c *C) {
			c.use(session.Options{Policy: session.Policy{Idle: -1, RotateEvery: -1, SeenEvery: touch}})
			cl := c.signedIn("alice")
			c.clock.Advance(touch - time.Millisecond)
			c.b.Calls()
			cl.do(func(r *request) { r.info() })
			c.calls("Get 1", "not due")
			now := c.clock.Advance(time.Millisecond)
			cl.do(func(r *request) { r.info() })
			c.calls("Get 1, Write 1", "due")
			same(c, c.alive(cl.token).LastSeen, now, "LastSeen")
		}),
	)
}
