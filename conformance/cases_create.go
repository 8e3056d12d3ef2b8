package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func createCases() []Case {
	return group("Create",
		that("StoresTheRecord", "R15 R13", needNothing, func(c *C) { c.holds(c.put(c.rec("a", "1", time.Hour))) }),
		that("OverALiveRecordExists", "R15 R28", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			_, err := c.write(c.labelled("a", "2", "bob", 2*time.Hour), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrExists, "second create")
			c.holds(r)
		}),
		that("OverARecordThatNeverExpiresExists", "R15 R28", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", 0))
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrExists, "second create")
			c.holds(r)
		}),
		that("OverAnExpiredRecordReplacesIt", "R17", needNothing, func(c *C) {
			c.put(c.labelled("a", "old", "ann", time.Minute))
			c.advance(time.Minute)
			next := c.rec("a", "new", 0)
			_, err := c.write(next, driver.IfAbsent, model.Record{})
			c.ok(err, "create over an expired record")
			c.holds(next)
			c.advance(24 * time.Hour)
			c.holds(next)
		}),
		that("OverAnExpiredRecordDropsItsLabels", "R17 R46", needLabels, func(c *C) {
			c.put(c.labelled("a", "old", "ann", time.Minute))
			c.advance(time.Minute)
			_, err := c.write(c.labelled("a", "new", "bob", time.Hour), driver.IfAbsent, model.Record{})
			c.ok(err, "create over an expired record")
			c.bear("ann")
			c.bear("bob", "a")
		}),
		that("AfterADeleteSucceeds", "R15", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			c.holds(c.put(c.rec("a", "2", time.Hour)))
		}),
		that("AnswersWithoutTheValue", "R26", needNothing, func(c *C) {
			r := c.labelled("a", "1", "ann", time.Hour)
			head, err := c.write(r, driver.IfAbsent, model.Record{})
			c.ok(err, "create")
			c.sameHead(head, r)
			if head.Value != nil {
				c.fail("the result has the value %q, want none", head.Value)
			}
		}),
		that("OfManyAtOnceOneWins", "R16", needNothing, func(c *C) {
			other := c.second()
			for round := range 3 {
				id := string(rune('a' + round))
				wins := c.race(50, func(i int) error {
					b := c.b
					if i%2 == 1 {
						b = other
					}
					_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec(id, "v", time.Hour), Cond: driver.IfAbsent})
					return err
				}, model.ErrExists)
				if wins != 1 {
					c.fail("%d of 50 creates succeeded, want 1", wins)
				}
			}
		}),
		that("OfManyOverAnExpiredRecordOneWins", "R16 R17", needNothing, func(c *C) {
			c.put(c.rec("a", "old", time.Minute))
			c.advance(time.Minute)
			wins := c.race(32, func(int) error {
				_, err := c.write(c.rec("a", "new", time.Hour), driver.IfAbsent, model.Record{})
				return err
			}, model.ErrExists)
			if wins != 1 {
				c.fail("%d of 32 creates succeeded, want 1", wins)
			}
		}),
		that("OfManyTheWinnersValueStands", "R16 R1", needNothing, func(c *C) {
			revs := make([]model.Revision, 16)
			won := -1
			errs := c.concurrently(len(revs), func(i int) error {
				r := c.rec("a", "v", time.Hour)
				revs[i] = r.Revision
				_, err := c.write(r, driver.IfAbsent, model.Record{})
				return err
			})
			for i, err := range errs {
				if err == nil {
					won = i
				}
			}
			if won < 0 || c.get("a").Revision != revs[won] {
				c.fail("the stored record is not the one of the create that succeeded")
			}
		}),
		that("CannotKeepAnything", "R29", needNothing, func(c *C) {
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfAny} {
				_, err := c.b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "1", time.Hour), Cond: cond, Keep: driver.Keep{Expiry: true}})
				c.is(err, model.ErrInvalid, "%v with Keep.Expiry", cond)
				_, err = c.b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "1", time.Hour), Cond: cond, Keep: driver.Keep{Labels: true}})
				c.is(err, model.ErrInvalid, "%v with Keep.Labels", cond)
			}
			c.gone("a")
		}),
	)
}
