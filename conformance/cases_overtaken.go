package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// overtaken loses the answer of a Store's write and lets another node act
// before the Store reads the record. The write was applied, then the other
// node acted. What the other node left must stay, and the write must be
// ErrUnknown.
func overtaken(c *C, write func(*expiry.Store[doc]) error, other func(driver.ModelExpirySupport)) {
	c.Helper()
	node, acted := c.second(), false
	s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), lost: func(string) { acted = true; other(node) }}, nil)
	c.h.LoseNext(c.TB, c.b)
	c.is(write(s), model.ErrUnknown, "a write whose answer was lost, and that another overtook")
	if !acted {
		c.fail("the backend returned no error for the lost answer")
	}
}

// start creates the record "a" and returns it, with options for a write at its
// revision.
func (c *C) start() (model.Record, *expiry.WriteOptions) {
	c.Helper()
	r := c.put(c.rec("a", `{"name":"start","n":1}`, time.Hour))
	return r, &expiry.WriteOptions{IfMatch: expiry.AtRevision(r.Revision)}
}

// deletes, writes and recreates are the acts of the other node.
func (c *C) deletes(b driver.ModelExpirySupport) {
	c.ok(b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}), "delete on the other node")
}

func (c *C) writes(theirs model.Record, cond driver.Condition) func(driver.ModelExpirySupport) {
	return func(b driver.ModelExpirySupport) {
		_, err := b.Write(c.ctx(), c.now, driver.Write{Record: theirs.Clone(), Cond: cond})
		c.ok(err, "write on the other node")
	}
}

func (c *C) recreates(theirs model.Record) func(driver.ModelExpirySupport) {
	return func(b driver.ModelExpirySupport) {
		c.deletes(b)
		c.writes(theirs, driver.IfAbsent)(b)
	}
}

