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
		that("FollowsChangesWhileASweepAnnounces", "R77 R55 R53", needLabels|needSweep, func(c *C) {
			// Each of the first records is changed while it is announced, by a clock
			// for which it is live. The sweep's clock is an hour ahead.
			const due = 14
			begin, ahead := c.now, c.in(time.Hour)
			c.fill(due, "ann", time.Minute)
			c.put(c.labelled("live", "v", "ann", 2*time.Hour))
			live, all, bearers, changes := 1, due+1, 1, 0
			counts := func(now time.Time, label, value string, want int, what string) {
				c.Helper()
				n, err := driver.Count(c.ctx(), c.b, now, driver.Query{Label: label, Value: value})
				c.ok(err, "count from OnExpire")
				if n != want {
					c.fail("Count from OnExpire returned %d under %q after %s, want %d", n, value, what, want)
				}
			}
			write := func(r model.Record, principal string, until time.Time) {
				next := c.labelled(r.ID, "w", principal, 0)
				next.ExpiresAt = until
				_, err := c.write(next, driver.IfPresent, model.Record{})
				c.ok(err, "update from OnExpire")
			}
			changed := map[string]bool{}
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: ahead, Limit: 100, OnExpire: func(r model.Record) error {
				if changed[r.ID] {
					return errStays
				}
				if len(changed) == 7 {
					return nil
				}
				changed[r.ID] = true
				what := ""
				touch := driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: ahead.Add(-time.Minute)}
				switch changes++; changes {
				case 1:
					what = "it was refused"
				case 2:
					what = "it was touched to expire later, but not after the sweep's time"
				case 3:
					what = "it was extended past the sweep's time"
					touch.Mode, touch.ExpiresAt = driver.TouchExtend, ahead.Add(time.Hour)
					live, bearers = live+1, bearers+1
				case 4:
					what = "its expiry was cleared"
					touch.Mode = driver.TouchClear
					live, bearers = live+1, bearers+1
				case 5:
					what = "it was deleted"
					c.del(r.ID)
					all--
				case 6:
					what = "it was written with the same expiry"
					write(r, "ann", r.ExpiresAt)
				case 7:
					what = "it was written to live on under another label"
					write(r, "bob", ahead.Add(time.Hour))
					live++
				}
				if changes >= 2 && changes <= 4 {
					_, err := c.b.Touch(c.ctx(), c.now, touch)
					c.ok(err, "touch from OnExpire")
				}
				counts(ahead, "", "", live, what)
				counts(ahead, "principal", "ann", bearers, what)
				counts(begin, "", "", all, what+", by the earlier clock")
				return errStays
			}})
			c.ok(err, "sweep")
			if s.Removed != due-7 {
				c.fail("the sweep removed %d records, want %d: the others were refused or changed", s.Removed, due-7)
			}
			c.now = ahead
			count(c, "", "", live)
			count(c, "principal", "ann", bearers)
			count(c, "principal", "bob", 1)
			if n := c.sweep(100); n != 3 {
				c.fail("the next sweep removed %d records, want the 3 that were refused and expire before it", n)
			}
			count(c, "", "", live)
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
