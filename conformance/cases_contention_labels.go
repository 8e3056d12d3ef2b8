package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// contentionLabelCases make contenders meet within calls that change labels or
// index entries.
func contentionLabelCases() []Case {
	write := func(c *C, cond driver.Condition) func(b driver.ModelExpirySupport, r model.Record) error {
		return func(b driver.ModelExpirySupport, r model.Record) error {
			w := driver.Write{Record: r, Cond: cond}
			if cond == driver.IfMatch {
				cur, err := b.Get(c.ctx(), c.now, driver.Get{ID: r.ID})
				if err != nil {
					return err
				}
				w.Known = cur
			}
			_, err := b.Write(c.ctx(), c.now, w)
			return err
		}
	}
	remove := func(c *C, cond driver.Condition) func(b driver.ModelExpirySupport, r model.Record) error {
		return func(b driver.ModelExpirySupport, r model.Record) error {
			return b.Delete(c.ctx(), c.now, driver.Delete{ID: r.ID, Cond: cond, Known: r})
		}
	}
	return group("Contention",
		that("CreatedIsListedByItsLabelAlone", "R46 R16", needLabels, func(c *C) {
			c.listsTheLast(write(c, driver.IfAbsent), remove(c, driver.IfPresent))
		}),
		that("UpdatedIsListedByItsLabelAlone", "R46 R25", needLabels, func(c *C) { c.listsTheLast(write(c, driver.IfPresent), nil) }),
		that("ComparedAndSetIsListedByItsLabelAlone", "R46 R20", needLabels, func(c *C) { c.listsTheLast(write(c, driver.IfMatch), nil) }),
		that("UpsertedIsListedByItsLabelAlone", "R46 R22", needLabels, func(c *C) { c.listsTheLast(write(c, driver.IfAny), nil) }),
		that("DeletedLeavesTheNextOneListed", "R46 R38", needLabels, func(c *C) { c.listsTheNext(remove(c, driver.IfPresent)) }),
		that("DeletedAtItsRevisionLeavesTheNextOneListed", "R46 R39", needLabels, func(c *C) { c.listsTheNext(remove(c, driver.IfMatch)) }),
		that("TakenLeavesTheNextOneListed", "R46 R71", needLabels, func(c *C) {
			c.listsTheNext(func(b driver.ModelExpirySupport, r model.Record) error {
				_, err := storeOn[any](c, b, nil).Take(c.ctx(), r.ID)
				return err
			})
		}),
		that("UpdatedKeepsTheLabelsInForce", "R24 R25", needLabels, func(c *C) {
			// One contender sets the labels. The others keep them.
			c.put(c.labelled("a", "v", "p", time.Hour))
			c.contend(c.contest(), one(func(b driver.ModelExpirySupport, _, round int) error {
				next := c.labelled("a", "v", fmt.Sprint("p", round%5), time.Hour)
				if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: next.Clone(), Cond: driver.IfPresent}); err != nil {
					return err
				}
				for range 3 {
					if got, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"}); err != nil || got.Labels["principal"] != next.Labels["principal"] {
						return fmt.Errorf("an update set the labels %v, and updates that keep them left %v, error %w", next.Labels, got.Labels, orNone(err))
					}
				}
				return nil
			}), many(func(b driver.ModelExpirySupport, _, _ int) error {
				_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "w", time.Hour), Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}})
				return err
			}))
		}),
		that("SweptLeavesTheNextOneListed", "R46 R55", needSweep|needLabels, func(c *C) {
			// Of few ids, each is in turn that of a record that is due and of one that is
			// not. The contender that creates that one must find it in the listing.
			due := c.in(time.Minute)
			c.contend(c.contest(), many(func(b driver.ModelExpirySupport, who, round int) error {
				create := func(life time.Duration) (model.Record, error) {
					r := c.labelled(fmt.Sprint("a", (who+round)%4), "v", "ann", life)
					_, err := b.Write(c.ctx(), c.now, driver.Write{Record: r.Clone(), Cond: driver.IfAbsent})
					return r, err
				}
				mine, err := create(time.Hour)
				if errors.Is(err, model.ErrExists) {
					_, err := b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10})
					return err
				}
				if err != nil {
					return err
				}
				for range 2 {
					if err := c.isListed(b, mine); err != nil {
						return fmt.Errorf("after a sweep of a record with the same id: %w", err)
					}
				}
				if err := b.Delete(c.ctx(), c.now, driver.Delete{ID: mine.ID, Cond: driver.IfPresent}); err != nil {
					return fmt.Errorf("delete by who created the record: %w", err)
				}
				_, err = create(time.Minute)
				return most(err, model.ErrExists)
			}))
		}),
		that("SweptBesideExtensionsAndCreatesIsCounted", "R55 R52", needSweep, func(c *C) {
			// Owners make due records and extend them by a slow clock. The sweepers'
			// clock is ahead.
			ct := c.contest()
			due, until := c.in(time.Minute), c.in(time.Hour)
			swept, removed := make([]int, ct.contenders), make([]int, ct.contenders)
			c.contend(ct, many(func(b driver.ModelExpirySupport, who, _ int) error {
				mine := c.labelled(fmt.Sprint("own", who), "v", fmt.Sprint("p", who), time.Minute)
				if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine.Clone(), Cond: driver.IfAbsent}); err != nil {
					return fmt.Errorf("create of the id's owner: %w", err)
				}
				for range 4 { // a sweep may come first
					_, err := b.Get(c.ctx(), c.now, driver.Get{ID: mine.ID})
					if err := most(err, model.ErrNotFound); err != nil {
						return err
					}
				}
				_, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: mine.ID, Mode: driver.TouchSet, ExpiresAt: until, Cond: driver.IfMatch, Known: mine})
				if err != nil && !errors.Is(err, model.ErrNotFound) {
					return err
				}
				if err != nil { // the next one is not due, and a sweep leaves its index entries
					swept[who]++
					mine = c.labelled(mine.ID, "v", fmt.Sprint("p", who), time.Hour)
					if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine.Clone(), Cond: driver.IfAbsent}); err != nil {
						return fmt.Errorf("create of the id's owner after a sweep: %w", err)
					}
				}
				for range 2 {
					if _, err := b.Get(c.ctx(), c.now, driver.Get{ID: mine.ID}); err != nil {
						return fmt.Errorf("a sweep removed a record that was extended before: get returned %w", err)
					}
				}
				if c.has(driver.FeatureLabels) && c.has(driver.FeaturePaging) {
					if err := c.isListed(b, mine); err != nil {
						return err
					}
				}
				if err := b.Delete(c.ctx(), c.now, driver.Delete{ID: mine.ID, Cond: driver.IfMatch, Known: mine}); err != nil {
					return fmt.Errorf("a sweep removed a record that was extended before: delete at the revision returned %w", err)
				}
				return nil
			}), many(func(b driver.ModelExpirySupport, who, _ int) error {
				s, err := b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10})
				removed[who] += s.Removed
				return err
			}))
			if sum(swept) != sum(removed) {
				c.fail("the sweeps counted %d removals, and %d records were gone for their owners", sum(removed), sum(swept))
			}
		}),
		that("AnnouncedBesideWritesAndCountsIsCounted", "R53 R54 R55 R52 R77", needSweep|needLabels, func(c *C) {
			// Owners make due records, and extend or delete them by a slow clock. The
			// sweepers announce them, and refuse two of three.
			ct := c.contest()
			due, until := c.in(time.Minute), c.in(time.Hour)
			swept, removed := make([]int, ct.contenders), make([]int, ct.contenders)
			c.contend(ct, many(func(b driver.ModelExpirySupport, who, round int) error {
				label := fmt.Sprint("p", who)
				mine := c.labelled(fmt.Sprint("own", who), "v", label, time.Minute)
				if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine.Clone(), Cond: driver.IfAbsent}); err != nil {
					return fmt.Errorf("create of the id's owner: %w", err)
				}
				for range 4 { // a sweep may announce it meanwhile
					n, err := driver.Count(c.ctx(), b, c.now, driver.Query{Label: "principal", Value: label})
					if err != nil || n > 1 {
						return fmt.Errorf("a count of one record, or none, returned %d and the error %w", n, orNone(err))
					}
				}
				if round%2 == 0 {
					_, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: mine.ID, Mode: driver.TouchSet, ExpiresAt: until, Cond: driver.IfMatch, Known: mine})
					if errors.Is(err, model.ErrNotFound) {
						swept[who]++
						return nil
					}
					if err != nil {
						return err
					}
					for range 2 {
						n, err := driver.Count(c.ctx(), b, due, driver.Query{Label: "principal", Value: label})
						if err != nil || n != 1 {
							return fmt.Errorf("a record was extended beside sweeps that announce, and then its label counts %d, error %w", n, orNone(err))
						}
					}
				}
				err := b.Delete(c.ctx(), c.now, driver.Delete{ID: mine.ID, Cond: driver.IfMatch, Known: mine})
				switch {
				case errors.Is(err, model.ErrNotFound) && round%2 == 1:
					swept[who]++
				case err != nil:
					return fmt.Errorf("delete by the owner, beside sweeps that announce: %w", err)
				}
				return nil
			}), many(func(b driver.ModelExpirySupport, who, round int) error {
				n := round
				s, err := b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(model.Record) error {
					if n++; n%3 == 0 {
						return nil
					}
					return errStays
				}})
				removed[who] += s.Removed
				if _, err := driver.Count(c.ctx(), b, due, driver.Query{}); err != nil {
					return err
				}
				return most(err, errStays)
			}))
			if sum(swept) != sum(removed) {
				c.fail("the sweeps counted %d removals, and %d records were gone for their owners", sum(removed), sum(swept))
			}
		}),
	)
}

