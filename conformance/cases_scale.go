package conformance

import (
	"fmt"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// scaled is how many records a case of this group stores. A backend that keeps
// them in parts has some in each, with several levels of what orders them.
const scaled = 300

// scattered stores records whose expiries do not follow the order of their
// creation: one each minute from now on. A third of them bear a label. It
// returns the records by the minute in which they expire, from one.
func (c *C) scattered() map[int]model.Record {
	c.Helper()
	out := map[int]model.Record{}
	var ops []driver.BatchOp
	for i := range scaled {
		minute := i*7%scaled + 1 // 7 does not divide 300, so each minute comes once
		r := c.rec(fmt.Sprintf("r%04d", i), fmt.Sprint(i), time.Duration(minute)*time.Minute)
		if minute%3 == 0 && c.has(driver.FeatureLabels) {
			r = c.labelled(r.ID, fmt.Sprint(i), "ann", time.Duration(minute)*time.Minute)
		}
		out[minute] = r
		ops = append(ops, writing(r, driver.IfAbsent, model.Record{}))
	}
	c.batch(ops, make([]error, len(ops)))
	return out
}

// removeEach deletes every nth record.
func (c *C) removeEach(nth int, records map[int]model.Record) {
	c.Helper()
	var ops []driver.BatchOp
	for minute, r := range records {
		if minute%nth == 0 {
			ops = append(ops, removing(r.ID, driver.IfPresent, model.Record{}))
			delete(records, minute)
		}
	}
	c.batch(ops, make([]error, len(ops)))
}

func scaleCases() []Case {
	return group("Scale",
		that("CountLeavesOutEachExpiredRecord", "R77 R2", needLabels, func(c *C) {
			records, begin := c.scattered(), c.now
			count := func(label, value string, every int) {
				c.Helper()
				got, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: label, Value: value})
				c.ok(err, "count")
				want := 0
				for minute := range records {
					if minute%every == 0 && begin.Add(time.Duration(minute)*time.Minute).After(c.now) {
						want++
					}
				}
				if got != want {
					c.fail("Count returned %d under %q after %v, want %d: no sweep has run, and %d records have expired", got, value, c.now.Sub(begin), want, len(records)-want)
				}
			}
			for _, part := range []int{0, 1, 40, 59} { // so 0, 1, 41 and 100 minutes
				c.advance(time.Duration(part) * time.Minute)
				count("", "", 1)
				count("principal", "ann", 3)
			}
			live := map[int]model.Record{}
			for minute, r := range records {
				if minute > 100 {
					live[minute] = r
				}
			}
			before := len(live)
			c.removeEach(5, live)
			for minute := range records {
				if _, ok := live[minute]; minute > 100 && !ok {
					delete(records, minute)
				}
			}
			if before-len(live) != 40 {
				c.fail("the case deleted %d records, want 40", before-len(live))
			}
			for _, part := range []int{0, 50, 149} {
				c.advance(time.Duration(part) * time.Minute)
				count("", "", 1)
				count("principal", "ann", 3)
			}
		}),
		that("SweepFindsEachExpiredRecordAmongDeletes", "R50", needSweep, func(c *C) {
			records, begin := c.scattered(), c.now
			c.removeEach(4, records)
			for _, part := range []int{10, 90, 100, 100} {
				c.advance(time.Duration(part) * time.Minute)
				want := 0
				for minute := range records {
					if minute <= int(c.now.Sub(begin)/time.Minute) {
						want++
						delete(records, minute)
					}
				}
				if got := c.sweep(scaled); got != want {
					c.fail("the sweep after %v removed %d records, want %d", c.now.Sub(begin), got, want)
				}
			}
		}),
		that("SweepFollowsEveryChangeOfAnExpiry", "R50 R30", needSweep, func(c *C) {
			records := c.scattered()
			// The first 60 come last, and the last 60 first.
			for minute, r := range records {
				var to int
				switch {
				case minute <= 60:
					to = minute + scaled
				case minute > scaled-60:
					to = minute - scaled + 60
				default:
					continue
				}
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: c.in(time.Duration(to) * time.Minute)})
				c.ok(err, "touch")
			}
			for i, want := range []int{60, 60, 60, 60, 0, 60} {
				c.advance(time.Hour)
				if got := c.sweep(scaled); got != want {
					c.fail("the sweep after %d hours removed %d records, want %d", i+1, got, want)
				}
			}
		}),
		that("CountLeavesOutWhatASweepAnnounces", "R77 R53", needPaging|needSweep, func(c *C) {
			records, begin := c.scattered(), c.now
			c.advance(100 * time.Minute)
			count := func(now time.Time, want int, what string) {
				c.Helper()
				got, err := driver.Count(c.ctx(), c.b, now, driver.Query{})
				c.ok(err, "count from OnExpire")
				if got != want {
					c.fail("Count from OnExpire returned %d %s, want %d: what is announced is as live or expired as before", got, what, want)
				}
			}
			announced := 0
			n := c.sweepAnnounced(scaled, func(r model.Record) error {
				if announced++; announced == 1 { // nothing is removed yet
					count(begin, len(records), "by an earlier clock")
					c.ok(c.b.Delete(c.ctx(), begin, driver.Delete{ID: r.ID, Cond: driver.IfPresent}), "delete from OnExpire by an earlier clock")
					count(begin, len(records)-1, "by an earlier clock after a delete")
				}
				if announced%10 == 1 {
					count(c.now, len(records)-100, "by the sweep's clock")
				}
				return nil
			})
			if n != 99 {
				c.fail("the sweep removed %d records, want 99 and one that was deleted before", n)
			}
		}),
		that("AnnouncingSweepKeepsToItsLimit", "R51", needSweep, func(c *C) {
			c.scattered()
			c.advance(scaled * time.Minute)
			left := scaled
			for range 10 {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 1, OnExpire: func(model.Record) error { return nil }})
				c.ok(err, "sweep")
				if s.Removed != 1 || !s.More {
					c.fail("the sweep returned %+v, want one removed and more", s)
				}
				left--
			}
			if n := c.sweepAnnounced(scaled, func(model.Record) error { return nil }); n != left {
				c.fail("the last sweep removed %d records, want %d", n, left)
			}
		}),
		that("LabelThatComesBackListsItsBearers", "R46 R42", needLabels, func(c *C) {
			c.relabelled(nil)
		}),
		that("LabelBesideOneThatStaysListsItsBearers", "R46", needTwo, func(c *C) {
			c.relabelled(map[string]string{"state": "open"})
		}),
	)
}

// relabelled gives every third record another label value, and then its first
// one again. Each bears the other labels too. After each step it checks the
// listings of all values.
func (c *C) relabelled(others map[string]string) {
	c.Helper()
	const n = 120
	ids := make([]string, n)
	value := func(i, round int) string {
		if round == 1 && i%3 == 0 {
			return "bob"
		}
		return "ann"
	}
	for round := range 3 {
		var ops []driver.BatchOp
		for i := range ids {
			ids[i] = fmt.Sprintf("r%04d", i)
			if round > 0 && i%3 != 0 {
				continue
			}
			r := c.labelled(ids[i], fmt.Sprint(round), value(i, round), time.Hour)
			maps.Copy(r.Labels, others)
			ops = append(ops, writing(r, driver.IfAny, model.Record{}))
		}
		c.batch(ops, make([]error, len(ops)))
		for _, principal := range []string{"ann", "bob"} {
			var want []string
			for i, id := range ids {
				if value(i, round) == principal {
					want = append(want, id)
				}
			}
			c.bear(principal, want...)
		}
		for name, v := range others {
			c.lists(driver.Query{Label: name, Value: v}, ids...)
		}
	}
}
