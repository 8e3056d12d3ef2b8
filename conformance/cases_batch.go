package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// writing returns a write as an operation of a batch.
func writing(r model.Record, cond driver.Condition, known model.Record) driver.BatchOp {
	return driver.BatchOp{Write: &driver.Write{Record: r.Clone(), Cond: cond, Known: known}}
}

func removing(id string, cond driver.Condition, known model.Record) driver.BatchOp {
	return driver.BatchOp{Delete: &driver.Delete{ID: id, Cond: cond, Known: known}}
}

// batch carries out the operations and stops the case unless each has the
// wanted error. It returns the results.
func (c *C) batch(ops []driver.BatchOp, wants []error) []driver.BatchResult {
	c.Helper()
	out := driver.WriteMany(c.ctx(), c.b, c.now, ops)
	if len(out) != len(ops) {
		c.fail("%d results for %d operations", len(out), len(ops))
	}
	for i, want := range wants {
		if want == nil {
			c.ok(out[i].Err, "operation %d", i)
		} else {
			c.is(out[i].Err, want, "operation %d", i)
		}
	}
	return out
}

func batchCases() []Case {
	return group("Batch",
		that("GetAnswersEachIDAsGetWould", "R87", needNothing, func(c *C) {
			ids := c.fill(150, "ann", time.Hour)
			c.put(c.rec("expired", "1", time.Minute))
			c.advance(time.Minute)
			ask := append([]string{"none", "expired"}, ids...)
			out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(ask...))
			if len(out) != len(ask) {
				c.fail("%d results for %d ids", len(out), len(ask))
			}
			c.is(out[0].Err, model.ErrNotFound, "an unknown id")
			c.is(out[1].Err, model.ErrNotFound, "an expired record")
			for i, o := range out[2:] {
				c.ok(o.Err, "result for %q", ids[i])
				c.sameHead(o.Record, c.get(ids[i]))
				if string(o.Record.Value) != fmt.Sprint(i) {
					c.fail("%q has the value %q, want %d", ids[i], o.Record.Value, i)
				}
			}
			if out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(nil...)); len(out) != 0 {
				c.fail("%d results for no ids", len(out))
			}
		}),
		that("WriteCarriesOutEachUnderItsOwnCondition", "R88 R28", needNothing, func(c *C) {
			old := c.put(c.labelled("there", "1", "ann", time.Hour))
			kept := c.put(c.labelled("kept", "1", "ann", time.Hour))
			doomed := c.put(c.rec("doomed", "1", time.Hour))
			c.put(c.rec("expired", "1", time.Minute))
			c.advance(time.Minute)
			created := c.labelled("new", "2", "bob", time.Hour)
			compared := c.labelled("there", "2", "bob", time.Hour)
			renewed := c.rec("expired", "2", time.Hour)
			out := c.batch([]driver.BatchOp{
				writing(created, driver.IfAbsent, model.Record{}),
				writing(compared, driver.IfMatch, old),
				writing(c.rec("kept", "2", 0), driver.IfMatch, old),
				writing(c.rec("nobody", "2", 0), driver.IfPresent, model.Record{}),
				removing("doomed", driver.IfMatch, doomed),
				removing("no one", driver.IfPresent, model.Record{}),
				writing(renewed, driver.IfAbsent, model.Record{}),
			}, []error{nil, nil, model.ErrConflict, model.ErrNotFound, nil, model.ErrNotFound, nil})
			c.sameHead(out[0].Record, created)
			for _, r := range []model.Record{created, compared, kept, renewed} {
				c.holds(r)
			}
			c.gone("nobody")
			c.gone("doomed")
			c.bear("ann", "kept")
			c.bear("bob", "new", "there")
		}),
		that("GetOfMoreThanOneReplyHolds", "R87", needNothing, func(c *C) {
			// About 18 MB: servers answer a part and leave the rest undone.
			size := 180 << 10
			if m := c.b.Describe().MaxValue; m > 0 {
				size = min(size, m)
			}
			value := bytes.Repeat([]byte("v"), size)
			ids := make([]string, 100)
			for i := range ids {
				ids[i] = fmt.Sprint("id", i)
			}
			for i, err := range c.concurrently(4, func(who int) error {
				for i := who; i < len(ids); i += 4 {
					r := c.rec(ids[i], "", time.Hour)
					r.Value = value
					if _, err := c.write(r, driver.IfAbsent, model.Record{}); err != nil {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "writer %d", i)
			}
			for i, o := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(slices.Concat(ids, []string{"nobody"})...)) {
				if i == len(ids) {
					c.is(o.Err, model.ErrNotFound, "an unknown id")
					continue
				}
				c.ok(o.Err, "result %d", i)
				if o.Record.ID != ids[i] || len(o.Record.Value) != size {
					c.fail("result %d is %q with %d bytes, want %q with %d", i, o.Record.ID, len(o.Record.Value), ids[i], size)
				}
			}
		}),
		that("GetOfHundredsKeepsTheOrder", "R87", needNothing, func(c *C) {
			ids := make([]string, 400)
			var ops []driver.BatchOp
			for i := range ids {
				ids[i] = fmt.Sprint("id", i)
				if i%3 != 0 {
					ops = append(ops, writing(c.rec(ids[i], ids[i], time.Hour), driver.IfAbsent, model.Record{}))
				}
			}
			c.batch(ops, make([]error, len(ops)))
			for i, o := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(ids...)) {
				if i%3 == 0 {
					c.is(o.Err, model.ErrNotFound, "result %d", i)
					continue
				}
				c.ok(o.Err, "result %d", i)
				if o.Record.ID != ids[i] || string(o.Record.Value) != ids[i] {
					c.fail("result %d is %q, want %q", i, o.Record.ID, ids[i])
				}
			}
		}),
		that("GetOfUnusualIDs", "R87 R7", needNothing, func(c *C) {
			ids := unusualIDs()
			ops := make([]driver.BatchOp, len(ids))
			for i, id := range ids {
				ops[i] = writing(c.labelled(id, fmt.Sprint(i), "ann", time.Hour), driver.IfAbsent, model.Record{})
			}
			c.batch(ops, make([]error, len(ops)))
			for i, o := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets(ids...)) {
				c.ok(o.Err, "result for %q", ids[i])
				if o.Record.ID != ids[i] || string(o.Record.Value) != fmt.Sprint(i) {
					c.fail("the result for %q is %q with the value %q, want the value %d", ids[i], o.Record.ID, o.Record.Value, i)
				}
			}
		}),
		that("GetSharesNothingWithTheStore", "R3 R87", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "value", "ann", time.Hour))
			got := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a"))[0]
			c.ok(got.Err, "GetMany")
			overwrite(got.Record)
			c.holds(r)
		}),
		that("WriteSharesNothingWithTheStore", "R3 R88", needNothing, func(c *C) {
			r := c.labelled("a", "value", "ann", time.Hour)
			op := writing(r, driver.IfAbsent, model.Record{})
			out := c.batch([]driver.BatchOp{op}, []error{nil})
			overwrite(op.Write.Record)
			overwrite(out[0].Record)
			c.holds(r)
			c.bear("ann", "a")
		}),
		that("WriteOfNothingHasNoResult", "R88", needNothing, func(c *C) { c.batch(nil, nil) }),
		that("WriteAnswersWithoutTheValue", "R26 R88", needNothing, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			w := driver.Write{Record: c.rec("a", "2", 0), Cond: driver.IfMatch, Known: old, Keep: driver.Keep{Expiry: true, Labels: true}}
			out := c.batch([]driver.BatchOp{{Write: &w}, writing(c.rec("b", "1", 0), driver.IfAny, model.Record{})}, []error{nil, nil})
			want := w.Record
			want.ExpiresAt, want.Labels = old.ExpiresAt, old.Labels
			c.sameHead(out[0].Record, want)
			for _, o := range out {
				if o.Record.Value != nil {
					c.fail("the result has the value %q, want none", o.Record.Value)
				}
			}
			c.holds(want)
			c.bear("ann", "a")
		}),
		that("WriteNamesTheWinnerOfAConflict", "R27 R88", needNothing, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			cur := c.labelled("a", "2", "ann", 2*time.Hour)
			_, err := c.write(cur, driver.IfMatch, old)
			c.ok(err, "compare-and-set")
			out := c.batch([]driver.BatchOp{writing(c.rec("a", "3", 0), driver.IfMatch, old)}, []error{model.ErrConflict})
			c.sameHead(out[0].Record, cur)
			if v := out[0].Record.Value; v != nil && string(v) != "2" {
				c.fail("the winner has the value %q, want none or 2", v)
			}
		}),
		that("AnInvalidWriteFailsAlone", "R29 R41 R88", needNothing, func(c *C) {
			r := c.put(c.rec("a", "1", time.Hour))
			keep := driver.Write{Record: c.rec("b", "1", time.Hour), Cond: driver.IfAbsent, Keep: driver.Keep{Labels: true}}
			good := c.rec("good", "1", time.Hour)
			c.batch([]driver.BatchOp{
				writing(c.rec("a", "2", time.Hour), 0, model.Record{}),
				writing(c.rec("c", "2", time.Hour), driver.IfMatch, model.Record{}),
				{Write: &keep},
				removing("d", driver.IfAny, model.Record{}),
				removing("e", driver.IfMatch, model.Record{}),
				writing(good, driver.IfAbsent, model.Record{}),
			}, []error{model.ErrInvalid, model.ErrInvalid, model.ErrInvalid, model.ErrInvalid, model.ErrInvalid, nil})
			c.holds(r)
			c.holds(good)
			c.lists(driver.Query{}, "a", "good")
		}),
		that("WriteWithAnUndeclaredLabelIsInvalidAlone", "R92 R88 R28", needLabels, func(c *C) {
			old := c.put(c.labelled("a", "1", "ann", time.Hour))
			good := c.labelled("good", "1", "ann", time.Hour)
			undeclared := func(id string) model.Record {
				r := c.labelled(id, "2", "bob", time.Minute)
				r.Labels["undeclared"] = "x"
				return r
			}
			c.batch([]driver.BatchOp{
				writing(undeclared("a"), driver.IfMatch, old),
				writing(good, driver.IfAbsent, model.Record{}),
				writing(undeclared("b"), driver.IfAbsent, model.Record{}),
				writing(undeclared("c"), driver.IfAny, model.Record{}),
			}, []error{model.ErrInvalid, nil, model.ErrInvalid, model.ErrInvalid})
			c.holds(old)
			c.holds(good)
			c.bear("ann", "a", "good")
			c.bear("bob")
			c.lists(driver.Query{}, "a", "good")
		}),
		that("WriteOverTheLimitIsTooLargeAlone", "R8 R88", needNothing, func(c *C) {
			limit := c.b.Describe().MaxValue
			if limit == 0 || limit > 16<<20 {
				// The limit is absent or too large for a test, so a batch must store a
				// large value.
				limit = 1 << 20
				big := c.rec("big", "", time.Hour)
				big.Value = bytes.Repeat([]byte("x"), limit)
				c.batch([]driver.BatchOp{writing(big, driver.IfAbsent, model.Record{})}, []error{nil})
				c.holds(big)
				return
			}
			over, good := c.rec("over", "", time.Hour), c.rec("good", "1", time.Hour)
			over.Value = bytes.Repeat([]byte("x"), limit+1)
			c.batch([]driver.BatchOp{writing(over, driver.IfAbsent, model.Record{}), writing(good, driver.IfAbsent, model.Record{})}, []error{model.ErrTooLarge, nil})
			c.gone("over")
			c.holds(good)
		}),
		that("WriteRevivesNothing", "R4 R88", needNothing, func(c *C) {
			old := c.put(c.rec("deleted", "1", time.Hour))
			c.del("deleted")
			stale := c.put(c.rec("expired", "1", time.Minute))
			c.advance(time.Minute)
			missing := []error{model.ErrNotFound, model.ErrNotFound}
			c.batch([]driver.BatchOp{
				writing(c.rec("deleted", "2", 0), driver.IfPresent, model.Record{}), writing(c.rec("expired", "2", 0), driver.IfPresent, model.Record{}),
			}, missing)
			c.batch([]driver.BatchOp{
				writing(c.rec("deleted", "2", 0), driver.IfMatch, old), writing(c.rec("expired", "2", 0), driver.IfMatch, stale),
			}, missing)
			c.batch([]driver.BatchOp{
				removing("deleted", driver.IfMatch, old), removing("expired", driver.IfMatch, stale),
			}, missing)
			c.gone("deleted")
			c.gone("expired")
		}),
		that("WriteMovesLabelsAndExpiries", "R25 R46 R88", needSweep, func(c *C) {
			ids := c.fill(10, "ann", time.Hour)
			ops := make([]driver.BatchOp, len(ids))
			for i, id := range ids {
				ops[i] = writing(c.labelled(id, "2", "bob", time.Minute), driver.IfPresent, model.Record{})
			}
			c.batch(ops, make([]error, len(ops)))
			c.bear("ann")
			c.bear("bob", ids...)
			c.advance(time.Minute)
			c.bear("bob")
			if n := c.sweep(100); n != len(ids) {
				c.fail("the sweep removed %d records, want %d", n, len(ids))
			}
		}),
		that("ByManyAtOnceCreatesEachOnce", "R16 R88", needNothing, func(c *C) {
			nodes := []driver.ModelExpirySupport{c.b, c.second()}
			const ids = 20
			wins := make([][]bool, 6)
			for i, err := range c.concurrently(len(wins), func(who int) error {
				ops := make([]driver.BatchOp, ids)
				for i := range ops {
					id := (i*7 + who) % ids // each batch has its own order
					ops[i] = writing(c.rec(fmt.Sprint("id", id), fmt.Sprint(who), time.Hour), driver.IfAbsent, model.Record{})
				}
				won := make([]bool, ids)
				for i, o := range driver.WriteMany(c.ctx(), nodes[who%2], c.now, ops) {
					if o.Err == nil {
						won[(i*7+who)%ids] = true
					} else if !errors.Is(o.Err, model.ErrExists) {
						return o.Err
					}
				}
				wins[who] = won
				return nil
			}) {
				c.ok(err, "batch %d", i)
			}
			for id := range ids {
				n, winner := 0, 0
				for who := range wins {
					if wins[who][id] {
						n, winner = n+1, who
					}
				}
				if n != 1 {
					c.fail("%d of %d batches created id%d, want one", n, len(wins), id)
				}
				if got := string(c.get(fmt.Sprint("id", id)).Value); got != fmt.Sprint(winner) {
					c.fail("id%d has the value %q, want %d of the batch that created it", id, got, winner)
				}
			}
		}),
	)
}
