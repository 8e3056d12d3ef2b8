package conformance

import (
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func updateCases() []Case {
	return group("Update",
		that("ReplacesTheValue", "R18", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			r := c.rec("a", "2", time.Hour)
			_, err := c.write(r, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.holds(r)
		}),
		that("OfAnUnknownIDIsNotFound", "R18 R4", needNothing, func(c *C) {
			_, err := c.write(c.rec("a", "1", time.Hour), driver.IfPresent, model.Record{})
			c.is(err, model.ErrNotFound, "update")
			c.gone("a")
		}),
		that("OfADeletedRecordIsNotFound", "R18 R4", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			c.del("a")
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfPresent, model.Record{})
			c.is(err, model.ErrNotFound, "update")
			c.gone("a")
		}),
		that("OfAnExpiredRecordIsNotFound", "R18 R4 R2", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute)
			_, err := c.write(c.rec("a", "2", time.Hour), driver.IfPresent, model.Record{})
			c.is(err, model.ErrNotFound, "update")
			c.gone("a")
		}),
		that("KeepsTheExpiry", "R23", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			w := driver.Write{Record: c.rec("a", "2", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}}
			w.Record.ExpiresAt = c.in(5 * time.Hour)
			head, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "update")
			w.Record.ExpiresAt = old.ExpiresAt
			c.sameHead(head, w.Record)
			c.holds(w.Record)
			c.advance(time.Hour)
			c.gone("a")
		}),
		that("KeepsAMissingExpiry", "R23", needNothing, func(c *C) {
			c.put(c.rec("a", "1", 0))
			w := driver.Write{Record: c.rec("a", "2", time.Minute), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}}
			_, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "update")
			w.Record.ExpiresAt = time.Time{}
			c.advance(time.Hour)
			c.holds(w.Record)
		}),
		that("KeepsTheLabels", "R24", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			w := driver.Write{Record: c.labelled("a", "2", "bob", time.Hour), Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}}
			head, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "update")
			w.Record.Labels = map[string]string{"principal": "ann"}
			c.sameHead(head, w.Record)
			c.holds(w.Record)
			c.bear("ann", "a")
			c.bear("bob")
		}),
		that("ReplacesTheExpiryIfGiven", "R25", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			for _, life := range []time.Duration{time.Minute, 3 * time.Hour, 0} {
				r := c.rec("a", "2", life)
				_, err := c.write(r, driver.IfPresent, model.Record{})
				c.ok(err, "update")
				c.holds(r)
			}
			c.advance(1000 * time.Hour)
			c.get("a")
		}),
		that("ReplacesTheLabelsIfGiven", "R25 R46", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			r := c.labelled("a", "2", "bob", time.Hour)
			_, err := c.write(r, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.holds(r)
			c.bear("ann")
			c.bear("bob", "a")
		}),
		that("DropsTheLabelsIfNoneAreGiven", "R25 R46", needLabels, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Hour))
			r := c.rec("a", "2", time.Hour)
			_, err := c.write(r, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.holds(r)
			c.bear("ann")
		}),
		that("ByConcurrentWritersLeavesOneOfThem", "R1 R18", needNothing, func(c *C) {
			c.put(c.rec("a", "start", time.Hour))
			revs := map[model.Revision]bool{}
			recs := make([]model.Record, 16)
			for i := range recs {
				recs[i] = c.rec("a", "v"+string(rune('a'+i)), time.Hour)
				revs[recs[i].Revision] = true
			}
			for i, err := range c.concurrently(len(recs), func(i int) error {
				_, err := c.write(recs[i], driver.IfPresent, model.Record{})
				return err
			}) {
				c.ok(err, "update %d", i)
			}
			got := c.get("a")
			for _, r := range recs {
				if r.Revision == got.Revision {
					c.holds(r)
					return
				}
			}
			c.fail("the stored record is not one of those written")
		}),
		that("WithoutAConditionIsInvalid", "R29", needNothing, func(c *C) {
			_, err := c.write(c.rec("a", "1", time.Hour), 0, model.Record{})
			c.is(err, model.ErrInvalid, "write without a condition")
			_, err = c.write(c.rec("a", "1", time.Hour), 99, model.Record{})
			c.is(err, model.ErrInvalid, "write with an unknown condition")
			c.gone("a")
		}),
		that("OverAnotherEncodingIsCorrupt", "R99 R28", needNothing, func(c *C) {
			r := c.labelled("a", "1", "ann", time.Hour)
			r.Encoding = "gob"
			c.put(r)
			next := c.labelled("a", "2", "bob", 2*time.Hour)
			for _, w := range []driver.Write{
				{Cond: driver.IfPresent},
				{Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}},
				{Cond: driver.IfMatch, Known: model.Record{Revision: r.Revision}},
				{Cond: driver.IfMatch, Known: r},
			} {
				w.Record, w.Encodings = next.Clone(), []string{"json", "sealed", "go", "gobs"}
				_, err := c.b.Write(c.ctx(), c.now, w)
				c.is(err, model.ErrCorrupt, "update over gob")
				batch := w
				err = driver.WriteMany(c.ctx(), c.b, c.now, []driver.BatchOp{{Write: &batch}})[0].Err
				c.is(err, model.ErrCorrupt, "update over gob in a batch")
				c.holds(r)
				c.bear("ann", "a")
			}
			w := driver.Write{Record: next, Cond: driver.IfPresent, Encodings: []string{"json", "gob"}}
			_, err := c.b.Write(c.ctx(), c.now, w)
			c.ok(err, "update over one of the encodings")
			c.holds(next)
			missing := driver.Write{Record: c.rec("b", "1", time.Hour), Cond: driver.IfPresent, Encodings: []string{"json"}}
			_, err = c.b.Write(c.ctx(), c.now, missing)
			c.is(err, model.ErrNotFound, "update of an unknown id")
		}),
		that("OfAStoreWithAnotherCodecIsCorrupt", "R99 R64", needNothing, func(c *C) {
			gob := storeOf[doc](c, &expiry.StoreOptions{Codec: expiry.Gob()})
			it, err := gob.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			json := storeOf[doc](c, nil)
			_, get := json.Get(c.ctx(), "a")
			_, update := json.Update(c.ctx(), "a", doc{N: 2}, nil)
			_, match := json.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{IfMatch: expiry.AtRevision(it.Revision)})
			_, mutate := json.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
			res, err := json.Bulk(c.ctx(), []expiry.Op[doc]{{Kind: expiry.OpUpdate, ID: "a"}})
			c.ok(err, "bulk")
			for verb, err := range map[string]error{"Get": get, "Update": update, "Update at the revision": match, "Mutate": mutate, "Bulk": res.Results[0].Err} {
				c.is(err, model.ErrCorrupt, "%s by a store of another codec", verb)
			}
			got, err := gob.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value.N != 1 || got.Revision != it.Revision {
				c.fail("the record became %v, want it unchanged", got.Value)
			}
		}),
		that("ToNothingLeavesNothingOfBefore", "R25 R22 R13", needLabels, func(c *C) {
			// No value, no label, no expiry and another encoding, also over a record that
			// has expired.
			for i, cond := range []driver.Condition{driver.IfPresent, driver.IfMatch, driver.IfAny, driver.IfAbsent, driver.IfAny} {
				r := c.labelled(fmt.Sprint("id", i), "value", "ann", time.Minute)
				r.Encoding = "before"
				cur := c.put(r)
				if expired := i > 2; expired {
					c.advance(time.Minute)
				}
				next := c.rec(r.ID, "", 0)
				next.Encoding = "after"
				head, err := c.write(next.Clone(), cond, cur)
				c.ok(err, "write of nothing under %v", cond)
				c.sameHead(head, next)
				c.holds(next)
				c.bear("ann")
			}
		}),
	)
}
