package sessions

import (
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

func mergeCases() []Case {
	return group("Merge",
		that("DifferentKeysOfTwoRequestsBothSurvive", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			a, b := c.open(cl.token), c.open(cl.token)
			a.set("w")
			c.ok(other.Set(b, "x"), "Set")
			a.commit()
			c.calls("Get 2, Write 1", "two loads and the first write")
			b.commit()
			c.retried("a conflict and the merged write")
			r := c.open(cl.token)
			r.has("w")
			v, _, err := other.Get(r)
			c.ok(err, "Get")
			same(c, v, "x", "the other key")
		}),
		// Bug: SerayaEryn/fastify-session#237, laravel/framework#7549, laravel/framework#30996, laravel/framework#18187, aspnet/Session#60, aspnet/Session#72, pallets-eco/flask-session#71
		that("TwentySixParallelRequestsSetTwentySixKeys", func(c *C) {
			cl := c.newClient("v")
			_, second := c.node()
			race(26, func(i int) {
				r := c.openOn([]*session.Service{c.svc, second}[i%2], cl.token)
				key := session.NewKey[int](fmt.Sprintf("key-%c", 'a'+i))
				if err := key.Set(r, i); err != nil {
					c.Errorf("Set: %v", err)
				}
				if _, err := r.s.Commit(r); err != nil {
					c.Errorf("Commit: %v", err)
				}
			})
			r := c.open(cl.token)
			for i := range 26 {
				v, ok, err := session.NewKey[int](fmt.Sprintf("key-%c", 'a'+i)).Get(r)
				if err != nil || !ok || v != i {
					c.Errorf("key %d: %v, %v, %v", i, v, ok, err)
				}
			}
			r.has("v")
		}),
		that("UpdateRunsAgainOnTheFreshValue", func(c *C) {
			cl := c.newClient("v")
			race(12, func(int) {
				r := c.open(cl.token)
				err := count.Update(r, func(n *int) error { *n++; return nil })
				if _, cerr := r.s.Commit(r); err != nil || cerr != nil {
					c.Errorf("Update: %v, %v", err, cerr)
				}
			})
			n, _, err := count.Get(c.open(cl.token))
			c.ok(err, "Get")
			same(c, n, 12, "the counter")
		}),
		that("UpdateThatRefusesTheFreshValueWritesNothing", func(c *C) {
			refuse := errors.New("out of stock")
			cl := c.newClient("v")
			buy := func(r *request) error {
				return count.Update(r, func(n *int) error {
					if *n >= 1 {
						return refuse
					}
					*n++
					return nil
				})
			}
			a, b := c.open(cl.token), c.open(cl.token)
			c.ok(buy(a), "Update")
			c.ok(buy(b), "Update")
			b.set("w")
			a.commit()
			_, err := b.s.Commit(b)
			c.is(err, refuse, "Commit")
			r := c.open(cl.token)
			r.has("v")
			n, _, err := count.Get(r)
			c.ok(err, "Get")
			same(c, n, 1, "the counter")
		}),
		that("LastWriterOfOneKeyWins", func(c *C) {
			cl := c.newClient("v")
			a, b := c.open(cl.token), c.open(cl.token)
			a.set("first")
			b.set("last")
			a.commit()
			b.commit()
			c.open(cl.token).has("last")
		}),
		that("DeletedKeyStaysDeletedAfterAConflict", func(c *C) {
			cl := c.newClient("v")
			a, b := c.open(cl.token), c.open(cl.token)
			c.ok(text.Delete(a), "Delete")
			c.ok(other.Set(b, "x"), "Set")
			b.commit()
			a.commit()
			r := c.open(cl.token)
			_, ok, err := text.Get(r)
			c.ok(err, "Get")
			same(c, ok, false, "the removed key is there")
			v, _, err := other.Get(r)
			c.ok(err, "Get")
			same(c, v, "x", "the other key")
		}),
		// Bug: tj/connect-redis#285
		that("TouchKeepsAConcurrentWriteAndItsDeadline", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(touch)
			reader := c.open(cl.token)
			reader.has("v")
			writer := c.open(cl.token)
			writer.set("w")
			writer.commit()
			written := c.clock.Now()
			c.clock.Advance(time.Millisecond)
			c.b.Calls()
			reader.commit()
			c.calls("Get 1, Touch 1", "the reader")
			r := c.open(cl.token)
			r.has("w")
			same(c, r.info().IdleDeadline, written.Add(idle), "idle deadline")

			writer = c.open(cl.token)
			writer.set("x")
			reader = c.open(cl.token)
			reader.has("w")
			c.clock.Advance(touch)
			reader.commit()
			writer.commit()
			r = c.open(cl.token)
			r.has("x")
			same(c, r.info().IdleDeadline, c.clock.Now().Add(idle), "idle deadline")
		}),
		that("WriteUnderASecretReplacedMeanwhileIsGone", func(c *C) {
			cl := c.newClient("v")
			slow := c.open(cl.token)
			c.ok(other.Set(slow, "x"), "Set")
			old := cl.token
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			k, err := slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit under the replaced secret")
			same(c, k.Action, session.ActionLeave, "the slow request's credential")
			c.alive(cl.token)
			c.dead(old)
			_, there, err := other.Get(c.open(cl.token))
			c.ok(err, "Get")
			same(c, there, false, "the slow request's key is there")
		}),
	)
}
