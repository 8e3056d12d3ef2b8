package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func unreadableCases() []Case {
	return group("Unreadable",
		that("IsUnavailableForThatIDAlone", "R103", needUnreadable, func(c *C) {
			bad, good := c.put(c.rec("bad", "1", time.Hour)), c.put(c.rec("good", "1", time.Hour))
			readable := c.unreadable("bad")
			_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: "bad"})
			c.onlyUnavailable(err, "get of a record that cannot be read")
			for i, o := range driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("bad", "good")) {
				if i == 0 {
					c.onlyUnavailable(o.Err, "get of it among many")
					continue
				}
				c.ok(o.Err, "get of another one among many")
			}
			c.holds(good)
			readable()
			c.holds(bad)
		}),
		that("IsNeverTakenForMissingByAWrite", "R103 R1", needUnreadable, func(c *C) {
			for cond, name := range map[driver.Condition]string{driver.IfAbsent: "create", driver.IfPresent: "update", driver.IfMatch: "compare-and-set", driver.IfAny: "upsert"} {
				c.changesUnreadable(name, func(old model.Record) (model.Record, error) {
					next := c.rec(old.ID, `{"n":2}`, 2*time.Hour)
					_, err := c.write(next, cond, old)
					return next, err
				})
			}
			c.changesUnreadable("touch", func(old model.Record) (model.Record, error) {
				next := old
				next.ExpiresAt = c.in(2 * time.Hour)
				_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: old.ID, Mode: driver.TouchSet, ExpiresAt: next.ExpiresAt})
				return next, err
			})
			c.changesUnreadable("delete", func(old model.Record) (model.Record, error) {
				return model.Record{}, c.b.Delete(c.ctx(), c.now, driver.Delete{ID: old.ID, Cond: driver.IfPresent})
			})
			c.changesUnreadable("delete at a revision", func(old model.Record) (model.Record, error) {
				return model.Record{}, c.b.Delete(c.ctx(), c.now, driver.Delete{ID: old.ID, Cond: driver.IfMatch, Known: old})
			})
			c.changesUnreadable("take", func(old model.Record) (model.Record, error) {
				_, err := storeOf[doc](c, nil).Take(c.ctx(), old.ID)
				return model.Record{}, err
			})
		}),
		that("IsAResultOfItsOwnInABatch", "R103 R87 R88", needUnreadable, func(c *C) {
			bad, good := c.put(c.rec("bad", "1", time.Hour)), c.put(c.rec("good", "1", time.Hour))
			readable := c.unreadable("bad")
			ops := []driver.BatchOp{writing(c.rec("bad", "2", time.Hour), driver.IfPresent, model.Record{}), writing(c.rec("good", "2", time.Hour), driver.IfPresent, model.Record{})}
			out := driver.WriteMany(c.ctx(), c.b, c.now, ops)
			c.ok(out[1].Err, "update of another one among many")
			good.Revision, good.Value = ops[1].Write.Record.Revision, []byte("2")
			c.holds(good)
			readable()
			if out[0].Err == nil {
				bad.Revision, bad.Value = ops[0].Write.Record.Revision, []byte("2")
			} else {
				c.onlyUnavailable(out[0].Err, "update among many of a record that cannot be read")
			}
			c.holds(bad)
		}),
		that("IsNamedByAListingThatGoesOn", "R103 R49", needUnreadable|needPaging, func(c *C) {
			ids := c.fill(12, "", time.Hour)
			readable := c.unreadable(ids[5])
			c.namesUnreadable(driver.Query{Limit: 5}, ids, ids[5])
			c.namesUnreadable(driver.Query{Limit: 1}, ids, ids[5])
			readable()
			c.lists(driver.Query{}, ids...)
		}),
		that("IsNamedByAListingByLabelThatGoesOn", "R103 R49 R46", needUnreadable|needLabels, func(c *C) {
			ids := c.fill(12, "ann", time.Hour)
			readable := c.unreadable(ids[5])
			c.namesUnreadable(driver.Query{Label: "principal", Value: "ann", Limit: 5}, ids, ids[5])
			c.bear("bob")
			readable()
			c.bear("ann", ids...)
		}),
		that("IsPassedByCounts", "R103 R77", needUnreadable|needLabels, func(c *C) {
			ids := c.fill(12, "ann", time.Hour)
			counts := func(least int) {
				c.Helper()
				for _, q := range []driver.Query{{}, {Label: "principal", Value: "ann"}} {
					n, err := driver.Count(c.ctx(), c.b, c.now, q)
					c.ok(err, "count by %q", q.Label)
					if n < least || n > len(ids) {
						c.fail("the count by %q is %d, want %d, of which one may be left out while it cannot be read", q.Label, n, len(ids))
					}
				}
			}
			readable := c.unreadable(ids[5])
			counts(len(ids) - 1)
			readable()
			counts(len(ids))
		}),
		that("IsLeftByASweepThatGoesOn", "R103 R50 R51", needUnreadable|needSweep, func(c *C) {
			// It is the first one that expires, and each sweep may remove one record.
			c.put(c.rec("bad", "1", time.Minute))
			c.advance(time.Second)
			c.fill(12, "", time.Minute)
			readable := c.unreadable("bad")
			c.advance(2 * time.Minute)
			n := 0
			for round := 0; n < 12; round++ {
				if round == 60 {
					c.fail("%d sweeps of one record removed %d, want the 12 that can be read", round, n)
				}
				sweep := driver.Sweep{Before: c.now, Limit: 1}
				if round%2 == 1 {
					sweep.OnExpire = func(model.Record) error { return nil }
				}
				s, err := c.b.DeleteExpired(c.ctx(), sweep)
				if err != nil {
					c.onlyUnavailable(err, "sweep beside a record that cannot be read")
				}
				n += s.Removed
			}
			readable()
			if n := c.sweep(10); n != 1 {
				c.fail("the sweep after the record can be read again removed %d records, want 1", n)
			}
		}),
		that("IsReportedByADeleteByLabel", "R103 R78", needUnreadable|needLabels, func(c *C) {
			ids := c.fill(6, "ann", time.Hour)
			readable := c.unreadable(ids[2])
			n, err := storeOf[any](c, nil).DeleteByLabel(c.ctx(), "principal", "ann")
			if !errors.Is(err, model.ErrCorrupt) { // Page.Corrupt does not say why
				c.onlyUnavailable(err, "DeleteByLabel over a record that cannot be read")
			}
			if n != 5 {
				c.fail("%d records were removed, want the 5 that can be read", n)
			}
			readable()
			c.bear("ann", ids[2])
		}),
	)
}

