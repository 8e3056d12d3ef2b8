package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func closeCases() []Case {
	return group("Close",
		that("IsIdempotent", "R58", needNothing, func(c *C) {
			b := c.second()
			for range 3 {
				c.ok(b.Close(), "close")
			}
		}),
		that("MayBeCalledByManyAtOnce", "R58", needNothing, func(c *C) {
			b := c.second()
			for i, err := range c.concurrently(100, func(int) error { return b.Close() }) {
				c.ok(err, "close %d", i)
			}
		}),
		that("EndsEveryOperation", "R59", needPaging|needSweep, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			b := c.second()
			c.ok(b.Close(), "close")
			_, get := b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
			_, create := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("b", "1", time.Hour), Cond: driver.IfAbsent})
			_, upsert := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "2", time.Hour), Cond: driver.IfAny})
			_, touch := b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchClear})
			_, page := b.Page(c.ctx(), c.now, driver.Query{Limit: 1})
			_, sweep := b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 1})
			_, count := driver.Count(c.ctx(), b, c.now, driver.Query{Label: ""})
			for op, err := range map[string]error{
				"Get": get, "create": create, "upsert": upsert, "Touch": touch, "Page": page, "DeleteExpired": sweep, "Count": count,
				"Delete": b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}),
				"Ping":   driver.Ping(c.ctx(), b, c.now),
			} {
				c.is(err, model.ErrClosed, "%s after Close", op)
			}
			c.holds(r)
			c.gone("b")
		}),
		that("LeavesOtherNodesAndTheClient", "R60", needNothing, func(c *C) {
			b := c.second()
			r := c.put(c.rec("a", "1", time.Hour))
			c.ok(b.Close(), "close")
			c.holds(r)
			c.put(c.rec("b", "1", time.Hour))
		}),
		that("LeavesDescribe", "R57", needNothing, func(c *C) {
			b := c.second()
			before := b.Describe()
			c.ok(b.Close(), "close")
			after := b.Describe()
			if before.Backend == "" || before.Backend != after.Backend || before.MaxValue != after.MaxValue || len(before.Labels) != len(after.Labels) {
				c.fail("Describe returned %+v before Close and %+v after it, want the same", before, after)
			}
		}),
		that("WhileOthersWorkNeverHangs", "R58 R59", needNothing, func(c *C) {
			b := c.second()
			var wg sync.WaitGroup
			for who := range 8 {
				wg.Go(func() {
					for i := range 50 {
						id := string(rune('a'+who)) + string(rune('a'+i%10))
						if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec(id, "v", time.Hour), Cond: driver.IfAny}); err != nil {
							return
						}
						if _, err := b.Page(c.ctx(), c.now, driver.Query{Limit: 3}); err != nil {
							return
						}
						if _, err := b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 3}); err != nil {
							return
						}
					}
				})
			}
			c.ok(b.Close(), "close while others work")
			wg.Wait()
			_, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
			c.is(err, model.ErrClosed, "get after close")
		}),
		that("EndsBatchesAndStorageCallsToo", "R59", needLabels|needSweep, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			b := c.second()
			c.ok(b.Close(), "close")
			for i, o := range append(
				driver.GetMany(c.ctx(), b, c.now, driver.Gets("a", "b")),
				driver.WriteMany(c.ctx(), b, c.now, []driver.BatchOp{writing(c.rec("b", "1", 0), driver.IfAny, model.Record{}), removing("a", driver.IfPresent, r)})...,
			) {
				c.is(o.Err, model.ErrClosed, "result %d after Close", i)
			}
			if m, ok := storageManager(b); ok {
				c.is(m.CreateStorage(c.ctx()), model.ErrClosed, "CreateStorage after Close")
				c.is(m.DeleteStorage(c.ctx()), model.ErrClosed, "DeleteStorage after Close")
			}
			_, page := b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 1})
			c.is(page, model.ErrClosed, "page by label after Close")
			_, err := b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 1, OnExpire: func(model.Record) error { c.fail("the sweep announced a record after Close"); return nil }})
			c.is(err, model.ErrClosed, "announcing sweep after Close")
			c.holds(r)
			c.gone("b")
		}),
		that("UnderASweeperEndsItsSweepsNotItsLife", "R59 R58", needSweep, func(c *C) {
			// The backend closes while a sweeper runs. Its sweeps fail, and it still
			// ends when it is closed.
			b := c.second()
			swept := make(chan error)
			ctx, cancel := context.WithCancel(c.ctx())
			sweeper, err := expiry.NewSweeper(storeOn[any](c, b, nil), &expiry.SweeperOptions{
				Interval: time.Millisecond,
				OnSwept: func(_ driver.Swept, err error) {
					select {
					case swept <- err:
					case <-ctx.Done():
					}
				},
			})
			c.ok(err, "NewSweeper")
			done := make(chan error, 1)
			go func() { done <- sweeper.Run(ctx) }()
			c.ok(<-swept, "sweep before Close")
			c.ok(b.Close(), "close under a sweeper")
			var last error
			for range 3 { // one sweep may have begun before
				last = <-swept
			}
			c.is(last, model.ErrClosed, "sweep after Close")
			cancel()
			for i, err := range c.concurrently(100, func(int) error { return sweeper.Close() }) {
				c.ok(err, "close %d of the sweeper", i)
			}
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				c.fail("Run returned %v, want nil or the context's error", err)
			}
			c.put(c.rec("a", "1", time.Hour))
		}),
		that("ThroughTheStore", "R58 R59", needNothing, func(c *C) {
			s := storeOn[doc](c, c.second(), nil)
			c.ok(s.Close(), "close")
			c.ok(s.Close(), "close again")
			_, err := s.Get(c.ctx(), "a")
			c.is(err, model.ErrClosed, "get after Close")
		}),
	)
}