func overtakenCases() []Case {
	create := func(c *C) func(*expiry.Store[doc]) error {
		return func(s *expiry.Store[doc]) error { _, err := s.Create(c.ctx(), "a", doc{N: 2}, nil); return err }
	}
	update := func(c *C, opts *expiry.WriteOptions) func(*expiry.Store[doc]) error {
		return func(s *expiry.Store[doc]) error { _, err := s.Update(c.ctx(), "a", doc{N: 2}, opts); return err }
	}
	upsert := func(c *C) func(*expiry.Store[doc]) error {
		return func(s *expiry.Store[doc]) error { _, err := s.Upsert(c.ctx(), "a", doc{N: 2}, nil); return err }
	}
	touch := func(c *C, opts *expiry.TouchOptions) func(*expiry.Store[doc]) error {
		return func(s *expiry.Store[doc]) error {
			_, err := s.Touch(c.ctx(), "a", expiry.At(c.in(2*time.Hour)), opts)
			return err
		}
	}
	remove := func(c *C, opts *expiry.DeleteOptions) func(*expiry.Store[doc]) error {
		return func(s *expiry.Store[doc]) error { return s.Delete(c.ctx(), "a", opts) }
	}
	return group("Overtaken",
		that("CreateByADeleteIsNotRevived", "R67 R4", needLoss, func(c *C) {
			overtaken(c, create(c), c.deletes)
			c.gone("a")
		}),
		that("CreateByAnUpdateLeavesTheirs", "R67 R12", needLoss, func(c *C) {
			theirs := c.rec("a", `{"n":3}`, time.Hour)
			overtaken(c, create(c), c.writes(theirs, driver.IfPresent))
			c.holds(theirs)
		}),
		that("CreateByADeleteAndCreateLeavesTheirs", "R67 R15", needLoss, func(c *C) {
			theirs := c.rec("a", `{"n":2}`, 0)
			overtaken(c, create(c), c.recreates(theirs))
			c.holds(theirs)
		}),
		that("UpdateByADeleteIsNotRevived", "R67 R4", needLoss, func(c *C) {
			c.start()
			overtaken(c, update(c, nil), c.deletes)
			c.gone("a")
		}),
		that("UpdateByAnUpdateLeavesTheirs", "R67 R12", needLoss, func(c *C) {
			c.start()
			theirs := c.rec("a", `{"n":3}`, time.Hour)
			overtaken(c, update(c, nil), c.writes(theirs, driver.IfPresent))
			c.holds(theirs)
		}),
		that("CompareAndSetByADeleteIsNotRevived", "R67 R4", needLoss, func(c *C) {
			_, at := c.start()
			overtaken(c, update(c, at), c.deletes)
			c.gone("a")
		}),
		that("CompareAndSetByAnUpdateLeavesTheirs", "R67 R19", needLoss, func(c *C) {
			_, at := c.start()
			theirs := c.rec("a", `{"n":3}`, time.Hour)
			overtaken(c, update(c, at), c.writes(theirs, driver.IfPresent))
			c.holds(theirs)
		}),
		that("CompareAndSetByADeleteAndCreateLeavesTheirs", "R67 R66", needLoss, func(c *C) {
			_, at := c.start()
			theirs := c.rec("a", `{"n":2}`, time.Hour)
			overtaken(c, update(c, at), c.recreates(theirs))
			c.holds(theirs)
		}),
		that("UpsertByADeleteIsNotSentAgain", "R67 R12", needLoss, func(c *C) {
			c.start()
			overtaken(c, upsert(c), c.deletes)
			c.gone("a")
		}),
		that("UpsertByAnUpsertLeavesTheirs", "R67 R12", needLoss, func(c *C) {
			theirs := c.rec("a", `{"n":3}`, time.Hour)
			overtaken(c, upsert(c), c.writes(theirs, driver.IfAny))
			c.holds(theirs)
		}),
		that("TouchByADeleteIsNotRevived", "R67 R4", needLoss, func(c *C) {
			c.start()
			overtaken(c, touch(c, nil), c.deletes)
			c.gone("a")
		}),
		that("TouchByATouchLeavesTheirs", "R67 R30", needLoss, func(c *C) {
			r, _ := c.start()
			r.ExpiresAt = c.in(time.Minute)
			overtaken(c, touch(c, nil), func(b driver.ModelExpirySupport) {
				_, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: r.ExpiresAt})
				c.ok(err, "touch on the other node")
			})
			c.holds(r)
		}),
		that("TouchOfARevisionByADeleteAndCreateLeavesTheirs", "R67 R66", needLoss, func(c *C) {
			// The expiry in force is the wanted one, but it is the expiry of another
			// record.
			r, _ := c.start()
			theirs := c.rec("a", `{"n":3}`, 2*time.Hour)
			overtaken(c, touch(c, &expiry.TouchOptions{Known: expiry.AtRevision(r.Revision)}), c.recreates(theirs))
			c.holds(theirs)
		}),
		that("DeleteByACreateLeavesTheirs", "R67 R38", needLoss, func(c *C) {
			c.start()
			theirs := c.rec("a", `{"n":3}`, time.Hour)
			overtaken(c, remove(c, nil), c.writes(theirs, driver.IfAbsent))
			c.holds(theirs)
		}),
		that("DeleteAtARevisionByACreateLeavesTheirs", "R67 R39", needLoss, func(c *C) {
			r, _ := c.start()
			theirs := c.rec("a", `{"n":3}`, time.Hour)
			overtaken(c, remove(c, &expiry.DeleteOptions{IfMatch: expiry.AtRevision(r.Revision)}), c.writes(theirs, driver.IfAbsent))
			c.holds(theirs)
		}),
		that("MutateByAnUpdateIsNotAppliedToTheirs", "R67 R72", needLoss, func(c *C) {
			c.start()
			theirs, armed := c.rec("a", `{"n":30}`, time.Hour), false
			s := storeOn[doc](c, &interceptor{
				Wrapper: driverkit.Wrap(c.b),
				before: func(op string) {
					if op == "Write" && !armed {
						armed = true
						c.h.LoseNext(c.TB, c.b)
					}
				},
				lost: func(string) { c.writes(theirs, driver.IfPresent)(c.second()) },
			}, nil)
			// The other node's value may include this change. A second change would
			// count twice.
			_, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
			c.is(err, model.ErrUnknown, "mutate that another overtook")
			c.holds(theirs)
		}),
		that("PartialUpdateByADeleteIsNotRevived", "R67 R4", needLoss, func(c *C) {
			c.start()
			armed := false
			s := storeOn[doc](c, &interceptor{
				Wrapper: driverkit.Wrap(c.b),
				before: func(op string) {
					if op == "Write" && !armed {
						armed = true
						c.h.LoseNext(c.TB, c.b)
					}
				},
				lost: func(string) { c.deletes(c.second()) },
			}, nil)
			_, err := s.UpdatePartial(c.ctx(), "a", map[string]any{"n": 5}, nil)
			c.is(err, model.ErrUnknown, "partial update that a delete overtook")
			c.gone("a")
		}),
		that("BulkIsUnknownForThatItemAlone", "R89 R81 R67", needLoss, func(c *C) {
			c.start()
			other := c.second()
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), lost: func(string) { c.deletes(other) }}, nil)
			c.h.LoseNext(c.TB, c.b)
			res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{
				{Kind: expiry.OpUpdate, ID: "a", Value: doc{N: 2}},
				{Kind: expiry.OpCreate, ID: "b", Value: doc{N: 3}},
				{Kind: expiry.OpUpsert, ID: "", Value: doc{}},
			})
			c.ok(err, "bulk")
			if err := res.Results[0].Err; err != nil {
				c.is(err, model.ErrUnknown, "the update that a delete overtook")
			} else {
				c.fail("the update that a delete overtook returned no error, want %v", model.ErrUnknown)
			}
			c.ok(res.Results[1].Err, "the create")
			c.is(res.Results[2].Err, model.ErrInvalid, "the operation that was not sent")
			if res.Created != 1 || res.Updated != 0 || res.Upserted != 0 {
				c.fail("Bulk counted %d created, %d updated and %d upserted, want 1, 0 and 0", res.Created, res.Updated, res.Upserted)
			}
			c.gone("a")
		}),
	)
}
