package conformance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// shape is what of a record needs index entries.
type shape struct {
	name   string
	life   time.Duration // zero: it never expires
	labels []string      // the values of the declared labels, in order; empty: none
}

// shapes are those between which the cases change records.
var shapes = []shape{
	{name: "plain"},
	{name: "expiring", life: time.Hour},
	{name: "labelled", labels: []string{"ann", "new"}},
	{name: "half labelled", labels: []string{"", "new"}, life: time.Hour},
	{name: "labelled and expiring", labels: []string{"ann", "old"}, life: time.Hour},
	{name: "another label and expiry", labels: []string{"bob"}, life: 3 * time.Hour},
}

// shaped returns a record of the shape, without labels if the backend lacks
// them.
func (c *C) shaped(id string, s shape) model.Record {
	r := c.rec(id, "1", s.life)
	declared := c.b.Describe().Labels
	for i, value := range s.labels {
		if value == "" || i >= len(declared) || !c.has(driver.FeatureLabels) {
			continue
		}
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[declared[i]] = value
	}
	return r
}

// putShapes creates one record of each shape and returns their ids.
func (c *C) putShapes(prefix string) []string {
	c.Helper()
	var ids []string
	for i, s := range shapes {
		ids = append(ids, c.put(c.shaped(fmt.Sprint(prefix, i), s)).ID)
	}
	return ids
}

// left returns what the store holds. It stops the case for less than nothing.
func (c *C) left() int {
	c.Helper()
	n := c.h.Left(c.TB, c.name)
	if n < 0 {
		c.fail("Harness.Left returned %d", n)
	}
	return n
}

// leaves stops the case unless the store holds as much as it should.
func (c *C) leaves(want int, after string, args ...any) {
	c.Helper()
	if got := c.left(); got != want {
		c.fail("%s, the store holds %d things, want %d: every record takes its index entries with it",
			fmt.Sprintf(after, args...), got, want)
	}
}

// empty returns what the store holds without a record. A first record is made
// and removed before: some backends make folders as they need them.
func (c *C) empty() int {
	c.Helper()
	before := c.left()
	id := c.put(c.shaped("first", shapes[4])).ID
	if n := c.left(); n <= before {
		c.fail("Harness.Left returned %d with a record and %d without one: it must count records", n, before)
	}
	c.del(id)
	return before
}

// weights returns how much a fresh record of each shape adds to the store.
func (c *C) weights(empty int, of []shape) []int {
	c.Helper()
	out := make([]int, len(of))
	for i, s := range of {
		id := c.put(c.shaped("scale", s)).ID
		out[i] = c.left() - empty
		c.del(id)
		c.leaves(empty, "after the delete of a record that is %s", s.name)
	}
	return out
}

// living returns the shapes with another lifetime.
func living(life time.Duration) []shape {
	out := slices.Clone(shapes)
	for i := range out {
		out[i].life = life
	}
	return out
}

