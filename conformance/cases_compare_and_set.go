package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func compareAndSetCases() []Case {
	return group("CompareAndSet",
		that("ReplacesAtTheRevision", "R19", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			r := c.rec("a", "2", time.Hour)
			_, err := c.write(r, driver.IfMatch, old)
			c.ok(err, "compare-and-set")
			c.holds(r)
		}),
		that("AtAnotherRevisionIsAConflict", "R19 R28", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			cur := c.labelled("a", "2", "ann", time.Hour)
			_, err := c.write(cur, driver.IfMatch, old)
			c.ok(err, "compare-and-set")
			_, err = c.write(c.labelled("a", "3", "bob", 2*time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at an old revision")
			c.holds(cur)
			c.bear("ann", "a")
		}),
		that("ConflictNamesTheWinner", "R27", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			cur := c.rec("a", "2", 2*time.Hour)
			_, err := c.write(cur, driver.IfMatch, old)
			c.ok(err, "compare-and-set")
			winner, err := c.write(c.rec("a", "3", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at an old revision")
			c.sameHead(winner, cur)
			if winner.Value != nil && string(winner.Value) != "2" {
				c.fail("the winner has the value %q, want none or 2", winner.Value)
			}
		}),
		that("OfAnUnknownIDIsNotFound", "R19 R4", needNothing, func(c *C) {
			_, err := c.write(c.rec("a", "1", time.Hour), driver.IfMatch, c.rec("a", "0", time.Hour))
			c.is(err, model.ErrNotFound, "compare-and-set")
			c.gone("a")
		}),
		that("OfADeletedRecordIsNotFound", "R19 R4", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrNotFound, "compare-and-set")
			c.gone("a")
		}),
		that("OfAnExpiredRecordIsNotFound", "R19 R4 R2", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute)
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrNotFound, "compare-and-set")
			c.gone("a")
		}),
		that("OfARecreatedRecordIsAConflict", "R19 R66", needNothing, func(c *C) {
			old := c.put(c.rec("a", "same", time.Hour))
			c.del("a")
			cur := c.put(c.rec("a", "same", time.Hour))
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at a revision from before the delete")
			c.holds(cur)
		}),
		that("NeedsTheRevisionAlone", "R21", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			w := driver.Write{Record: c.rec("a", "2", 0), Cond: driver.IfMatch, Known: model.Record{Revision: old.Revision}, Keep: driver.Keep{Expiry: true, Labels: true}}
			_, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "compare-and-set with nothing but the revision")
			w.Record.ExpiresAt, w.Record.Labels = old.ExpiresAt, old.Labels
			c.holds(w.Record)
		}),
		that("IsNotMisledByStaleKnown", "R21 R23 R24", needNothing, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			stale := c.get("a")
			_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(3 * time.Hour)})
			c.ok(err, "touch")
			w := driver.Write{Record: c.rec("a", "2", 0), Cond: driver.IfMatch, Known: stale, Keep: driver.Keep{Expiry: true, Labels: true}}
			_, err = c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "compare-and-set with a stale Known from before a touch")
			w.Record.ExpiresAt, w.Record.Labels = c.in(3*time.Hour), stale.Labels
			c.holds(w.Record)
		}),
		that("OfAnExpiredRecordIsNotFoundAtAnyRevision", "R19 R39 R93", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute)
			for what, known := range map[string]model.Record{"its revision": old, "another revision": c.rec("a", "", 0)} {
				_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, known)
				c.is(err, model.ErrNotFound, "compare-and-set of an expired record at %s", what)
				c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: known}), model.ErrNotFound, "delete of an expired record at %s", what)
				_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchClear, Cond: driver.IfMatch, Known: known})
				c.is(err, model.ErrNotFound, "touch of an expired record at %s", what)
				op := writing(c.rec("a", "2", time.Hour), driver.IfMatch, known)
				c.is(driver.WriteMany(c.ctx(), c.b, c.now, []driver.BatchOp{op})[0].Err, model.ErrNotFound, "compare-and-set in a batch of an expired record at %s", what)
			}
		}),
		that("IsNotMisledByForeignKnown", "R21 R23 R24", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			known := model.Record{
				ID: "b", Revision: old.Revision, ServerVersion: "nonsense", ExpiresAt: c.in(time.Minute),
				Labels: map[string]string{"principal": "bob"}, Value: []byte("x"), Encoding: "gob",
			}
			w := driver.Write{Record: c.rec("a", "2", 0), Cond: driver.IfMatch, Known: known, Keep: driver.Keep{Expiry: true, Labels: true}}
			_, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "compare-and-set with a Known of which only the revision is right")
			w.Record.ExpiresAt, w.Record.Labels = old.ExpiresAt, old.Labels
			c.holds(w.Record)
			c.bear("ann", "a")
		}),
		that("WithTheRightServerVersionAndTheWrongRevisionIsAConflict", "R21", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			old.Revision = model.NewRevision()
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at another revision with the stored server version")
			if v := c.get("a").Value; string(v) != "1" {
				c.fail("the value is %q, want 1", v)
			}
		}),
		that("ThatFailsLeavesTheIndexesAlone", "R28 R46 R50", needSweep, func(c *C) {
			// Each of these writes would move the label and shorten the lifetime.
			cur := c.put(c.labelled("a", "1", "ann", time.Hour))
			other := cur
			other.Revision = model.NewRevision()
			next := func() model.Record { return c.labelled("a", "2", "bob", time.Minute) }
			_, err := c.write(next(), driver.IfMatch, other)
			c.is(err, model.ErrConflict, "compare-and-set at another revision")
			_, err = c.write(next(), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrExists, "create")
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: other}), model.ErrConflict, "delete at another revision")
			missing := next()
			missing.ID = "nobody"
			_, err = c.write(missing, driver.IfPresent, model.Record{})
			c.is(err, model.ErrNotFound, "update of an unknown id")
			c.bear("ann", "a")
			c.bear("bob")
			c.advance(time.Minute)
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep removed %d records, want none", n)
			}
			c.holds(cur)
			c.advance(time.Hour)
			if n := c.sweep(10); n != 1 {
				c.fail("the sweep at the record's own expiry removed %d records, want 1", n)
			}
		}),
		that("AnswersWithoutTheValue", "R26", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			for _, cond := range []driver.Condition{driver.IfMatch, driver.IfPresent, driver.IfAny} {
				w := driver.Write{Record: c.labelled("a", "2", "bob", time.Minute), Cond: cond}
				want := w.Record
				if cond == driver.IfMatch {
					w.Known = old
				}
				if cond != driver.IfAny {
					w.Keep.Expiry, w.Keep.Labels = true, true
					want.ExpiresAt, want.Labels = old.ExpiresAt, old.Labels
				}
				head, err := c.b.Write(c.ctx(), c.now, w)
				c.ok(err, "write under %v", cond)
				c.sameHead(head, want)
				if head.Value != nil {
					c.fail("the result under %v has the value %q, want none", cond, head.Value)
				}
			}
		}),
		that("ConflictSharesNothingWithTheStore", "R3 R27", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			cur := c.labelled("a", "2", "ann", time.Hour)
			_, err := c.write(cur, driver.IfMatch, old)
			c.ok(err, "compare-and-set")
			winner, err := c.write(c.rec("a", "3", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at an old revision")
			overwrite(winner)
			c.holds(cur)
		}),
		that("WithoutARevisionIsInvalid", "R29", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, model.Record{})
			c.is(err, model.ErrInvalid, "compare-and-set without a revision")
			_, err = c.write(c.rec("b", "2", time.Hour), driver.IfMatch, model.Record{ServerVersion: "x"})
			c.is(err, model.ErrInvalid, "compare-and-set without a revision, of an unknown id")
			c.holds(r)
		}),
		that("OfManyAtOneRevisionOneWins", "R20", needNothing, func(c *C) {
			other := c.second()
			cur := c.put(c.rec("a", "0", time.Hour))
			for range 4 {
				recs := make([]model.Record, 16)
				for i := range recs {
					recs[i] = c.rec("a", "v", time.Hour)
				}
				won := -1
				for i, err := range c.concurrently(len(recs), func(i int) error {
					b := c.b
					if i%2 == 1 {
						b = other
					}
					_, err := b.Write(c.ctx(), c.now, driver.Write{Record: recs[i].Clone(), Cond: driver.IfMatch, Known: cur})
					return err
				}) {
					if err == nil && won >= 0 {
						c.fail("two compare-and-sets at one revision succeeded, want one")
					}
					if err == nil {
						won = i
						continue
					}
					c.is(err, model.ErrConflict, "a losing compare-and-set")
				}
				if won < 0 {
					c.fail("no compare-and-set succeeded, want one")
				}
				c.holds(recs[won])
				cur = c.get("a")
			}
		}),
		that("AgainstADeleteNeverRevives", "R4 R20", needNothing, func(c *C) {
			for round := range 20 {
				cur := c.put(c.rec("a", "0", time.Hour))
				deleted, wrote := c.pair(round, func() error {
					return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent})
				}, func() error {
					_, err := c.write(c.rec("a", "1", time.Hour), driver.IfMatch, cur)
					return err
				})
				c.ok(deleted, "delete of any revision")
				if wrote != nil {
					c.is(wrote, model.ErrNotFound, "compare-and-set after the delete")
				}
				c.gone("a")
			}
		}),
	)
}
