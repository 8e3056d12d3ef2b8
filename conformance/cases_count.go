package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func countCases() []Case {
	count := func(c *C, label, value string, want int) {
		c.Helper()
		n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: label, Value: value})
		c.ok(err, "count")
		if n != want {
			c.fail("Count returned %d under %q, want %d", n, value, want)
		}
	}
	return group("Count",
		that("OfLiveRecords", "R77", needPaging, func(c *C) {
			count(c, "", "", 0)
			c.fill(15, "", time.Hour)
			c.put(c.rec("short", "1", time.Minute))
			c.put(c.rec("ever", "1", 0))
			count(c, "", "", 17)
			c.advance(time.Minute)
			count(c, "", "", 16)
			c.advance(time.Hour)
			count(c, "", "", 1)
		}),
		that("ByLabel", "R77", needLabels, func(c *C) {
			c.fill(15, "ann", time.Hour)
			c.put(c.labelled("short", "1", "ann", time.Minute))
			c.put(c.labelled("ever", "1", "ann", 0))
			c.put(c.labelled("other", "1", "bob", 0))
			count(c, "principal", "ann", 17)
			count(c, "principal", "bob", 1)
			count(c, "principal", "carol", 0)
			c.advance(time.Minute)
			count(c, "principal", "ann", 16)
			c.advance(time.Hour)
			count(c, "principal", "ann", 1)
		}),
		that("FollowsEveryWrite", "R77 R46", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			count(c, "principal", "ann", 1)
			_, err := c.write(c.labelled("a", "2", "bob", time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			count(c, "principal", "ann", 0)
			count(c, "principal", "bob", 1)
			_, err = c.write(c.labelled("a", "3", "ann", time.Hour), driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			count(c, "principal", "ann", 1)
			c.del("a")
			count(c, "principal", "ann", 0)
			count(c, "", "", 0)
		}),
		that("OfARecreatedRecordIsOne", "R77 R17", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Minute))
			c.advance(time.Minute)
			_, err := c.write(c.labelled("a", "2", "ann", time.Hour), driver.IfAbsent, model.Record{})
			c.ok(err, "create over an expired record")
			count(c, "principal", "ann", 1)
			count(c, "", "", 1)
		}),
		that("OfAValueWithoutALabelIsInvalid", "R47", needPaging, func(c *C) {
			c.fill(3, "", time.Hour)
			n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Value: "ann"})
			c.is(err, model.ErrInvalid, "count with a label value and no label")
			if n != 0 {
				c.fail("a count with a label value and no label returned %d, want 0", n)
			}
		}),
		that("OfAnUndeclaredLabelIsInvalid", "R47", needLabels, func(c *C) {
			_, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "undeclared", Value: "x"})
			c.is(err, model.ErrInvalid, "count by an undeclared label")
		}),
	)
}