func leftCases() []Case {
	return group("Left",
		that("OfDeletedRecordsIsNothing", "R38 R39", needLeft, func(c *C) {
			empty := c.empty()
			for _, id := range c.putShapes("present") {
				c.del(id)
			}
			c.leaves(empty, "after deletes of any revision")
			for i, s := range shapes {
				r := c.put(c.shaped(fmt.Sprint("match", i), s))
				c.ok(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: r.ID, Cond: driver.IfMatch, Known: r}), "delete at a revision")
			}
			c.leaves(empty, "after deletes at a revision")
			var ops []driver.BatchOp
			for _, id := range c.putShapes("many") {
				ops = append(ops, removing(id, driver.IfPresent, model.Record{}))
			}
			c.batch(ops, make([]error, len(ops)))
			c.leaves(empty, "after deletes in a batch")
		}),
		that("OfSweptRecordsIsNothing", "R50", needLeft|needSweep, func(c *C) {
			empty := c.empty()
			for _, onExpire := range []func(model.Record) error{nil, func(model.Record) error { return nil }} {
				for _, id := range c.putShapes("r") {
					r, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: c.in(time.Minute)})
					c.ok(err, "touch of %q", r.ID)
				}
				c.advance(time.Minute)
				if n := c.sweepAnnounced(4, onExpire); n != len(shapes) {
					c.fail("the sweep removed %d records, want %d", n, len(shapes))
				}
				c.leaves(empty, "after a sweep with OnExpire %t", onExpire != nil)
			}
		}),
		that("OfAnOverwrittenRecordIsNothing", "R25 R22", needLeft, func(c *C) {
			empty := c.empty()
			weight := c.weights(empty, shapes)
			for to := range shapes {
				for _, cond := range []driver.Condition{driver.IfPresent, driver.IfMatch, driver.IfAny} {
					for from := range shapes {
						id := fmt.Sprint("r", from)
						old := c.put(c.shaped(id, shapes[from]))
						_, err := c.write(c.shaped(id, shapes[to]), cond, old)
						c.ok(err, "%v over a record that was %s", cond, shapes[from].name)
					}
					c.leaves(empty+len(shapes)*weight[to], "after a write (%v) over each of %d records made them %s", cond, len(shapes), shapes[to].name)
					for from := range shapes {
						c.del(fmt.Sprint("r", from))
					}
					c.leaves(empty, "after the delete of records that a write (%v) made %s", cond, shapes[to].name)
				}
			}
		}),
		that("OfAnExpiryThatMovedIsNothing", "R34", needLeft, func(c *C) {
			empty := c.empty()
			expiring, lasting := empty, empty
			for i, n := range c.weights(empty, living(time.Hour)) {
				expiring += n
				lasting += c.weights(empty, living(0)[i:i+1])[0]
			}
			ids := c.putShapes("r")
			touch := func(mode driver.TouchMode, at time.Time) {
				c.Helper()
				for _, id := range ids {
					_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: mode, ExpiresAt: at})
					c.ok(err, "touch of %q", id)
				}
			}
			for range 3 {
				touch(driver.TouchSet, c.in(2*time.Hour))
				touch(driver.TouchSet, c.in(50*time.Hour))
				touch(driver.TouchExtend, c.in(90*time.Hour))
				touch(driver.TouchClear, time.Time{})
			}
			c.leaves(lasting, "after touches that cleared the expiries")
			touch(driver.TouchSet, c.in(9*time.Hour))
			touch(driver.TouchSet, c.in(time.Hour))
			c.leaves(expiring, "after touches that moved the expiries")
			for _, id := range ids {
				c.del(id)
			}
			c.leaves(empty, "after the deletes")
		}),
		that("OfAnExpiredRecordUnderACreateIsNothing", "R17", needLeft, func(c *C) {
			empty := c.empty()
			weight := c.weights(empty, shapes)
			for to := range shapes {
				for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfAny} {
					for from, s := range shapes {
						s.life = time.Minute
						c.put(c.shaped(fmt.Sprint("r", from), s))
					}
					c.advance(time.Minute)
					for from := range shapes {
						_, err := c.write(c.shaped(fmt.Sprint("r", from), shapes[to]), cond, model.Record{})
						c.ok(err, "write (%v) over an expired record", cond)
					}
					c.leaves(empty+len(shapes)*weight[to], "after a write (%v) over each of %d expired records made them %s", cond, len(shapes), shapes[to].name)
					for from := range shapes {
						c.del(fmt.Sprint("r", from))
					}
				}
			}
			c.leaves(empty, "after the deletes")
		}),
		that("OfCallsThatFailIsNothing", "R28", needLeft, func(c *C) {
			empty := c.empty()
			ids := c.putShapes("r")
			held := c.left()
			stale := model.Record{Revision: model.NewRevision()}
			for i, id := range ids {
				next := c.shaped(id, shapes[(i+2)%len(shapes)])
				_, err := c.write(next, driver.IfAbsent, model.Record{})
				c.is(err, model.ErrExists, "create of %q again", id)
				_, err = c.write(next, driver.IfMatch, stale)
				c.is(err, model.ErrConflict, "compare-and-set of %q", id)
				c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfMatch, Known: stale}), model.ErrConflict, "delete of %q", id)
				next.ID = "none " + id
				_, err = c.write(next, driver.IfPresent, model.Record{})
				c.is(err, model.ErrNotFound, "update of %q", next.ID)
				_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: next.ID, Mode: driver.TouchSet, ExpiresAt: c.in(time.Hour)})
				c.is(err, model.ErrNotFound, "touch of %q", next.ID)
				c.batch([]driver.BatchOp{writing(next, driver.IfMatch, stale), writing(c.shaped(id, shapes[4]), driver.IfAbsent, model.Record{})},
					[]error{model.ErrNotFound, model.ErrExists})
			}
			c.leaves(held, "after calls that failed")
			for _, id := range ids {
				c.del(id)
			}
			c.leaves(empty, "after the deletes")
		}),
		that("OfManyAtOnceIsNothing", "R38 R28", needLeft, func(c *C) {
			empty := c.empty()
			for round := range 3 {
				for i := range 3 {
					c.put(c.shaped(fmt.Sprint("r", i), shapes[round]))
				}
				errs := c.concurrently(6, func(who int) error {
					var failed error
					for i := range 12 {
						id := fmt.Sprint("r", i%3)
						next := c.shaped(id, shapes[(who+i+round)%len(shapes)])
						var err error
						switch who % 3 {
						case 0:
							_, err = c.write(next, driver.IfAbsent, model.Record{})
						case 1:
							_, err = c.write(next, driver.IfPresent, model.Record{})
						case 2:
							err = c.b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent})
						}
						if err != nil && !errors.Is(err, model.ErrExists) && !errors.Is(err, model.ErrNotFound) {
							failed = err
						}
					}
					return failed
				})
				c.ok(errors.Join(errs...), "calls at once")
				for i := range 3 {
					err := c.b.Delete(c.ctx(), c.now, driver.Delete{ID: fmt.Sprint("r", i), Cond: driver.IfPresent})
					if !errors.Is(err, model.ErrNotFound) {
						c.ok(err, "delete")
					}
				}
				c.leaves(empty, "after many calls at once and deletes of all records")
			}
		}),
		that("OfADamagedRecordUnderAnUpsertIsNothing", "R22 R5", needLeft|needDamage|needSweep|needLabels, func(c *C) {
			// Its labels and expiry may be unreadable. Then a listing or a sweep
			// meets what is left of them.
			empty := c.empty()
			for i, id := range c.putShapes("r") {
				c.h.Damage(c.TB, c.name, id, []byte("not a record"))
				_, err := c.write(c.shaped(id, shapes[(i+1)%len(shapes)]), driver.IfAny, model.Record{})
				c.ok(err, "upsert over a damaged record")
			}
			c.advance(24 * time.Hour)
			c.sweep(10)
			for i := range shapes {
				err := c.b.Delete(c.ctx(), c.now, driver.Delete{ID: fmt.Sprint("r", i), Cond: driver.IfPresent})
				if !errors.Is(err, model.ErrNotFound) { // it was swept
					c.ok(err, "delete")
				}
			}
			for _, label := range c.b.Describe().Labels {
				for _, value := range []string{"ann", "bob", "new", "old"} {
					c.lists(driver.Query{Label: label, Value: value})
				}
			}
			c.leaves(empty, "after upserts over damaged records, a sweep, deletes and listings")
		}),
		that("OfADeletedStorageIsNothing", "R86", needLeft, func(c *C) {
			if !implements[driver.StorageManager](c.b) {
				empty := c.empty()
				c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage of a backend without storage")
				c.leaves(empty, "after DeleteStorage of a backend without storage")
				return
			}
			empty := c.empty()
			for range 2 {
				c.putShapes("r")
				c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
				c.leaves(0, "after DeleteStorage")
				c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage again")
				c.leaves(0, "after DeleteStorage, twice")
				c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
				c.leaves(empty, "after CreateStorage")
			}
		}),
	)
}
