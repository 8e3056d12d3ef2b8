package conformance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func expiryCases() []Case {
	return group("Expiry",
		that("LivesToTheLastMillisecond", "R2", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute - time.Millisecond)
			c.holds(r)
			next := c.rec("a", "2", 0)
			next.ExpiresAt = r.ExpiresAt
			_, err := c.write(next, driver.IfMatch, r)
			c.ok(err, "compare-and-set in the last millisecond")
			c.holds(next)
		}),
		that("IsGoneFromTheInstant", "R2", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Minute))
			c.advance(time.Minute)
			c.gone("a")
			c.advance(time.Hour)
			c.gone("a")
		}),
		that("OfOneMillisecond", "R2", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Millisecond))
			c.holds(r)
			c.advance(time.Millisecond)
			c.gone("a")
		}),
		that("OfDecades", "R2 R13", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", 80*365*24*time.Hour))
			c.holds(r)
			c.advance(80*365*24*time.Hour - time.Millisecond)
			c.holds(r)
			c.advance(time.Millisecond)
			c.gone("a")
		}),
		that("KeepsTheMillisecond", "R13", needNothing, func(c *C) {
			for i := range 10 {
				c.holds(c.put(c.rec(fmt.Sprint(i), "1", time.Hour+time.Duration(i*111)*time.Millisecond)))
			}
		}),
		that("IsByTheCallersClock", "R2", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Minute))
			fast := c.in(time.Hour)
			_, err := c.b.Get(c.ctx(), fast, driver.Get{ID: "a"})
			c.is(err, model.ErrNotFound, "get by a fast clock")
			c.get("a")
		}),
		that("ShortenedByAnUpdateHolds", "R25 R2", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Hour))
			_, err := c.write(c.rec("a", "2", time.Second), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.advance(time.Second)
			c.gone("a")
		}),
		that("LengthenedByAnUpdateHolds", "R25 R2", needNothing, func(c *C) {
			c.put(c.rec("a", "1", time.Second))
			r := c.rec("a", "2", time.Hour)
			_, err := c.write(r, driver.IfPresent, model.Record{})
			c.ok(err, "update")
			c.advance(time.Minute)
			c.holds(r)
		}),
		that("HidesFromListings", "R2 R42", needPaging, func(c *C) {
			c.put(c.labelled("a", "1", "ann", time.Minute))
			c.put(c.labelled("b", "1", "ann", time.Hour))
			c.put(c.labelled("c", "1", "ann", 0))
			c.advance(time.Minute - time.Millisecond)
			c.lists(driver.Query{}, "a", "b", "c")
			c.advance(time.Millisecond)
			c.lists(driver.Query{}, "b", "c")
			c.bear("ann", "b", "c")
		}),
		that("EveryCallSeesTheRecordInItsLastMillisecond", "R2 R77 R87", needLabels|needSweep, func(c *C) {
			put := func(id string) model.Record { return c.put(c.labelled(id, "0", "ann", time.Minute)) }
			for _, id := range []string{"get", "update", "touch", "delete", "upsert"} {
				put(id)
			}
			compared, taken := put("compare"), put("delete at")
			c.advance(time.Minute - time.Millisecond)
			c.get("get")
			if out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("get")); out[0].Err != nil {
				c.fail("GetMany: got %v, want the record", out[0].Err)
			}
			_, err := c.write(c.rec("get", "1", time.Hour), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrExists, "create")
			c.lists(driver.Query{}, "get", "update", "touch", "delete", "upsert", "compare", "delete at")
			c.bear("ann", "get", "update", "touch", "delete", "upsert", "compare", "delete at")
			for _, label := range []string{"", "principal"} {
				value := map[string]string{"principal": "ann"}[label]
				n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: label, Value: value})
				c.ok(err, "count")
				if n != 7 {
					c.fail("Count returned %d under %q, want 7", n, value)
				}
			}
			if n := c.sweep(10); n != 0 {
				c.fail("the sweep removed %d records, want none", n)
			}
			_, err = c.write(c.rec("update", "1", time.Hour), driver.IfPresent, model.Record{})
			c.ok(err, "update")
			_, err = c.write(c.rec("compare", "1", time.Hour), driver.IfMatch, compared)
			c.ok(err, "compare-and-set")
			_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "touch", Mode: driver.TouchExtend, ExpiresAt: c.in(time.Hour)})
			c.ok(err, "touch")
			c.del("delete")
			c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "delete at", Cond: driver.IfMatch, Known: taken}), "delete at the revision")
		}),
		that("NoCallSeesTheRecordFromTheInstantOn", "R2 R4 R14 R77 R87", needLabels|needSweep, func(c *C) {
			old := c.put(c.labelled("a", "0", "ann", time.Minute))
			c.put(c.labelled("b", "0", "ann", time.Minute))
			c.advance(time.Minute)
			if out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a", "b")); out[0].Err == nil || out[1].Err == nil {
				c.fail("GetMany returned an expired record")
			}
			c.lists(driver.Query{})
			c.lists(driver.Query{KeysOnly: true})
			c.bear("ann")
			for _, label := range []string{"", "principal"} {
				value := map[string]string{"principal": "ann"}[label]
				n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: label, Value: value})
				c.ok(err, "count")
				if n != 0 {
					c.fail("Count returned %d under %q, want 0", n, value)
				}
			}
			update := driver.BatchOp{Write: &driver.Write{Record: c.rec("a", "1", time.Hour), Cond: driver.IfPresent}}
			remove := driver.BatchOp{Delete: &driver.Delete{ID: "b", Cond: driver.IfPresent}}
			for i, o := range driver.WriteMany(c.ctx(), c.b, c.now, []driver.BatchOp{update, remove}) {
				c.is(o.Err, model.ErrNotFound, "operation %d of a batch", i)
			}
			s := storeOf[any](c, nil)
			_, err := s.Mutate(c.ctx(), "a", func(*any) error { return nil }, nil)
			c.is(err, model.ErrNotFound, "mutate")
			_, err = s.UpdatePartial(c.ctx(), "a", map[string]any{"n": 1}, nil)
			c.is(err, model.ErrNotFound, "partial update")
			_, err = s.Update(c.ctx(), "a", 1, &expiry.WriteOptions{IfMatch: expiry.AtRevision(old.Revision)})
			c.is(err, model.ErrNotFound, "update at the revision")
			n, err := s.DeleteByLabel(c.ctx(), "principal", "ann")
			c.ok(err, "DeleteByLabel")
			if n != 0 {
				c.fail("DeleteByLabel removed %d records, want none", n)
			}
			c.gone("a")
			if n := c.sweep(10); n != 2 {
				c.fail("the sweep removed %d records, want 2", n)
			}
		}),
		that("ThatPassesWhileACallWaitsEndsTheRecord", "R100 R4", needDelay, func(c *C) {
			for name, waits := range map[string]time.Duration{"kept": time.Minute - time.Millisecond, "passed": time.Minute} {
				for what, do := range c.decisions() {
					r := c.put(c.rec(name+" "+what, "0", time.Minute))
					c.h.Delay(c.TB, c.b, waits)
					var want error
					switch {
					case name == "kept" && what == "create":
						want = model.ErrExists
					case name == "passed" && what != "create":
						want = model.ErrNotFound
					}
					if err := do(r); !errors.Is(err, want) {
						c.fail("%s that waits %v of the record's minute: got %v, want %v", what, waits, err, want)
					}
				}
			}
		}),
		that("ThatPassesWhileAReadWaitsHidesTheRecord", "R100 R2", needDelay|needLabels, func(c *C) {
			// A read that waits for nothing leaves the wait to the next call.
			for what, sees := range c.readDecisions() {
				for _, waits := range []time.Duration{time.Minute - time.Millisecond, time.Minute} {
					r := c.put(c.labelled(fmt.Sprint(what, " ", waits), "0", what, time.Minute))
					c.h.Delay(c.TB, c.b, waits)
					seen := sees(r)
					_, err := c.write(c.rec(r.ID, "1", time.Hour), driver.IfPresent, model.Record{})
					updated := err == nil
					if !updated {
						c.is(err, model.ErrNotFound, "update after a %s", what)
					}
					switch {
					case waits < time.Minute && (!seen || !updated):
						c.fail("a %s that waits %v of the record's minute saw the record: %v, want true", what, waits, seen)
					case waits == time.Minute && seen == updated:
						c.fail("a %s and then an update: one of them waited the record's minute; the first saw the record: %v, the second: %v, want false for one", what, seen, updated)
					}
				}
			}
		}),
		that("OfAFastClocksCallsLeavesTheRecord", "R2", needNothing, func(c *C) {
			// A node whose clock is ahead sees no record, and leaves the record to
			// the others.
			r := c.put(c.labelled("a", "0", "ann", time.Minute))
			slow := c.now
			c.advance(time.Hour)
			_, err := c.write(c.rec("a", "1", time.Hour), driver.IfPresent, model.Record{})
			c.is(err, model.ErrNotFound, "update by a fast clock")
			_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchClear, Known: r})
			c.is(err, model.ErrNotFound, "touch by a fast clock")
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: r}), model.ErrNotFound, "delete by a fast clock")
			c.lists(driver.Query{})
			c.bear("ann")
			c.now = slow
			c.holds(r)
			c.lists(driver.Query{}, "a")
			c.bear("ann", "a")
		}),
	)
}

