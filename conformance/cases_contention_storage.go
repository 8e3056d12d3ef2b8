package conformance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// contentionStorageCases make DeleteStorage meet the calls on records.
func contentionStorageCases() []Case {
	return group("Contention",
		that("StorageDeletedBesideCallsEndsUsable", "R86 R62", needLabels|needSweep|needCreate, func(c *C) {
			c.deletesBesideCalls(false)
			c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage after all calls")
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			c.works([]driver.ModelExpirySupport{c.b, c.second()})
			c.hasWholeRecords()
		}),
		that("StorageDeletedBesideCallsHoldsWholeRecords", "R86 R46 R50", needLabels|needSweep|needCreate|needWhole, func(c *C) {
			c.deletesBesideCalls(true)
			c.ok(driver.CreateStorage(c.ctx(), c.b), "CreateStorage")
			c.hasWholeRecords()
		}),
	)
}

// deletesBesideCalls makes one contender delete and create the storage while the
// others call everything else. With whole, each record has its index entries.
func (c *C) deletesBesideCalls(whole bool) {
	c.Helper()
	due := c.in(time.Minute)
	ct := c.contest()
	if ct.stops > 0 {
		// A lock of Go for which somebody has waited for a millisecond is handed over.
		// Among many, what DeleteStorage lets go between two steps goes to a writer.
		ct.contenders += 30
		ct.stops += 100
	} else {
		ct.rounds *= 2 // more than the few rounds with a DeleteStorage
	}
	c.contend(ct, one(func(b driver.ModelExpirySupport, _, round int) error {
		return c.remakes(b, ct.stops > 0 || round%8 == 0)
	}), many(func(b driver.ModelExpirySupport, who, round int) error {
		return c.writesItsOwn(b, who, round, whole)
	}), many(func(b driver.ModelExpirySupport, who, round int) (err error) {
		switch label := fmt.Sprint("p", round%ct.contenders); (who + round) % 4 {
		case 0:
			s := driver.Sweep{Before: due, Limit: 10}
			if round%8 < 4 {
				s.OnExpire = func(model.Record) error { return nil }
			}
			_, err = b.DeleteExpired(c.ctx(), s)
		case 1:
			err = c.onlyBearers(b, label)
		case 2:
			_, err = driver.Count(c.ctx(), b, c.now, driver.Query{Label: "principal", Value: label})
		default:
			_, err = driver.Count(c.ctx(), b, c.now, driver.Query{})
		}
		return most(err, model.ErrUnavailable)
	}))
}

// remakes is the contender that alone deletes and creates the storage. So it
// knows what must be there of the record that it alone writes.
func (c *C) remakes(b driver.ModelExpirySupport, now bool) error {
	const id = "mine"
	mine := c.labelled(id, "v", id, time.Hour)
	if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine.Clone(), Cond: driver.IfAny}); err != nil {
		return fmt.Errorf("upsert in a storage that nobody else deletes: %w", err)
	}
	if got, err := b.Get(c.ctx(), c.now, driver.Get{ID: id}); err != nil || got.Revision != mine.Revision {
		return fmt.Errorf("get after the upsert returned the revision %v and the error %w", got.Revision, orNone(err))
	}
	if err := c.isListed(b, mine); err != nil {
		return err
	}
	if !now {
		return nil
	}
	if err := driver.DeleteStorage(c.ctx(), b); err != nil {
		return fmt.Errorf("DeleteStorage beside calls: %w", err)
	}
	if _, err := b.Get(c.ctx(), c.now, driver.Get{ID: id}); !errors.Is(err, model.ErrNotFound) && !errors.Is(err, model.ErrUnavailable) {
		return fmt.Errorf("get after DeleteStorage returned %w", orNone(err))
	}
	if err := driver.CreateStorage(c.ctx(), b); err != nil {
		return fmt.Errorf("CreateStorage beside calls: %w", err)
	}
	p, err := b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: id, Limit: 10})
	if err != nil || len(p.Records) > 0 {
		return fmt.Errorf("the new storage lists %d records by a label of which it has none, error %w", len(p.Records), orNone(err))
	}
	if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine.Clone(), Cond: driver.IfAbsent}); err != nil {
		return fmt.Errorf("create in the new storage: %w", err)
	}
	return nil
}

