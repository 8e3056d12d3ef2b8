package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// sweepConcurrencyCases test sweeps that run at the same time as other sweeps and writers.
func sweepConcurrencyCases() []Case {
	return group("Sweep",
		that("SharedByManyCountsEachRemovalOnce", "R52 R51", needSweep, func(c *C) {
			c.fill(200, "ann", time.Minute)
			nodes := []driver.ModelExpirySupport{c.b, c.second(), c.second()}
			c.advance(time.Minute)
			var mu sync.Mutex
			total := 0
			for i, err := range c.concurrently(6, func(i int) error {
				for {
					s, err := nodes[i%len(nodes)].DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 9})
					if err != nil {
						return err
					}
					mu.Lock()
					total += s.Removed
					mu.Unlock()
					if !s.More {
						return nil
					}
				}
			}) {
				c.ok(err, "sweeper %d", i)
			}
			// Another sweeper may have been removing records when one saw the end.
			total += c.sweep(100)
			if total != 200 {
				c.fail("the sweepers counted %d removals, want 200", total)
			}
		}),
		that("AgainstAnExtensionNeverTakesIt", "R55", needSweep, func(c *C) {
			for round := range 15 {
				// The record is live by the clock of the node that extends it. The
				// sweep's clock is ahead.
				id := fmt.Sprint("id", round)
				r := c.put(c.rec(id, "v", time.Minute))
				until, due := c.in(time.Hour), c.in(time.Minute)
				var swept driver.Swept
				touched, err := c.pair(round, func() error {
					_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: until, Known: r})
					return err
				}, func() (err error) {
					swept, err = c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10})
					return err
				})
				c.ok(err, "sweep")
				if touched == nil {
					if swept.Removed != 0 {
						c.fail("the extension succeeded and the sweep counted a removal")
					}
					r.ExpiresAt = until
					c.holds(r)
					c.del(id)
					continue
				}
				c.is(touched, model.ErrNotFound, "extension after the sweep")
				if swept.Removed != 1 {
					c.fail("the extension found no record and the sweep counted %d removals, want 1", swept.Removed)
				}
			}
		}),
		that("ExtendedBetweenAnnouncementAndRemovalStays", "R55 R53", needSweep, func(c *C) {
			r := c.put(c.rec("a", "v", time.Minute))
			due, until := c.in(time.Minute), c.in(time.Hour)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(model.Record) error {
				ctx, cancel := context.WithTimeout(c.ctx(), 10*time.Second)
				defer cancel()
				_, err := c.b.Touch(ctx, c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: until, Known: r})
				c.ok(err, "touch while the record is announced")
				return nil
			}})
			c.ok(err, "sweep")
			if s.Removed != 0 {
				c.fail("the sweep removed a record that was extended after its announcement")
			}
			r.ExpiresAt = until
			c.holds(r)
		}),
		that("ExtendedByASecondWhileAnnouncedStays", "R55 R53", needSweep, func(c *C) {
			r := c.put(c.rec("a", "v", time.Minute))
			due := c.in(time.Minute)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(model.Record) error {
				c.touch(r, driver.TouchExtend, due.Add(time.Second), due.Add(time.Second))
				return nil
			}})
			c.ok(err, "sweep")
			if s.Removed != 0 {
				c.fail("the sweep removed a record that was extended by a second after its announcement")
			}
			c.advance(time.Minute)
			r.ExpiresAt = due.Add(time.Second)
			c.holds(r)
		}),
		that("WrittenAtTheSameExpiryWhileAnnouncedStays", "R55 R53", needSweep, func(c *C) {
			// By the writer's clock the record is live. The sweep must announce the
			// new revision too, which is refused.
			c.put(c.rec("a", "v", time.Minute))
			due := c.in(time.Minute)
			next := c.rec("a", "w", time.Minute)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(r model.Record) error {
				if r.Revision == next.Revision {
					return errors.New("stays")
				}
				_, err := c.write(next, driver.IfPresent, model.Record{})
				c.ok(err, "update while the record is announced")
				return nil
			}})
			c.ok(err, "sweep")
			if s.Removed != 0 {
				c.fail("the sweep removed a revision that was not announced")
			}
			c.holds(next)
		}),
		that("AgainstCreatesLosesNone", "R55 R17 R16", needSweep, func(c *C) {
			for round := range 10 {
				c.put(c.labelled("a", "old", "ann", time.Minute))
				c.advance(time.Minute)
				next := c.labelled("a", fmt.Sprint(round), "bob", time.Hour)
				errs := c.concurrently(3, func(i int) error {
					if i == 0 {
						_, err := c.write(next, driver.IfAbsent, model.Record{})
						return err
					}
					_, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 10})
					return err
				})
				for _, err := range errs {
					c.ok(err, "create or sweep")
				}
				c.holds(next)
				c.bear("bob", "a")
				c.bear("ann")
				c.del("a")
			}
		}),
	)
}
