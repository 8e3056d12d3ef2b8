package conformance

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// sweep removes all records that have expired at the case's now, at most limit
// at a time, and returns their number.
func (c *C) sweep(limit int) int {
	c.Helper()
	return c.sweepAnnounced(limit, nil)
}

// sweepAnnounced is sweep with OnExpire.
func (c *C) sweepAnnounced(limit int, onExpire func(model.Record) error) int {
	c.Helper()
	n := 0
	for {
		s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: limit, OnExpire: onExpire})
		c.ok(err, "sweep")
		if s.Removed > limit {
			c.fail("the sweep removed %d records, want at most %d", s.Removed, limit)
		}
		n += s.Removed
		if !s.More {
			return n
		}
		if s.Removed == 0 {
			c.fail("the sweep removed nothing and reports more")
		}
	}
}

func sweepCases() []Case {
	return group("Sweep",
		that("OfNothingRemovesNothing", "R50", needSweep, func(c *C) {
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep of an empty store removed %d records", n)
			}
			c.fill(3, "ann", time.Hour)
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep removed %d live records", n)
			}
		}),
		that("RemovesOnlyExpiredRecords", "R50", needSweep, func(c *C) {
			c.fill(10, "ann", time.Minute)
			live := c.put(c.labelled("live", "1", "ann", time.Hour))
			ever := c.put(c.labelled("ever", "1", "ann", 0))
			c.advance(time.Minute)
			if n := c.sweep(100); n != 10 {
				c.fail("%d records were removed, want 10", n)
			}
			if n := c.sweep(100); n != 0 {
				c.fail("the second sweep removed %d records, want none", n)
			}
			c.holds(live)
			c.holds(ever)
			c.bear("ann", "live", "ever")
		}),
		that("RemovesPhysically", "R50", needSweep, func(c *C) {
			c.fill(5, "", time.Minute)
			earlier := c.now
			c.advance(time.Minute)
			if n := c.sweep(100); n != 5 {
				c.fail("%d records were removed, want 5", n)
			}
			// By the earlier clock, all records are live.
			_, err := c.b.Get(c.ctx(), earlier, driver.Get{ID: "r0000"})
			c.is(err, model.ErrNotFound, "get by a clock that stands before the expiry")
		}),
		that("IsExactToTheMillisecond", "R50 R2", needSweep, func(c *C) {
			c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute - time.Millisecond)
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep removed the record a millisecond early")
			}
			c.get("a")
			c.advance(time.Millisecond)
			if n := c.sweep(10); n != 1 {
				c.fail("the sweep at the expiry removed %d records, want 1", n)
			}
		}),
		that("KeepsToTheLimitAndReportsMore", "R51", needSweep, func(c *C) {
			c.fill(25, "", time.Minute)
			c.advance(time.Minute)
			total := 0
			for rounds := 0; ; rounds++ {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 10})
				c.ok(err, "sweep")
				if s.Removed > 10 {
					c.fail("the sweep removed %d records, want at most 10", s.Removed)
				}
				if total += s.Removed; !s.More {
					break
				}
				if rounds > 25 {
					c.fail("More is still true after %d sweeps", rounds)
				}
			}
			if total != 25 {
				c.fail("%d records were removed in all, want 25", total)
			}
		}),
		that("WithALimitBelowOneIsInvalid", "R91", needSweep, func(c *C) {
			c.fill(3, "", time.Minute)
			c.advance(time.Minute)
			for _, limit := range []int{0, -1, math.MinInt} {
				announced := false
				for _, onExpire := range []func(model.Record) error{nil, func(model.Record) error { announced = true; return nil }} {
					s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: limit, OnExpire: onExpire})
					c.is(err, model.ErrInvalid, "sweep with the limit %d", limit)
					if s != (driver.Swept{}) || announced {
						c.fail("the sweep with the limit %d returned %+v and announced %v, want zero counts and false", limit, s, announced)
					}
				}
			}
			if n := c.sweep(10); n != 3 {
				c.fail("the next sweep removed %d records, want all 3", n)
			}
		}),
		that("RemovesTwoThousand", "R50 R51", needSweep|needPaging, func(c *C) {
			errs := c.concurrently(16, func(who int) error {
				for i := range 128 {
					r := c.rec(fmt.Sprint("w", who, "-", i), "v", time.Duration(1+i)*time.Second)
					if _, err := c.write(r, driver.IfAbsent, model.Record{}); err != nil {
						return err
					}
				}
				return nil
			})
			for _, err := range errs {
				c.ok(err, "create")
			}
			c.advance(time.Hour)
			if n := c.sweep(300); n != 2048 {
				c.fail("%d records were removed, want 2048", n)
			}
			n, err := driver.Count(c.ctx(), c.b, c.now.Add(-time.Hour), driver.Query{Label: ""})
			c.ok(err, "count")
			if n != 0 {
				c.fail("%d records are still in the store", n)
			}
		}),
		that("FollowsATouch", "R50 R55", needSweep, func(c *C) {
			r := c.put(c.labelled("later", "1", "ann", time.Minute))
			c.put(c.rec("sooner", "1", 5*time.Hour))
			c.put(c.rec("cleared", "1", time.Minute))
			c.put(c.rec("set", "1", 0))
			c.touch(r, driver.TouchExtend, c.in(3*time.Hour), c.in(3*time.Hour))
			for id, at := range map[string]time.Time{"sooner": c.in(time.Minute), "set": c.in(time.Minute), "cleared": {}} {
				mode := driver.TouchSet
				if at.IsZero() {
					mode = driver.TouchClear
				}
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: mode, ExpiresAt: at})
				c.ok(err, "touch")
			}
			c.advance(time.Hour)
			if n := c.sweep(10); n != 2 {
				c.fail("%d records were removed, want the 2 whose lifetime a touch shortened", n)
			}
			c.get("later")
			c.get("cleared")
			c.advance(2 * time.Hour)
			if n := c.sweep(10); n != 1 {
				c.fail("%d records were removed, want the extended one", n)
			}
			c.bear("ann")
		}),
		that("FollowsAnUpdate", "R50 R55", needSweep, func(c *C) {
			c.put(c.rec("longer", "1", time.Minute))
			c.put(c.rec("shorter", "1", 5*time.Hour))
			_, err := c.write(c.rec("longer", "2", 5*time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			_, err = c.write(c.rec("shorter", "2", time.Minute), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.advance(time.Minute)
			if n := c.sweep(10); n != 1 {
				c.fail("%d records were removed, want 1", n)
			}
			c.get("longer")
		}),
		that("FollowsAnUpdateThatKeepsTheExpiry", "R50 R23", needSweep, func(c *C) {
			cur := c.put(c.labelled("match", "1", "ann", time.Minute))
			c.put(c.labelled("present", "1", "ann", time.Minute))
			c.put(c.labelled("labels", "1", "ann", time.Minute))
			for _, w := range []driver.Write{
				{Record: c.rec("match", "2", 0), Cond: driver.IfMatch, Known: cur, Keep: driver.Keep{Expiry: true, Labels: true}},
				{Record: c.rec("present", "2", time.Hour), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}},
				{Record: c.labelled("labels", "2", "bob", time.Hour), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}},
			} {
				_, err := c.b.Write(c.ctx(), c.now, w)
				c.ok(err, "update of %q that keeps the expiry", w.Record.ID)
			}
			c.advance(time.Minute - time.Millisecond)
			if n := c.sweep(10); n != 0 {
				c.fail("%d records were removed before they expired", n)
			}
			c.advance(time.Millisecond)
			if n := c.sweep(10); n != 3 {
				c.fail("%d records were removed, want the 3 whose updates kept the expiry", n)
			}
		}),
		that("FollowsATouchByOneMillisecond", "R50 R30 R31", needSweep, func(c *C) {
			const step = time.Millisecond
			for id, t := range map[string]struct {
				mode driver.TouchMode
				by   time.Duration
			}{"earlier": {driver.TouchSet, -step}, "later": {driver.TouchSet, step}, "extended": {driver.TouchExtend, step}} {
				r := c.put(c.labelled(id, "1", "ann", time.Minute))
				c.touch(r, t.mode, r.ExpiresAt.Add(t.by), r.ExpiresAt.Add(t.by))
			}
			c.advance(time.Minute - 2*step)
			for i, want := range []int{0, 1, 0, 2} {
				if n := c.sweep(10); n != want {
					c.fail("the sweep in the millisecond %d after the first removed %d records, want %d: one was touched to expire a millisecond earlier, two a millisecond later", i, n, want)
				}
				c.advance(step)
			}
		}),
		that("FollowsAnUpdateWithTheSameLabels", "R50 R25", needSweep, func(c *C) {
			longer := c.put(c.labelled("longer", "1", "ann", time.Minute))
			c.put(c.labelled("shorter", "1", "ann", 5*time.Hour))
			c.put(c.labelled("never", "1", "ann", time.Minute))
			c.put(c.labelled("upserted", "1", "ann", 5*time.Hour))
			for _, w := range []driver.Write{
				{Record: c.labelled("longer", "2", "ann", 5*time.Hour), Cond: driver.IfMatch, Known: longer},
				{Record: c.labelled("shorter", "2", "ann", time.Minute), Cond: driver.IfPresent},
				{Record: c.labelled("never", "2", "ann", 0), Cond: driver.IfPresent},
				{Record: c.labelled("upserted", "2", "ann", time.Minute), Cond: driver.IfAny},
			} {
				_, err := c.b.Write(c.ctx(), c.now, w)
				c.ok(err, "write of %q with the same labels and another expiry", w.Record.ID)
			}
			c.advance(time.Minute)
			if n := c.sweep(10); n != 2 {
				c.fail("%d records were removed, want the 2 whose lifetime a write shortened", n)
			}
			c.get("longer")
			c.get("never")
			c.advance(5 * time.Hour)
			if n := c.sweep(10); n != 1 {
				c.fail("%d records were removed, want the one whose lifetime a write extended", n)
			}
		}),
		that("SparesARecreatedRecord", "R55 R17", needSweep, func(c *C) {
			c.put(c.labelled("a", "old", "ann", time.Minute))
			c.advance(time.Minute)
			r := c.labelled("a", "new", "bob", time.Hour)
			_, err := c.write(r, driver.IfAbsent, model.Record{})
			c.ok(err, "create over an expired record")
			if n := c.sweep(10); n != 0 {
				c.fail("%d records were removed, but the only one is live", n)
			}
			c.holds(r)
			c.bear("bob", "a")
			c.advance(time.Hour)
			if n := c.sweep(10); n != 1 {
				c.fail("%d records were removed, want 1", n)
			}
		}),
		that("CountsNoDeletedRecord", "R52", needSweep, func(c *C) {
			c.put(c.rec("a", "1", time.Minute))
			c.del("a")
			c.advance(time.Minute)
			if n := c.sweep(10); n != 0 {
				c.fail("%d records were removed, but the only one was deleted before", n)
			}
		}),
		that("AnnouncesEachRecordBefore", "R53", needSweep, func(c *C) {
			want := map[string]model.Record{}
			for i := range 12 {
				r := c.labelled(fmt.Sprint("id", i), "v", fmt.Sprint("p", i%3), time.Duration(i+1)*time.Second)
				want[r.ID] = c.put(r)
			}
			c.put(c.rec("live", "v", time.Hour))
			earlier := c.now
			c.advance(time.Minute)
			seen := map[string]int{}
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100, OnExpire: func(r model.Record) error {
				w, ok := want[r.ID]
				if !ok {
					c.Errorf("%s\n  the live record %q was announced", c.describe(), r.ID)
					return nil
				}
				seen[r.ID]++
				w.Encoding, r.Encoding = "", ""
				c.sameHead(r, w)
				return nil
			}})
			c.ok(err, "sweep")
			if s.Removed != 12 || len(seen) != 12 {
				c.fail("%d records were removed and %d announced, want 12", s.Removed, len(seen))
			}
			_, err = c.b.Get(c.ctx(), earlier, driver.Get{ID: "id0"})
			c.is(err, model.ErrNotFound, "get after the sweep")
		}),
		that("LeavesRefusedRecords", "R54", needSweep, func(c *C) {
			c.fill(10, "", time.Minute)
			c.advance(time.Minute)
			refuse := errors.New("refused")
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100, OnExpire: func(r model.Record) error {
				if r.ID == "r0003" || r.ID == "r0007" {
					return refuse
				}
				return nil
			}})
			c.ok(err, "sweep with refusals")
			if s.Removed != 8 {
				c.fail("%d records were removed, want 8", s.Removed)
			}
			again := map[string]bool{}
			s, err = c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100, OnExpire: func(r model.Record) error {
				again[r.ID] = true
				return nil
			}})
			c.ok(err, "second sweep")
			if s.Removed != 2 || !again["r0003"] || !again["r0007"] {
				c.fail("%d records were removed and %v announced, want the two that were refused", s.Removed, again)
			}
		}),
		that("LeavesNoTraceInTheIndexes", "R50 R46", needSweep|needLabels, func(c *C) {
			for i := range 6 {
				c.put(c.labelled(fmt.Sprint("id", i), "v", "ann", time.Minute))
				_, err := c.write(c.labelled(fmt.Sprint("id", i), "v", "bob", time.Duration(i+2)*time.Minute), driver.IfPresent, model.Record{})
				c.ok(err, "update")
			}
			earlier := c.now
			c.advance(time.Hour)
			if n := c.sweep(100); n != 6 {
				c.fail("%d records were removed, want 6", n)
			}
			for _, p := range []string{"ann", "bob"} {
				n, err := driver.Count(c.ctx(), c.b, earlier, driver.Query{Label: "principal", Value: p})
				c.ok(err, "count")
				if n != 0 {
					c.fail("Count by an earlier clock returned %d for %q, want 0", n, p)
				}
			}
		}),
	)
}