// listsTheLast makes contenders write records with labels that no two writes
// share. Afterwards each record is listed by its own label alone.
func (c *C) listsTheLast(write, remove func(b driver.ModelExpirySupport, r model.Record) error) {
	c.Helper()
	ids := []string{"a", "b"}
	if remove == nil {
		for _, id := range ids {
			c.put(c.labelled(id, "v", "first", time.Hour))
		}
	}
	ct := c.contest()
	used := make([][]string, ct.contenders)
	c.contend(ct, many(func(b driver.ModelExpirySupport, who, round int) error {
		if n := len(used[who]); n > 0 {
			if err := c.onlyBearers(b, used[who][n-1]); err != nil {
				return err
			}
		}
		r := c.labelled(ids[round/2%2], "v", fmt.Sprint(who, "-", round), time.Hour)
		if remove != nil && (who+round)%2 == 0 {
			return most(remove(b, r), model.ErrNotFound)
		}
		err := write(b, r)
		if err == nil {
			used[who] = append(used[who], r.Labels["principal"])
		}
		return most(err, model.ErrExists, model.ErrNotFound, model.ErrConflict)
	}))
	for _, id := range ids {
		if c.present(id) == 0 {
			continue
		}
		if err := c.isListed(c.b, c.get(id)); err != nil {
			c.fail("%v", err)
		}
	}
	// A record that bears another label now shows the entries that were left.
	for _, id := range ids {
		_, err := c.write(c.labelled(id, "v", "last", time.Hour), driver.IfAny, model.Record{})
		c.ok(err, "upsert")
	}
	for _, values := range used {
		for _, v := range values[max(0, len(values)-100):] {
			if err := c.onlyBearers(c.b, v); err != nil {
				c.fail("%v", err)
			}
		}
	}
	c.bear("last", ids...)
}

