package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func deleteCases() []Case {
	return group("Delete",
		that("RemovesTheRecord", "R38", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			c.gone("a")
		}),
		that("OfAnUnknownIDIsNotFound", "R38", needNothing, func(c *C) {
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}), model.ErrNotFound, "delete")
		}),
		that("TwiceIsNotFound", "R38", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}), model.ErrNotFound, "second delete")
		}),
		that("OfAnExpiredRecordIsNotFound", "R38 R39 R2", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute)
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}), model.ErrNotFound, "delete")
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: r}), model.ErrNotFound, "delete at the revision")
		}),
		that("OfAnyRevisionIgnoresKnown", "R38 R21", needNothing, func(c *C) {
			stale := c.put(c.rec("a", "1", time.Hour))
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent, Known: stale}), "delete of any revision with a stale Known")
			c.gone("a")
		}),
		that("AtTheRevision", "R39", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: r}), "delete at the revision")
			c.gone("a")
			c.bear("ann")
		}),
		that("AtTheRevisionAlone", "R39 R21", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: model.Record{Revision: r.Revision}}), "delete at the revision, nothing else known")
			c.gone("a")
			c.bear("ann")
		}),
		that("AtAnotherRevisionIsAConflict", "R39 R28", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			cur := c.rec("a", "2", time.Hour)
			_, err := c.write(cur, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: old}), model.ErrConflict, "delete at an old revision")
			c.holds(cur)
		}),
		that("AtARevisionOfAnUnknownIDIsNotFound", "R39", needNothing, func(c *C) {
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: c.rec("a", "1", time.Hour)}), model.ErrNotFound, "delete")
		}),
		that("AtTheRevisionAfterATouch", "R39 R34", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(2 * time.Hour)})
			c.ok(err, "touch")
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: r}), "delete at the revision from before a touch")
			c.gone("a")
		}),
		that("AtNoRevisionIsInvalid", "R41", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch}), model.ErrInvalid, "delete at no revision")
			c.holds(r)
		}),
		that("UnderAnotherConditionIsInvalid", "R41", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			for _, cond := range []driver.Condition{0, driver.IfAny, driver.IfAbsent, 99} {
				c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: cond, Known: r}), model.ErrInvalid, "delete under %v", cond)
			}
			c.holds(r)
		}),
		that("LeavesTheOthers", "R38", needNothing, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			b := c.put(c.labelled("b", "2", "ann", time.Hour))
			c.del("a")
			c.holds(b)
			c.bear("ann", "b")
		}),
		that("OfManyAtOnceOneSucceeds", "R40", needNothing, func(c *C) {
			other := c.second()
			for range 4 {
				r := c.put(c.rec("a", "1", time.Hour))
				wins := c.race(16, func(i int) error {
					b, cond, known := c.b, driver.IfPresent, model.Record{}
					if i%2 == 1 {
						b = other
					}
					if i%4 > 1 {
						cond, known = driver.IfMatch, r
					}
					return b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: cond, Known: known})
				}, model.ErrNotFound)
				if wins != 1 {
					c.fail("%d of 16 deletes succeeded, want 1", wins)
				}
				c.gone("a")
			}
		}),
		that("AtTheRevisionSparesALaterWrite", "R39", needNothing, func(c *C) {
			for round := range 20 {
				old := c.put(c.rec("a", "0", time.Hour))
				next := c.rec("a", "1", time.Hour)
				deleted, updated := c.pair(round, func() error {
					return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: old})
				}, func() error {
					_, err := c.write(next, driver.IfPresent, model.Record{})
					return err
				})
				if deleted == nil {
					c.is(updated, model.ErrNotFound, "update after the delete")
					c.gone("a")
					continue
				}
				c.is(deleted, model.ErrConflict, "delete after the update")
				c.holds(next)
				c.del("a")
			}
		}),
	)
}
