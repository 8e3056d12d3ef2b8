package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func knownWrittenCases() []Case {
	return group("Known",
		that("InTheRecordToWriteIsNotTheServers", "R26 R21", needNothing, func(c *C) {
			const invented = "invented"
			own := func(r model.Record, err error, what string) {
				c.Helper()
				c.ok(err, "%s", what)
				if r.ServerVersion == invented {
					c.fail("%s returned the server version of the record to write, want the server's own or none", what)
				}
			}
			cur := c.rec("a", "0", time.Hour)
			for i, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent, driver.IfMatch, driver.IfAny} {
				w := c.rec("a", string(rune('1'+i)), time.Hour)
				w.ServerVersion = invented
				got, err := c.write(w, cond, cur)
				own(got, err, "a write under "+cond.String())
				stored, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
				own(stored, err, "a get after it")
				cur = stored
			}
		}),
	)
}
