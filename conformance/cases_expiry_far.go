package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// farYears are beyond what 32 bits of seconds, 63 bits of nanoseconds, and 53
// bits of microseconds can tell.
var farYears = []int{2039, 2107, 2256, 2263, 2560, 9999}

func expiryFarCases() []Case {
	return group("Expiry",
		that("OfFarYearsHolds", "R2 R13", needNothing, func(c *C) {
			for _, r := range c.farRecords() {
				c.holds(r)
				c.now = r.ExpiresAt.Add(-time.Millisecond)
				c.holds(r)
				c.now = r.ExpiresAt
				c.gone(r.ID)
			}
		}),
		that("OfFarYearsIsSweptInItsTurn", "R50 R42", needSweep|needPaging, func(c *C) {
			recs := c.farRecords()
			all := make([]string, len(recs))
			for i, r := range recs {
				all[i] = r.ID
			}
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep removed %d records that expire in centuries, want none", n)
			}
			c.lists(driver.Query{}, all...)
			c.put(c.rec("touched", "v", time.Hour))
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "touched", Mode: driver.TouchSet, ExpiresAt: recs[len(recs)-1].ExpiresAt})
			c.ok(err, "touch")
			c.advance(time.Hour)
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep removed %d records after a touch to the year %d, want none", n, recs[len(recs)-1].ExpiresAt.Year())
			}
			for _, r := range recs {
				c.now = r.ExpiresAt
				want := 1
				if r.ID == recs[len(recs)-1].ID {
					want = 2
				}
				if n := c.sweep(10); n != want {
					c.fail("the sweep at %v removed %d records, want %d", r.ExpiresAt, n, want)
				}
			}
		}),
		that("IsNotByTheMachinesClock", "R2 R14", needNothing, func(c *C) {
			// The caller's clock is behind the machine's.
			c.now = time.Now().UTC().Truncate(time.Millisecond).Add(-time.Minute)
			r := c.put(c.labelled("a", "v", "ann", 30*time.Second))
			c.holds(r)
			if out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a")); out[0].Err != nil {
				c.ok(out[0].Err, "get among many, by a clock that is behind")
			}
			_, err := c.write(c.rec("a", "1", time.Hour), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrExists, "create by a clock that is behind")
			_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(40 * time.Second)})
			c.ok(err, "touch by a clock that is behind")
			if c.has(driver.FeatureLabels) && c.has(driver.FeaturePaging) {
				c.bear("ann", "a")
			}
			_, err = c.write(c.labelled("a", "2", "ann", 30*time.Second), driver.IfMatch, r)
			c.ok(err, "compare-and-set by a clock that is behind")
			c.del("a")
		}),
		that("IsTheSameInEveryTimeZone", "R2 R50", needLabels|needSweep, func(c *C) {
			// The clock may be in any zone: the instant counts.
			begin := c.now
			for i, hours := range []int{-11, 0, 14} {
				zone := time.FixedZone("", hours*3600+1800)
				in := func(d time.Duration) time.Time { return begin.Add(time.Duration(i)*time.Hour + d).In(zone) }
				id := fmt.Sprint("id", i)
				c.now = in(0)
				r := c.labelled(id, "v", id, 0)
				r.ExpiresAt = in(time.Minute).UTC()
				_, err := c.write(r.Clone(), driver.IfAbsent, model.Record{})
				c.ok(err, "create by a clock in the zone %v", c.now.Format("-07:00"))
				c.now = in(time.Minute - time.Millisecond)
				c.holds(r)
				c.bear(id, id)
				if n := c.sweep(5); n != 0 {
					c.fail("a sweep by a clock in the zone %v removed %d live records, want none", c.now.Format("-07:00"), n)
				}
				_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: in(2 * time.Minute).UTC()})
				c.ok(err, "touch by a clock in the zone %v", c.now.Format("-07:00"))
				c.now = in(2*time.Minute - time.Millisecond)
				r.ExpiresAt = in(2 * time.Minute).UTC()
				c.holds(r)
				c.now = in(2 * time.Minute)
				c.gone(id)
				c.bear(id)
				if n := c.sweep(5); n != 1 {
					c.fail("a sweep by a clock in the zone %v removed %d records, want 1 that has expired", c.now.Format("-07:00"), n)
				}
			}
		}),
	)
}

// farRecords stores a record for each of the far years that the backend's
// longest lifetime allows, in their order.
func (c *C) farRecords() []model.Record {
	c.Helper()
	var out []model.Record
	for _, year := range farYears {
		at := time.Date(year, 6, 15, 12, 30, 45, 678e6, time.UTC)
		if limit := c.b.Describe().MaxTTL; limit > 0 && at.Sub(c.now) > limit {
			at = c.in(limit - time.Duration(9999-year)*time.Millisecond)
		}
		r := c.rec(fmt.Sprint("in ", year), "v", 0)
		r.ExpiresAt = at
		out = append(out, c.put(r))
	}
	return out
}