// readDecisions returns a read of each kind that decides by the expiry of a
// record. It reports whether it sees the record.
func (c *C) readDecisions() map[string]func(model.Record) bool {
	return map[string]func(model.Record) bool{
		"get": func(r model.Record) bool {
			_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: r.ID})
			c.ok(most(err, model.ErrNotFound), "get")
			return err == nil
		},
		"get of many": func(r model.Record) bool {
			err := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(r.ID))[0].Err
			c.ok(most(err, model.ErrNotFound), "get of many")
			return err == nil
		},
		"page": func(r model.Record) bool {
			p, err := c.b.Page(c.ctx(), c.now, driver.Query{Limit: 100})
			c.ok(err, "page")
			return slices.ContainsFunc(p.Records, func(got model.Record) bool { return got.ID == r.ID })
		},
		"count": func(r model.Record) bool {
			n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "principal", Value: r.Labels["principal"]})
			c.ok(err, "count")
			return n > 0
		},
	}
}

// decisions returns a call of each kind that decides by the expiry of a record.
func (c *C) decisions() map[string]func(model.Record) error {
	write := func(cond driver.Condition) func(model.Record) error {
		return func(r model.Record) error {
			_, err := c.write(c.rec(r.ID, "1", 2*time.Hour), cond, r)
			return err
		}
	}
	touch := func(t driver.Touch) func(model.Record) error {
		return func(r model.Record) error {
			t.ID, t.ExpiresAt, t.Known = r.ID, c.in(time.Hour), r
			_, err := c.b.Touch(c.ctx(), c.now, t)
			return err
		}
	}
	return map[string]func(model.Record) error{
		"create":          write(driver.IfAbsent),
		"update":          write(driver.IfPresent),
		"compare-and-set": write(driver.IfMatch),
		"set":             touch(driver.Touch{Mode: driver.TouchSet}),
		"extend":          touch(driver.Touch{Mode: driver.TouchExtend}),
		"clear":           touch(driver.Touch{Mode: driver.TouchClear, Cond: driver.IfMatch}),
		"delete": func(r model.Record) error {
			return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: r.ID, Cond: driver.IfPresent})
		},
		"batch": func(r model.Record) error {
			op := writing(c.rec(r.ID, "1", time.Hour), driver.IfPresent, r)
			return driver.WriteMany(c.ctx(), c.b, c.now, []driver.BatchOp{op})[0].Err
		},
	}
}
