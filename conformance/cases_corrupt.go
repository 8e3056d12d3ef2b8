package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// damage returns bytes that a backend may find in place of a record.
func damage() map[string][]byte {
	return map[string][]byte{
		"nothing":      {},
		"one byte":     {'S'},
		"text":         []byte("not a record"),
		"JSON":         []byte(`{"id":"a"}`),
		"zeros":        make([]byte, 200),
		"high bytes":   []byte("\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc"),
		"long foreign": []byte("S\x00SJN\x01" + string(make([]byte, 2000))),
	}
}

func corruptCases() []Case {
	return group("Corrupt",
		that("IsAnErrorForThatIDAlone", "R5", needDamage, func(c *C) {
			good := c.put(c.rec("good", "1", time.Hour))
			for what, data := range damage() {
				c.put(c.rec("bad "+what, "1", time.Hour))
				c.h.Damage(c.TB, c.name, "bad "+what, data)
				_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: "bad " + what})
				c.is(err, model.ErrCorrupt, "get of %s", what)
			}
			c.holds(good)
		}),
		that("IsNeverOverwrittenByAnUpdate", "R5", needDamage, func(c *C) {
			for what, data := range damage() {
				old := c.put(c.rec(what, "1", time.Hour))
				c.h.Damage(c.TB, c.name, what, data)
				_, err := c.write(c.rec(what, "2", time.Hour), driver.IfPresent, model.Record{})
				c.is(err, model.ErrCorrupt, "update of %s", what)
				_, err = c.write(c.rec(what, "2", time.Hour), driver.IfMatch, old)
				c.is(err, model.ErrCorrupt, "compare-and-set of %s", what)
				_, err = c.write(c.rec(what, "2", time.Hour), driver.IfAbsent, model.Record{})
				c.is(err, model.ErrCorrupt, "create over %s", what)
				_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: what, Mode: driver.TouchSet, ExpiresAt: c.in(2 * time.Hour)})
				c.is(err, model.ErrCorrupt, "touch of %s", what)
				c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: what, Cond: driver.IfPresent}), model.ErrCorrupt, "delete of %s", what)
				_, err = c.b.Get(c.ctx(), c.now, driver.Get{ID: what})
				c.is(err, model.ErrCorrupt, "get of %s afterwards", what)
			}
		}),
		that("IsReplacedByAnUpsert", "R5 R22", needDamage|needLabels, func(c *C) {
			for what, data := range damage() {
				c.put(c.labelled(what, "1", "ann", time.Hour))
				c.h.Damage(c.TB, c.name, what, data)
				r := c.labelled(what, "2", "bob", time.Hour)
				_, err := c.write(r, driver.IfAny, model.Record{})
				c.ok(err, "upsert over %s", what)
				c.holds(r)
			}
			c.bear("ann")
			if n := len(c.bearers("bob")); n != len(damage()) {
				c.fail("%d records are listed, want %d", n, len(damage()))
			}
		}),
		that("IsNamedByAListingThatGoesOn", "R49", needDamage|needPaging, func(c *C) {
			ids := c.fill(20, "", time.Hour)
			c.h.Damage(c.TB, c.name, ids[3], []byte("not a record"))
			c.h.Damage(c.TB, c.name, ids[11], []byte{})
			got, corrupt := c.listAll(driver.Query{})
			if len(got) != 18 {
				c.fail("%d records are listed, want 18", len(got))
			}
			if len(corrupt) != 2 {
				c.fail("Page.Corrupt names %q, want two ids", corrupt)
			}
		}),
		that("IsNamedOnceRightAfterAFullPage", "R49 R42", needDamage|needPaging, func(c *C) {
			// The bytes of a page's last record, and of the next one, are damaged in
			// turn.
			ids := c.fill(12, "", time.Hour)
			const limit = 4
			for _, q := range []driver.Query{{Limit: limit}, {Limit: limit, KeysOnly: true}} {
				var order []string
				c.ok(c.walk(c.b, q, func(r model.Record) error { order = append(order, r.ID); return nil }), "listing")
				for _, at := range []int{limit - 1, limit, 2*limit - 1, 2 * limit} {
					c.h.Damage(c.TB, c.name, order[at], []byte("not a record"))
					got, corrupt := c.listAll(q)
					if len(got) != len(ids)-1 {
						c.fail("%d records are listed beside a damaged one, want %d", len(got), len(ids)-1)
					}
					if len(corrupt) > 1 || len(corrupt) == 0 && !q.KeysOnly {
						c.fail("Page.Corrupt names %q, want the damaged record %q once", corrupt, order[at])
					}
					_, err := c.write(c.rec(order[at], "whole", time.Hour), driver.IfAny, model.Record{})
					c.ok(err, "upsert over the damaged record")
				}
			}
		}),
		that("IsNamedByAListingByLabelThatGoesOn", "R49 R46", needDamage|needLabels, func(c *C) {
			ids := c.fill(12, "ann", time.Hour)
			c.h.Damage(c.TB, c.name, ids[5], []byte("not a record"))
			got, corrupt := c.listAll(driver.Query{Label: "principal", Value: "ann", Limit: 5})
			if len(got) != 11 || len(corrupt) != 1 {
				c.fail("%d records are listed and Page.Corrupt names %q, want 11 records and one id", len(got), corrupt)
			}
			n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "principal", Value: "bob"})
			c.ok(err, "count of another label")
			if n != 0 {
				c.fail("%d counted", n)
			}
		}),
		that("IsAResultOfItsOwnInABatch", "R5 R87 R88 R80", needDamage, func(c *C) {
			ids := c.fill(6, "", time.Hour)
			c.h.Damage(c.TB, c.name, ids[2], []byte("not a record"))
			for i, o := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(ids...)) {
				if i == 2 {
					c.is(o.Err, model.ErrCorrupt, "get of the damaged one among many")
					continue
				}
				c.ok(o.Err, "get of %q among many", ids[i])
			}
			next := c.rec(ids[3], "2", time.Hour)
			c.batch([]driver.BatchOp{
				writing(c.rec(ids[2], "2", time.Hour), driver.IfPresent, model.Record{}),
				writing(next, driver.IfPresent, model.Record{}),
			}, []error{model.ErrCorrupt, nil})
			c.holds(next)
			fresh := c.rec(ids[2], "3", time.Hour)
			c.batch([]driver.BatchOp{writing(fresh, driver.IfAny, model.Record{})}, []error{nil})
			c.holds(fresh)
		}),
		that("IsAnErrorThroughTheStore", "R5 R62", needDamage, func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.Damage(c.TB, c.name, "a", []byte("not a record"))
			_, get := s.Get(c.ctx(), "a")
			_, create := s.Create(c.ctx(), "a", doc{}, nil)
			_, update := s.Update(c.ctx(), "a", doc{}, nil)
			_, compare := s.Update(c.ctx(), "a", doc{}, &expiry.WriteOptions{IfMatch: it.Known()})
			_, mutate := s.Mutate(c.ctx(), "a", func(*doc) error { return nil }, nil)
			_, partial := s.UpdatePartial(c.ctx(), "a", map[string]any{"n": 2}, nil)
			_, touch := s.Touch(c.ctx(), "a", expiry.After(time.Hour), nil)
			_, take := s.Take(c.ctx(), "a")
			for op, err := range map[string]error{
				"Get": get, "Create": create, "Update": update, "compare-and-set": compare, "Mutate": mutate, "UpdatePartial": partial,
				"Touch": touch, "Take": take, "Delete": s.Delete(c.ctx(), "a", nil),
			} {
				c.is(err, model.ErrCorrupt, "%s of a damaged record", op)
			}
			_, err = s.Upsert(c.ctx(), "a", doc{N: 2}, nil)
			c.ok(err, "upsert over a damaged record")
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value.N != 2 {
				c.fail("the value is %v", got.Value)
			}
		}),
		that("IsReportedByADeleteByLabel", "R78 R49", needDamage|needLabels, func(c *C) {
			ids := c.fill(6, "ann", time.Hour)
			c.h.Damage(c.TB, c.name, ids[2], []byte("not a record"))
			n, err := storeOf[any](c, nil).DeleteByLabel(c.ctx(), "principal", "ann")
			c.is(err, model.ErrCorrupt, "DeleteByLabel over a damaged record")
			if n != 5 {
				c.fail("%d records were removed, want the 5 readable ones", n)
			}
			_, err = c.b.Get(c.ctx(), c.now, driver.Get{ID: ids[2]})
			c.is(err, model.ErrCorrupt, "get of the damaged one")
		}),
		that("IsLeftByASweepThatGoesOn", "R5 R50", needDamage|needSweep, func(c *C) {
			ids := c.fill(20, "", time.Minute)
			c.h.Damage(c.TB, c.name, ids[7], []byte("not a record"))
			c.advance(time.Minute)
			n := 0
			for range 5 {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100})
				c.ok(err, "sweep")
				n += s.Removed
			}
			if n != 19 {
				c.fail("%d records were removed, want 19", n)
			}
			_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: ids[7]})
			c.is(err, model.ErrCorrupt, "get of the damaged one")
		}),
		that("IsAValueOfAnotherType", "R64", needNothing, func(c *C) {
			words := storeOf[string](c, nil)
			_, err := words.Create(c.ctx(), "a", "text", nil)
			c.ok(err, "create")
			docs := storeOf[doc](c, nil)
			_, err = docs.Get(c.ctx(), "a")
			c.is(err, model.ErrCorrupt, "get as another type")
			_, err = docs.Mutate(c.ctx(), "a", func(*doc) error { return nil }, nil)
			c.is(err, model.ErrCorrupt, "mutate as another type")
			it, err := words.Get(c.ctx(), "a")
			c.ok(err, "get as the type it is")
			if it.Value != "text" {
				c.fail("the value is %q, want text", it.Value)
			}
		}),
		that("IsAnotherEncoding", "R64", needNothing, func(c *C) {
			r := c.rec("a", `{"n":1}`, time.Hour)
			r.Encoding = "other"
			c.put(r)
			_, err := storeOf[doc](c, nil).Get(c.ctx(), "a")
			c.is(err, model.ErrCorrupt, "get of another encoding")
			c.holds(r)
		}),
		that("ValueIsYieldedWithItsErrorAndTheListingGoesOn", "R49 R64", needPaging, func(c *C) {
			s := storeOf[doc](c, nil)
			for _, id := range []string{"a", "b", "c"} {
				_, err := s.Create(c.ctx(), id, doc{}, nil)
				c.ok(err, "create")
			}
			c.put(c.rec("bad", `"text"`, time.Hour))
			good, bad := 0, 0
			for it, err := range s.All(c.ctx(), nil) {
				if err != nil {
					c.is(err, model.ErrCorrupt, "listing")
					if it.ID != "bad" {
						c.fail("the listing returned an error for %q, want one only for bad", it.ID)
					}
					bad++
					continue
				}
				good++
			}
			if good != 3 || bad != 1 {
				c.fail("the listing returned %d values and %d errors, want 3 and 1", good, bad)
			}
		}),
	)
}
