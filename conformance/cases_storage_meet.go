package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// storageMeetCases make calls on the storage meet each other.
func storageMeetCases() []Case {
	const rounds = 4
	create := func(c *C, nodes []driver.ModelExpirySupport) {
		c.Helper()
		for i, err := range c.concurrently(len(nodes), func(i int) error { return driver.CreateStorage(c.ctx(), nodes[i]) }) {
			c.ok(err, "CreateStorage by node %d of %d at the same time", i+1, len(nodes))
		}
	}
	return group("Storage",
		that("DeletedByManyNodesAtOnceIsGone", "R86", needCreate, func(c *C) {
			nodes := []driver.ModelExpirySupport{c.b, c.second(), c.second()}
			for round := range rounds {
				c.fillMany(12)
				for i, err := range c.concurrently(len(nodes), func(i int) error { return driver.DeleteStorage(c.ctx(), nodes[i]) }) {
					c.ok(err, "DeleteStorage by node %d of %d at the same time", i+1, len(nodes))
				}
				if c.h.Left != nil {
					c.leaves(0, "after DeleteStorage by %d nodes", len(nodes))
				}
				c.ok(driver.CreateStorage(c.ctx(), nodes[round%len(nodes)]), "CreateStorage")
				c.works(nodes)
			}
		}),
		that("DeletedByManyNodesLeavesWhatAnotherProgramMade", "R97 R86", needPlace, func(c *C) {
			name := c.name + "-z"
			nodes := []driver.ModelExpirySupport{c.unmade(name), c.unmade(name), c.unmade(name)}
			c.ok(driver.CreateStorage(c.ctx(), nodes[0]), "CreateStorage")
			for i := range 5 {
				_, err := nodes[0].Write(c.ctx(), c.now, driver.Write{Record: c.labelled(fmt.Sprint("id", i), "1", "ann", time.Hour), Cond: driver.IfAbsent})
				c.ok(err, "create")
			}
			untouched := c.h.Occupy(c.TB, name)
			for i, err := range c.concurrently(len(nodes), func(i int) error { return driver.DeleteStorage(c.ctx(), nodes[i]) }) {
				c.is(err, model.ErrCorrupt, "DeleteStorage by node %d of %d beside another program", i+1, len(nodes))
			}
			untouched(c.TB)
			_, err := nodes[1].Get(c.ctx(), c.now, driver.Get{ID: "id0"})
			c.is(err, model.ErrNotFound, "get after DeleteStorage")
		}),
		that("CreatedByManyNodesAtOnceIsWhole", "R85", needCreate, func(c *C) {
			nodes := []driver.ModelExpirySupport{c.b, c.second(), c.second()}
			for range rounds {
				c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
				create(c, nodes)
				r := c.works(nodes)
				create(c, nodes)
				c.holds(r)
				c.bear("ann", r.ID)
			}
		}),
		that("CreatedAtOnceKeepsWhatANodeWritesNext", "R85 R1", needCreate, func(c *C) {
			// Each node writes as soon as its own CreateStorage has returned.
			nodes := []driver.ModelExpirySupport{c.b, c.second(), c.second()}
			for range rounds {
				c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
				made := make([]model.Record, len(nodes))
				var ids []string
				for i := range nodes {
					made[i] = c.labelled(fmt.Sprint("of", i), "v", "ann", time.Hour)
					ids = append(ids, made[i].ID)
				}
				for i, err := range c.concurrently(len(nodes), func(i int) error {
					if err := driver.CreateStorage(c.ctx(), nodes[i]); err != nil {
						return err
					}
					_, err := nodes[i].Write(c.ctx(), c.now, driver.Write{Record: made[i].Clone(), Cond: driver.IfAbsent})
					return err
				}) {
					c.ok(err, "CreateStorage and then a create by node %d", i+1)
				}
				for _, r := range made {
					c.holds(r)
				}
				c.bear("ann", ids...)
			}
		}),
		that("OpenedByManyAtOnceIsOneStore", "R1 R6", needNothing, func(c *C) {
			ct := c.contest()
			many, stores := 3, 2
			if ct.stops > 0 {
				many, stores = 8, 48
			}
			for n := range stores {
				name := fmt.Sprint(c.name, "-open", n)
				nodes := make([]driver.ModelExpirySupport, many)
				for i, err := range c.concurrently(many, func(i int) error {
					b := c.h.Open(c.TB, name)
					nodes[i] = b
					if err := driver.CreateStorage(c.ctx(), b); err != nil {
						return err
					}
					_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec(fmt.Sprint("of", i), "v", time.Hour), Cond: driver.IfAbsent})
					return err
				}) {
					c.ok(err, "the first calls of node %d of %d that are opened at the same time", i+1, many)
				}
				for i, b := range nodes {
					for of := range nodes {
						c.getFrom(b, fmt.Sprint("of", of))
					}
					if i+1 == many {
						c.ok(driver.DeleteStorage(c.ctx(), b), "DeleteStorage")
					}
				}
				for _, b := range nodes {
					c.ok(b.Close(), "Close")
				}
			}
		}),
		that("CreatedBesideADeleteIsEmptyOrGone", "R86 R85", needCreate, func(c *C) {
			// CreateStorage may come first, last, or be told to come again.
			nodes := []driver.ModelExpirySupport{c.b, c.second(), c.second()}
			for round := range rounds {
				old := c.fillMany(6)
				for i, err := range c.concurrently(len(nodes), func(i int) error {
					if i == round%len(nodes) {
						return driver.DeleteStorage(c.ctx(), nodes[i])
					}
					return most(driver.CreateStorage(c.ctx(), nodes[i]), model.ErrUnavailable)
				}) {
					c.ok(err, "node %d, of which node %d calls DeleteStorage and the others CreateStorage", i+1, round%len(nodes)+1)
				}
				c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage afterwards")
				for _, id := range old {
					c.gone(id)
				}
				c.works(nodes)
			}
		}),
	)
}

// fillMany creates n records, each second one without an expiry, and returns
// their ids.
func (c *C) fillMany(n int) []string {
	c.Helper()
	var ids []string
	for i := range n {
		r := c.labelled(fmt.Sprint("old", i), "old", "ann", time.Duration(i%2)*time.Hour)
		_, err := c.write(r, driver.IfAny, model.Record{})
		c.ok(err, "upsert")
		ids = append(ids, r.ID)
	}
	return ids
}

// works stops the case unless the storage is new: it is empty, one of many
// creates succeeds, and all nodes find the record. It returns that.
func (c *C) works(nodes []driver.ModelExpirySupport) model.Record {
	c.Helper()
	c.lists(driver.Query{})
	c.bear("ann")
	made := make([]model.Record, len(nodes))
	for i := range made {
		made[i] = c.labelled("new", fmt.Sprint("by ", i), "ann", time.Hour)
	}
	var won []int
	for i, err := range c.concurrently(len(nodes), func(i int) error {
		_, err := nodes[i].Write(c.ctx(), c.now, driver.Write{Record: made[i].Clone(), Cond: driver.IfAbsent})
		return err
	}) {
		if err == nil {
			won = append(won, i)
		} else if !errors.Is(err, model.ErrExists) {
			c.ok(err, "create by node %d in the new storage", i+1)
		}
	}
	if len(won) != 1 {
		c.fail("%d of %d creates of one id succeeded in the new storage, want 1", len(won), len(nodes))
	}
	r := made[won[0]]
	for _, b := range nodes {
		c.sameHead(c.getFrom(b, r.ID), r)
	}
	c.holds(r)
	c.bear("ann", r.ID)
	return r
}
