package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func upsertCases() []Case {
	return group("Upsert",
		that("StoresIfNothingIsStored", "R22", needNothing, func(c *C) {
			r := c.rec("a", "1", time.Hour)
			_, err := c.write(r, driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			c.holds(r)
		}),
		that("ReplacesALiveRecordWhole", "R22", needNothing, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			r := c.rec("a", "2", 0)
			head, err := c.write(r, driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			c.sameHead(head, r)
			c.holds(r)
			c.advance(2 * time.Hour)
			c.holds(r)
		}),
		that("DropsTheLabelsOfBefore", "R22 R46", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			c.bear("ann")
			_, err = c.write(c.labelled("a", "3", "bob", time.Hour), driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			c.bear("bob", "a")
		}),
		that("ReplacesAnExpiredRecordWhole", "R22", needNothing, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Minute))
			c.advance(time.Minute)
			r := c.rec("a", "2", 0)
			_, err := c.write(r, driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			c.holds(r)
			c.bear("ann")
		}),
		that("BringsBackADeletedRecord", "R22", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			r := c.rec("a", "2", time.Hour)
			_, err := c.write(r, driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			c.holds(r)
		}),
		that("OfManyAtOnceAllSucceed", "R22 R1", needNothing, func(c *C) {
			for i, err := range c.concurrently(32, func(int) error {
				_, err := c.write(c.rec("a", "v", time.Hour), driver.IfAny, model.Record{})
				return err
			}) {
				c.ok(err, "upsert %d", i)
			}
			c.get("a")
		}),
		that("OfManyIDsAtOnceAllAreThere", "R22 R42", needPaging, func(c *C) {
			for i, err := range c.concurrently(40, func(i int) error {
				_, err := c.write(c.rec("id"+string(rune('0'+i)), "v", time.Hour), driver.IfAny, model.Record{})
				return err
			}) {
				c.ok(err, "upsert %d", i)
			}
			if n := len(c.list(driver.Query{})); n != 40 {
				c.fail("%d records are listed, want 40", n)
			}
		}),
	)
}
