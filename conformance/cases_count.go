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
			c.fail("counted %d of %q, want %d", n, value, want)
		}
	}
	return group("Count",
		thatPages("OfLiveRecords", "R77", func(c *C) {
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
		thatLabels("ByLabel", "R77", func(c *C) {
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
		thatLabels("FollowsEveryWrite", "R77 R46", func(c *C) {
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
		thatLabels("OverAnExpiredRecordMadeAnew", "R77 R17", func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Minute))
			c.advance(time.Minute)
			_, err := c.write(c.labelled("a", "2", "ann", time.Hour), driver.IfAbsent, model.Record{})
			c.ok(err, "create over an expired record")
			count(c, "principal", "ann", 1)
			count(c, "", "", 1)
		}),
		thatLabels("OfAnUndeclaredLabelIsInvalid", "R47", func(c *C) {
			_, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "undeclared", Value: "x"})
			c.is(err, model.ErrInvalid, "count by an undeclared label")
		}),
	)
}