// writesItsOwn is a contender beside DeleteStorage. Nobody else writes its
// records, so whatever is stored is what it wrote last, with its index entries.
func (c *C) writesItsOwn(b driver.ModelExpirySupport, who, round int, whole bool) error {
	id, cond := fmt.Sprint("w", who), []driver.Condition{driver.IfAny, driver.IfAbsent}[round%2]
	r := c.labelled(id, "v", fmt.Sprint("p", who), time.Hour)
	due := c.labelled(fmt.Sprint("due", who), "v", fmt.Sprint("p", who), time.Minute)
	for _, w := range []driver.Write{{Record: r.Clone(), Cond: cond}, {Record: due, Cond: driver.IfAny}} {
		if _, err := b.Write(c.ctx(), c.now, w); err != nil {
			return most(err, model.ErrUnavailable, model.ErrExists) // it exists after an answer that was lost
		}
	}
	if err := c.isWhole(b, r); err != nil && whole {
		return err
	}
	if _, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: c.in(2 * time.Hour)}); err != nil {
		return most(err, model.ErrUnavailable, model.ErrNotFound)
	}
	moved := c.labelled(id, "v", fmt.Sprint("q", who), time.Hour)
	if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: moved.Clone(), Cond: driver.IfPresent}); err != nil {
		return most(err, model.ErrUnavailable, model.ErrNotFound)
	}
	if err := most(c.onlyBearers(b, r.Labels["principal"]), model.ErrUnavailable); err != nil {
		return err
	}
	if err := c.isWhole(b, moved); err != nil && whole {
		return err
	}
	if err := b.Delete(c.ctx(), c.now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
		return most(err, model.ErrUnavailable, model.ErrNotFound)
	}
	if _, err := b.Get(c.ctx(), c.now, driver.Get{ID: id}); err == nil || most(err, model.ErrUnavailable, model.ErrNotFound) != nil {
		return fmt.Errorf("get of a record that its only writer deleted, beside DeleteStorage: got %w", orNone(err))
	}
	return nil
}

// isWhole returns an error if the record is stored without its index entry. It
// may be gone: then its storage was deleted.
func (c *C) isWhole(b driver.ModelExpirySupport, r model.Record) error {
	for range 2 {
		listed := true
		for range 2 { // it is there before and after the listing, so it is listed
			got, err := b.Get(c.ctx(), c.now, driver.Get{ID: r.ID})
			if err != nil {
				return most(err, model.ErrUnavailable, model.ErrNotFound)
			}
			if got.Revision != r.Revision {
				return fmt.Errorf("%q has another revision than its only writer gave it", r.ID)
			}
			if !listed {
				return fmt.Errorf("beside DeleteStorage, %q is stored with the label %q and is not listed under it", r.ID, r.Labels["principal"])
			}
			p, err := b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: r.Labels["principal"], Limit: 10})
			if err != nil {
				return most(err, model.ErrUnavailable)
			}
			listed = slices.ContainsFunc(p.Records, func(got model.Record) bool { return got.ID == r.ID })
		}
	}
	return nil
}

// hasWholeRecords stops the case unless each record has all its index entries,
// and each index entry its record.
func (c *C) hasWholeRecords() {
	c.Helper()
	all := c.list(driver.Query{})
	by := map[string][]string{}
	for _, r := range all {
		c.sameHead(c.get(r.ID), r)
		v := r.Labels["principal"]
		by[v] = append(by[v], r.ID)
	}
	for v, ids := range by {
		c.bear(v, ids...)
	}
	n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{})
	c.ok(err, "count")
	if n != len(all) {
		c.fail("Count returned %d, and %d records are listed", n, len(all))
	}
	before := c.now
	c.advance(3 * time.Hour)
	if n := c.sweep(10); n != len(all) {
		c.fail("a sweep after the expiry of all %d records removed %d", len(all), n)
	}
	c.now = before
	c.lists(driver.Query{})
	for v := range by {
		c.bear(v)
	}
	if c.h.Left != nil {
		c.ok(driver.DeleteStorage(c.ctx(), c.b), "DeleteStorage")
		c.leaves(0, "after the last DeleteStorage")
	}
}
