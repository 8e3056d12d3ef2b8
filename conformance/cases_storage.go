package conformance

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func storageCases() []Case {
	return group("Storage",
		that("CreatedAgainKeepsItsRecords", "R85", needNothing, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			for range 2 {
				c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			}
			c.holds(r)
			c.bear("ann", "a")
		}),
		that("DeletedIsEmpty", "R86", needSweep|needCreate, func(c *C) {
			for i := range 40 {
				c.put(c.labelled(string(rune('a'+i)), "1", "ann", time.Hour))
			}
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage again")
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			c.gone("a")
			c.lists(driver.Query{})
			c.bear("ann")
			r := c.put(c.labelled("a", "2", "ann", time.Hour))
			c.holds(r)
			c.bear("ann", "a")
			c.advance(time.Hour)
			if n := c.sweep(100); n != 1 {
				c.fail("the sweep of the recreated storage removed %d records, want 1", n)
			}
		}),
		that("RefusesAPlaceThatAnotherProgramUses", "R96", needPlace, func(c *C) {
			b := c.unmade(c.name + "-x")
			untouched := c.h.Occupy(c.TB, c.name+"-x")
			for range 2 {
				err := driver.CreateStorage(c.ctx(), b)
				c.is(err, model.ErrCorrupt, "CreateStorage where another program is")
				untouched(c.TB)
			}
			c.is(driver.DeleteStorage(c.ctx(), b), model.ErrCorrupt, "DeleteStorage where another program is")
			untouched(c.TB)
		}),
		that("DeletedLeavesWhatAnotherProgramMade", "R97 R86", needPlace, func(c *C) {
			b := c.unmade(c.name + "-y")
			c.ok(driver.CreateStorage(c.ctx(), b), "CreateStorage")
			for i := range 5 {
				_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.labelled(fmt.Sprint("id", i), "1", "ann", time.Hour), Cond: driver.IfAbsent})
				c.ok(err, "create")
			}
			untouched := c.h.Occupy(c.TB, c.name+"-y")
			c.is(driver.DeleteStorage(c.ctx(), b), model.ErrCorrupt, "DeleteStorage beside another program")
			untouched(c.TB)
			_, err := b.Get(c.ctx(), c.now, driver.Get{ID: "id0"})
			c.is(err, model.ErrNotFound, "get after DeleteStorage")
		}),
		that("BesideAnotherProgramCallsAreRightOrRefused", "R97 R50", needPlace|needLabels|needPaging|needSweep, func(c *C) {
			c.b = c.unmade(c.name + "-w")
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			stored := map[string]model.Record{}
			for i := range 5 {
				r := c.put(c.labelled(fmt.Sprint("id", i), "1", "ann", time.Hour))
				stored[r.ID] = r
			}
			c.h.Occupy(c.TB, c.name+"-w")
			c.callsBesideAnotherProgram(stored)
		}),
		that("RecreatedForgetsOldRevisions", "R66 R86", needCreate, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			_, err := c.write(c.rec("a", "1", time.Hour), driver.IfAny, model.Record{})
			c.ok(err, "upsert")
			_, err = c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrConflict, "compare-and-set at an earlier revision")
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: old}), model.ErrConflict, "delete at an earlier revision")
		}),
		that("DeletedLeavesTheNeighbour", "R86 R6", needLabels, func(c *C) {
			neighbour := c.node(c.name + "-b")
			r := c.rec("a", "1", time.Hour)
			r.Labels = map[string]string{"principal": "ann"}
			_, err := neighbour.Write(c.ctx(), c.now, driver.Write{Record: r.Clone(), Cond: driver.IfAbsent})
			c.ok(err, "create in the neighbour")
			c.put(c.rec("a", "mine", time.Hour))
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			got := c.getFrom(neighbour, "a")
			c.sameHead(got, r)
			p, err := neighbour.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 5})
			c.ok(err, "page of the neighbour")
			if len(p.Records) != 1 {
				c.fail("the neighbour lists %d records, want 1", len(p.Records))
			}
		}),
		that("OfTwoNamesSharesNothing", "R6", needLabels|needSweep, func(c *C) {
			// One name is the beginning of the other.
			other := c.node(c.name + "1")
			c.put(c.labelled("a", "1", "ann", time.Minute))
			_, err := other.Get(c.ctx(), c.now, driver.Get{ID: "a"})
			c.is(err, model.ErrNotFound, "get from the other store")
			_, err = other.Write(c.ctx(), c.now, driver.Write{Record: c.rec("1a", "2", time.Minute), Cond: driver.IfAbsent})
			c.ok(err, "create in the other store")
			c.lists(driver.Query{}, "a")
			p, err := other.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 5})
			c.ok(err, "page of the other store")
			if len(p.Records) != 0 {
				c.fail("the other store lists %d records of this one, want none", len(p.Records))
			}
			c.advance(time.Minute)
			s, err := other.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 10})
			c.ok(err, "sweep of the other store")
			if s.Removed != 1 {
				c.fail("the other store's sweep removed %d, want its own 1", s.Removed)
			}
			if n := c.sweep(10); n != 1 {
				c.fail("this store's sweep removed %d, want its own 1", n)
			}
		}),
		that("DeletedOnOneNodeIsEmptyOnTheOther", "R86 R1", needCreate, func(c *C) {
			other := c.second()
			c.put(c.labelled("a", "1", "ann", time.Hour))
			c.getFrom(other, "a")
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			_, err := other.Get(c.ctx(), c.now, driver.Get{ID: "a"})
			c.is(err, model.ErrNotFound, "get on the other node")
			r := c.labelled("a", "2", "bob", time.Hour)
			_, err = other.Write(c.ctx(), c.now, driver.Write{Record: r.Clone(), Cond: driver.IfAbsent})
			c.ok(err, "create on the other node")
			c.holds(r)
			c.bear("ann")
			c.bear("bob", "a")
		}),
		that("RecreatedWorksLikeNew", "R86 R16 R46", needLabels|needSweep|needCreate, func(c *C) {
			// CreateStorage restores everything: one winner of many creates,
			// listings by label, sweeps.
			c.put(c.labelled("a", "1", "ann", time.Hour))
			for range 2 {
				c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
				c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			}
			wins := c.race(16, func(int) error {
				_, err := c.write(c.labelled("b", "2", "ann", time.Minute), driver.IfAbsent, model.Record{})
				return err
			}, model.ErrExists)
			if wins != 1 {
				c.fail("%d of 16 creates succeeded, want 1", wins)
			}
			if _, ok := c.bearers("ann")["b"]; !ok {
				c.fail("the created record is not listed under its label")
			}
			c.advance(time.Minute)
			if n := c.sweep(10); n != 1 {
				c.fail("the sweep removed %d records, want 1", n)
			}
		}),
		that("DeletedBesideEveryCallEndsUsable", "R86 R62", needCreate, func(c *C) {
			// A call may fail while the storage is deleted and created, but its
			// error matches a sentinel. The storage that is created at the end is
			// empty.
			other := c.second()
			for i, err := range c.concurrently(6, func(who int) error {
				for i := range 10 {
					id := fmt.Sprint("id", i)
					var err error
					switch who {
					case 0:
						if i%5 == 0 {
							err = errors.Join(driver.DeleteStorage(c.ctx(), other), driver.CreateStorage(c.ctx(), other))
						}
					case 1:
						_, err = c.write(c.labelled(id, "v", "ann", time.Hour), driver.IfAny, model.Record{})
					case 2:
						_, err = c.b.Get(c.ctx(), c.now, driver.Get{ID: id})
					case 3:
						_, err = c.b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: "ann", Limit: 3})
					case 4:
						_, err = c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 5})
					case 5:
						_, err = driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: ""})
					}
					if err != nil && model.Kind(err) == nil {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "goroutine %d", i)
			}
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			c.lists(driver.Query{})
			c.bear("ann")
			r := c.put(c.labelled("id1", "2", "ann", time.Hour))
			c.holds(r)
			c.bear("ann", "id1")
		}),
		that("DeletedWhileASweepAnnouncesLeavesWhatComesNext", "R86 R53 R55", needLabels|needSweep|needCreate, func(c *C) {
			// The sweep goes on with what it knew. The storage is a new one, with other
			// records under the same ids.
			other := c.second()
			for _, answer := range []error{nil, errStays} {
				due, until := c.in(time.Minute), c.in(time.Hour)
				ids := c.fill(6, "ann", time.Minute)
				next := map[string]model.Record{}
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 100, OnExpire: func(model.Record) error {
					if len(next) > 0 {
						return answer
					}
					c.ok(driver.DeleteStorage(c.ctx(), other), "DeleteStorage from OnExpire")
					c.ok(driver.CreateStorage(c.ctx(), other), "CreateStorage from OnExpire")
					for _, id := range ids {
						next[id] = c.put(c.labelled(id, "next", "bob", time.Hour))
					}
					return answer
				}})
				if err != nil && model.Kind(err) == nil {
					c.fail("a sweep whose storage is deleted meanwhile returned %v, want no error or one of the sentinels", err)
				}
				if s.Removed != 0 {
					c.fail("the sweep counted %d records, want none: DeleteStorage removed those that it announced", s.Removed)
				}
				left := func(when string) {
					c.Helper()
					for _, r := range next {
						c.holds(r)
					}
					c.bear("bob", ids...)
					c.bear("ann")
					n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{})
					c.ok(err, "count")
					if n != len(ids) {
						c.fail("Count returned %d %s, want %d", n, when, len(ids))
					}
				}
				left("after the sweep")
				c.now = due
				if n := c.sweep(100); n != 0 {
					c.fail("the next sweep removed %d records, want none: what has expired went with the storage", n)
				}
				left("after the next sweep")
				c.now = until
				if n := c.sweep(100); n != len(ids) {
					c.fail("the sweep after their expiry removed %d records, want %d", n, len(ids))
				}
			}
		}),
		that("AnswersAPing", "R57", needNothing, func(c *C) { c.ok(driver.Ping(c.ctx(), c.b, c.now), "ping") }),
	)
}