// listsTheNext makes contenders create few records with one label, and remove
// what they created. The creator must find it in the listing.
func (c *C) listsTheNext(remove func(b driver.ModelExpirySupport, r model.Record) error) {
	c.Helper()
	c.contend(c.contest(), many(func(b driver.ModelExpirySupport, who, round int) error {
		mine := c.labelled(fmt.Sprint("a", (who+round)%4), `"v"`, "ann", time.Hour)
		if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine.Clone(), Cond: driver.IfAbsent}); err != nil {
			return most(err, model.ErrExists)
		}
		for range 2 {
			if err := c.isListed(b, mine); err != nil {
				return err
			}
		}
		if err := remove(b, mine); err != nil {
			return fmt.Errorf("removal by who created the record: %w", err)
		}
		return nil
	}))
}

// onlyBearers returns an error if a record is listed by a value of the label
// that it does not bear.
func (c *C) onlyBearers(b driver.ModelExpirySupport, value string) error {
	p, err := b.Page(c.ctx(), c.now, driver.Query{Label: "principal", Value: value, Limit: 10})
	for _, r := range p.Records {
		if r.Labels["principal"] != value {
			return fmt.Errorf("%q bears %v and is listed under %q, which it bore before", r.ID, r.Labels, value)
		}
	}
	return err
}

// isListed returns an error unless the record is the first in the listing by
// its label.
func (c *C) isListed(b driver.ModelExpirySupport, r model.Record) error {
	v := r.Labels["principal"]
	q := driver.Query{Label: "principal", Value: v, Limit: 10}
	for range 10 {
		p, err := b.Page(c.ctx(), c.now, q)
		if err != nil {
			return err
		}
		for _, got := range p.Records {
			if got.ID == r.ID {
				return nil
			}
		}
		if q.After = p.Next; p.Next == "" {
			break
		}
	}
	return fmt.Errorf("%q was stored with the label %q and is not listed under it", r.ID, v)
}
