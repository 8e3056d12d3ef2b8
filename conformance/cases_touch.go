package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// touch touches the record and stops the case unless the result is the record
// with the wanted expiry. It returns the record with that expiry.
func (c *C) touch(r model.Record, mode driver.TouchMode, at, want time.Time) model.Record {
	c.Helper()
	head, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: mode, ExpiresAt: at, Known: r})
	c.ok(err, "touch")
	r.ExpiresAt = want
	c.sameHead(head, r)
	if head.Value != nil {
		c.fail("the result has the value %q, want none", head.Value)
	}
	return r
}

func touchCases() []Case {
	return group("Touch",
		that("SetsALaterExpiry", "R30 R34 R36", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			r = c.touch(r, driver.TouchSet, c.in(2*time.Hour), c.in(2*time.Hour))
			c.holds(r)
			c.advance(2*time.Hour - time.Millisecond)
			c.holds(r)
			c.advance(time.Millisecond)
			c.gone("a")
		}),
		that("SetsAnEarlierExpiry", "R30", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			c.holds(c.touch(r, driver.TouchSet, c.in(time.Minute), c.in(time.Minute)))
			c.advance(time.Minute)
			c.gone("a")
		}),
		that("SetsAFirstExpiry", "R30", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", 0))
			c.holds(c.touch(r, driver.TouchSet, c.in(time.Minute), c.in(time.Minute)))
			c.advance(time.Minute)
			c.gone("a")
		}),
		that("SetsTheSameExpiryAgain", "R30", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			c.holds(c.touch(r, driver.TouchSet, r.ExpiresAt, r.ExpiresAt))
		}),
		that("ExtendsToALaterTime", "R31", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			c.holds(c.touch(r, driver.TouchExtend, c.in(2*time.Hour), c.in(2*time.Hour)))
		}),
		that("ExtendToAnEarlierTimeChangesNothing", "R31", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			c.holds(c.touch(r, driver.TouchExtend, c.in(time.Minute), r.ExpiresAt))
			c.advance(time.Minute)
			c.holds(r)
		}),
		that("ExtendLeavesNeverAlone", "R32", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", 0))
			c.holds(c.touch(r, driver.TouchExtend, c.in(time.Hour), time.Time{}))
			c.advance(2 * time.Hour)
			c.holds(r)
		}),
		that("ClearsTheExpiry", "R33", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			r = c.touch(r, driver.TouchClear, time.Time{}, time.Time{})
			c.advance(1000 * time.Hour)
			c.holds(r)
		}),
		that("ClearsAMissingExpiry", "R33", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", 0))
			c.holds(c.touch(r, driver.TouchClear, time.Time{}, time.Time{}))
		}),
		that("NeedsNothingKnown", "R21 R30", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(2 * time.Hour)})
			c.ok(err, "touch by id alone")
			r.ExpiresAt = c.in(2 * time.Hour)
			c.holds(r)
		}),
		that("IsNotMisledByStaleKnown", "R21 R34", needNothing, func(c *C) {
			stale := c.put(c.rec("a", "1", time.Hour))
			cur := c.labelled("a", "2", "ann", time.Hour)
			_, err := c.write(cur, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			stale.Value = []byte("1")
			_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: c.in(2 * time.Hour), Known: stale})
			c.ok(err, "touch with a Known from before an update")
			cur.ExpiresAt = c.in(2 * time.Hour)
			c.holds(cur)
			c.bear("ann", "a")
		}),
		that("ByOneMillisecondMovesTheExpiry", "R30 R31 R36 R2", needNothing, func(c *C) {
			// A backend that leaves out small steps, to save writes, does not move it.
			const step = time.Millisecond
			moved := map[string]model.Record{}
			for id, t := range map[string]struct {
				mode driver.TouchMode
				by   time.Duration
			}{"earlier": {driver.TouchSet, -step}, "later": {driver.TouchSet, step}, "extended": {driver.TouchExtend, step}} {
				r := c.put(c.labelled(id, "1", "ann", time.Minute))
				moved[id] = c.touch(r, t.mode, r.ExpiresAt.Add(t.by), r.ExpiresAt.Add(t.by))
			}
			for _, at := range []time.Duration{0, time.Minute - 2*step, time.Minute - step, time.Minute, time.Minute + step} {
				c.now = moved["later"].ExpiresAt.Add(at - time.Minute - step)
				for id, r := range moved {
					if r.Expired(c.now) {
						c.gone(id)
					} else {
						c.holds(r)
					}
				}
			}
		}),
		that("OfAnUnknownIDIsNotFound", "R35 R4", needNothing, func(c *C) {
			for _, mode := range []driver.TouchMode{driver.TouchSet, driver.TouchExtend, driver.TouchClear} {
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: mode, ExpiresAt: c.in(time.Hour)})
				c.is(err, model.ErrNotFound, "touch in mode %d", mode)
			}
			c.gone("a")
		}),
		that("OfADeletedRecordIsNotFound", "R35 R4", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: c.in(time.Hour), Known: r})
			c.is(err, model.ErrNotFound, "touch with a Known from before the delete")
			c.gone("a")
		}),
		that("OfAnExpiredRecordIsNotFound", "R35 R4 R2", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute)
			for _, mode := range []driver.TouchMode{driver.TouchSet, driver.TouchExtend, driver.TouchClear} {
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: mode, ExpiresAt: c.in(time.Hour), Known: r})
				c.is(err, model.ErrNotFound, "touch in mode %d", mode)
			}
			c.gone("a")
		}),
		that("AtItsRevisionChangesTheExpiry", "R93 R30 R31 R33", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			for _, known := range []model.Record{r, {ID: "a", Revision: r.Revision}} {
				for _, t := range []driver.Touch{
					{Mode: driver.TouchSet, ExpiresAt: c.in(time.Minute)},
					{Mode: driver.TouchExtend, ExpiresAt: c.in(time.Second)},
					{Mode: driver.TouchExtend, ExpiresAt: c.in(time.Hour)},
					{Mode: driver.TouchClear},
					{Mode: driver.TouchExtend, ExpiresAt: c.in(time.Hour)},
				} {
					t.ID, t.Cond, t.Known = "a", driver.IfMatch, known
					r.ExpiresAt = t.Result(r.ExpiresAt)
					head, err := c.b.Touch(c.ctx(), c.now, t)
					c.ok(err, "touch at the revision")
					c.sameHead(head, r)
					c.holds(r)
				}
			}
			c.bear("ann", "a")
		}),
		that("AtAnotherRevisionIsAConflict", "R93 R28", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			cur := c.labelled("a", "2", "ann", time.Hour)
			_, err := c.write(cur, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			mixed := cur.Clone() // all but the revision is that of the stored record
			mixed.Revision = old.Revision
			for _, known := range []model.Record{old, mixed} {
				for _, t := range append(c.touches(2*time.Hour), c.touches(time.Minute)...) {
					t.ID, t.Cond, t.Known = "a", driver.IfMatch, known
					_, err := c.b.Touch(c.ctx(), c.now, t)
					c.is(err, model.ErrConflict, "touch at another revision in mode %d", t.Mode)
					c.holds(cur)
				}
			}
		}),
		that("AtARevisionOfNoLiveRecordIsNotFound", "R93 R4", needNothing, func(c *C) {
			deleted := c.put(c.rec("deleted", "1", time.Hour))
			c.del("deleted")
			expired := c.put(c.rec("expired", "1", time.Minute))
			c.advance(time.Minute)
			for _, known := range []model.Record{deleted, expired, c.rec("never", "1", time.Hour)} {
				for _, t := range c.touches(time.Hour) {
					t.ID, t.Cond, t.Known = known.ID, driver.IfMatch, known
					_, err := c.b.Touch(c.ctx(), c.now, t)
					c.is(err, model.ErrNotFound, "touch of the record %s at its revision, in mode %d", known.ID, t.Mode)
				}
				c.gone(known.ID)
			}
		}),
		that("AtNoRevisionIsInvalid", "R93 R61", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			for _, t := range []driver.Touch{
				{Cond: driver.IfMatch},
				{Cond: driver.IfMatch, Known: model.Record{ID: "a"}},
				{Cond: driver.IfAny, Known: r},
				{Cond: driver.IfAbsent, Known: r},
			} {
				t.ID, t.Mode, t.ExpiresAt = "a", driver.TouchSet, c.in(2*time.Hour)
				_, err := c.b.Touch(c.ctx(), c.now, t)
				c.is(err, model.ErrInvalid, "touch under the condition %v", t.Cond)
			}
			c.holds(r)
		}),
		that("AtItsRevisionAgainstAWriteNeverFollowsIt", "R93 R20", needNothing, func(c *C) {
			// A lease: its holder extends it at the revision that it wrote. The
			// holder never extends the lease of another one who took it over.
			for i := range 15 {
				id := fmt.Sprint("id", i)
				held := c.put(c.rec(id, "ann", time.Hour))
				taken := c.rec(id, "bob", time.Minute)
				c.concurrently(2, func(k int) error {
					if k == 0 {
						_, err := c.b.Write(c.ctx(), c.now, driver.Write{Record: taken.Clone(), Cond: driver.IfAny})
						return err
					}
					_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: c.in(3 * time.Hour), Cond: driver.IfMatch, Known: held})
					return err
				})
				c.holds(taken)
			}
		}),
		that("WithoutAModeIsInvalid", "R37", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", ExpiresAt: c.in(2 * time.Hour)})
			c.is(err, model.ErrInvalid, "touch without a mode")
			c.holds(r)
		}),
		that("BesideWritersLosesNeither", "R34", needNothing, func(c *C) {
			cur := c.put(c.rec("a", "0", time.Hour))
			for i := range 20 {
				next := c.rec("a", fmt.Sprint(i+1), 0)
				w := driver.Write{Record: next.Clone(), Cond: driver.IfMatch, Known: cur, Keep: driver.Keep{Expiry: true}}
				until := c.in(2*time.Hour + time.Duration(i)*time.Minute)
				touched, wrote := c.pair(i, func() error {
					_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: until, Known: cur})
					return err
				}, func() error {
					_, err := c.b.Write(c.ctx(), c.now, w)
					return err
				})
				c.ok(touched, "touch")
				c.ok(wrote, "compare-and-set: a touch keeps the revision")
				next.ExpiresAt = until
				c.holds(next)
				cur = next
			}
		}),
		that("OfManyAtOnceTheLatestStands", "R31", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			for i, err := range c.concurrently(24, func(i int) error {
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: c.in(time.Hour + time.Duration(i)*time.Minute), Known: r})
				return err
			}) {
				c.ok(err, "touch %d", i)
			}
			r.ExpiresAt = c.in(time.Hour + 23*time.Minute)
			c.holds(r)
		}),
		that("AgainstADeleteNeverRevives", "R4", needNothing, func(c *C) {
			for round := range 20 {
				r := c.put(c.rec("a", "0", time.Hour))
				deleted, touched := c.pair(round, func() error {
					return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent})
				}, func() error {
					_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: c.in(2 * time.Hour), Known: r})
					return err
				})
				c.ok(deleted, "delete of any revision")
				if touched != nil {
					c.is(touched, model.ErrNotFound, "touch after the delete")
				}
				c.gone("a")
			}
		}),
	)
}

// touches returns a touch of each mode, without an id.
func (c *C) touches(d time.Duration) []driver.Touch {
	return []driver.Touch{
		{Mode: driver.TouchSet, ExpiresAt: c.in(d)},
		{Mode: driver.TouchExtend, ExpiresAt: c.in(d)},
		{Mode: driver.TouchClear},
	}
}