// callsBesideAnotherProgram makes calls of each kind on a store that has these
// records. A backend may refuse them. What it answers is about its own.
func (c *C) callsBesideAnotherProgram(stored map[string]model.Record) {
	c.Helper()
	right := func(err error, ok bool, what string) {
		c.Helper()
		switch {
		case err == nil && !ok:
			c.fail("%s beside another program returned no error and a wrong answer", what)
		case err != nil && !errors.Is(err, model.ErrCorrupt):
			c.is(err, model.ErrUnavailable, "%s beside another program", what)
		}
	}
	changed, created := c.labelled("id1", "2", "bob", time.Hour), c.labelled("id9", "1", "bob", time.Hour)
	for _, w := range []driver.Write{{Record: changed, Cond: driver.IfMatch, Known: stored["id1"]}, {Record: created, Cond: driver.IfAbsent}} {
		made := w.Record.Clone()
		_, err := c.b.Write(c.ctx(), c.now, w)
		right(err, true, "a write")
		if err == nil {
			stored[made.ID] = made
		}
	}
	err := c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "id2", Cond: driver.IfPresent})
	right(err, true, "a delete")
	if err == nil {
		delete(stored, "id2")
	}
	touched := stored["id3"]
	touched.ExpiresAt = c.in(2 * time.Hour)
	_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "id3", Mode: driver.TouchSet, ExpiresAt: touched.ExpiresAt})
	right(err, true, "a touch")
	if err == nil {
		stored["id3"] = touched
	}
	for id, want := range stored {
		got, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: id})
		right(err, same(got, want), "a get")
	}
	for _, q := range []driver.Query{{}, {Label: "principal", Value: "ann"}, {Label: "principal", Value: "bob"}} {
		n, err := driver.Count(c.ctx(), c.b, c.now, q)
		right(err, n == len(bearing(stored, q)), "a count")
		q.Limit = 100
		p, err := c.b.Page(c.ctx(), c.now, q)
		got := map[string]model.Record{}
		for _, r := range p.Records {
			got[r.ID] = r
		}
		right(err, len(p.Corrupt) == 0 && maps.EqualFunc(got, bearing(stored, q), same), "a listing")
	}
	due := 0
	for _, r := range stored {
		if r.Expired(c.in(time.Hour)) {
			due++
		}
	}
	swept, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.in(time.Hour), Limit: 100})
	right(err, swept.Removed == due && !swept.More, "a sweep")
}

// unmade opens a backend on a store whose storage is not created.
func (c *C) unmade(name string) driver.ModelExpirySupport {
	c.Helper()
	b := c.h.Open(c.TB, name)
	c.Cleanup(func() { _ = b.Close() })
	return b
}