// unreadable makes the store refuse to give a record until its result is called.
func (c *C) unreadable(id string) (readable func()) {
	c.Helper()
	c.log.add(c.now, fmt.Sprintf("the store cannot read %q", id), "", "", nil)
	return c.h.Unreadable(c.TB, c.name, id)
}

// onlyUnavailable stops the case unless the error says that nothing was read or changed.
func (c *C) onlyUnavailable(err error, format string, args ...any) {
	c.Helper()
	c.is(err, model.ErrUnavailable, format, args...)
	if errors.Is(err, model.ErrUnknown) {
		c.fail(format+" returned %v, want an error that is not %v", append(args, err, model.ErrUnknown)...)
	}
}

// changesUnreadable stops the case unless a change of a record that cannot be read is
// carried out, or refused and leaves the record as it was.
func (c *C) changesUnreadable(name string, change func(old model.Record) (next model.Record, err error)) {
	c.Helper()
	old := c.rec("record of "+name, `{"n":1}`, time.Hour)
	old = c.put(old)
	readable := c.unreadable(old.ID)
	next, err := change(old)
	readable()
	switch {
	case err != nil:
		if name != "create" || !errors.Is(err, model.ErrExists) {
			c.onlyUnavailable(err, "%s of a record that cannot be read", name)
		}
		c.holds(old)
	case name == "create":
		c.fail("a create replaced a record that cannot be read, want %v or %v", model.ErrUnavailable, model.ErrExists)
	case next.ID == "":
		_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: old.ID})
		c.is(err, model.ErrNotFound, "get after a %s that returned no error", name)
	default:
		c.holds(next)
	}
}

// namesUnreadable stops the case unless a listing has all records but the one that
// cannot be read, and names that.
func (c *C) namesUnreadable(q driver.Query, ids []string, bad string) {
	c.Helper()
	got, corrupt := c.listAll(q)
	if _, there := got[bad]; there || len(got) != len(ids)-1 {
		c.fail("%d records are listed by %q with a limit of %d, want the %d that can be read", len(got), q.Label, q.Limit, len(ids)-1)
	}
	if len(corrupt) != 1 {
		c.fail("Page.Corrupt names %q, want the record that cannot be read once", corrupt)
	}
}
