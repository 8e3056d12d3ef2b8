package conformance

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// churnWrites is the largest number of writes of one goroutine, so that a
// listing in the order of writes ends.
const churnWrites = 120

// whileOthers runs do and, at the same time, the writers. They stop when do
// returns.
func (c *C) whileOthers(writers []func(i int) error, do func() error) {
	c.Helper()
	var stop atomic.Bool
	for i, err := range c.concurrently(len(writers)+1, func(who int) error {
		if who == 0 {
			defer stop.Store(true)
			return do()
		}
		for i := 0; i < churnWrites && !stop.Load(); i++ {
			if err := writers[who-1](i); err != nil {
				return err
			}
		}
		return nil
	}) {
		c.ok(err, "goroutine %d", i)
	}
}

// walk lists on the node and calls see with each record.
func (c *C) walk(b driver.ModelExpirySupport, q driver.Query, see func(model.Record) error) error {
	for pages := 0; ; pages++ {
		p, err := b.Page(c.ctx(), c.now, q)
		if err != nil {
			return err
		}
		if len(p.Records) > q.Limit {
			return fmt.Errorf("a page has %d records, want at most %d", len(p.Records), q.Limit)
		}
		if len(p.Corrupt) > 0 {
			return fmt.Errorf("Page.Corrupt names %q, want none", p.Corrupt)
		}
		for _, r := range p.Records {
			if err := see(r); err != nil {
				return err
			}
		}
		if p.Next == "" {
			return nil
		}
		if pages > 2000 {
			return errors.New("no end of the listing")
		}
		q.After = p.Next
	}
}

// exactlyOnce lists on the node and returns an error unless each of the ids
// appears once and every record is valid.
func (c *C) exactlyOnce(b driver.ModelExpirySupport, q driver.Query, ids []string, valid func(model.Record) error) error {
	seen := map[string]int{}
	if err := c.walk(b, q, func(r model.Record) error {
		seen[r.ID]++
		return valid(r)
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if seen[id] != 1 {
			return fmt.Errorf("%q was live throughout and appeared %d times, want once", id, seen[id])
		}
	}
	return nil
}

// whole returns a check that a listed record was written as it is. The writers
// of these cases put the label into the value.
func whole(q driver.Query) func(model.Record) error {
	return func(r model.Record) error {
		p := r.Labels["principal"]
		if !q.Bears(&r) {
			return fmt.Errorf("%q bears %q and is listed under %q", r.ID, p, q.Value)
		}
		if !q.KeysOnly && string(r.Value) != "of "+p {
			return fmt.Errorf("%q bears %q and has the value %q, want %q", r.ID, p, r.Value, "of "+p)
		}
		return nil
	}
}

// of returns a record as the writers of these cases write it.
func (c *C) of(id, principal string, life time.Duration) model.Record {
	return c.labelled(id, "of "+principal, principal, life)
}

// lenient returns nil if a writer lost against another, else err.
func lenient(_ model.Record, err error) error {
	if errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrExists) {
		return nil
	}
	return err
}

func churnCases() []Case {
	return group("Churn",
		that("UnderAListingShowsWhatLivesThroughoutOnce", "R42 R43", needLabels, func(c *C) {
			ids := make([]string, 60)
			for i := range ids {
				ids[i] = fmt.Sprintf("r%04d", i)
				c.put(c.of(ids[i], "ann", time.Hour))
			}
			other := c.second()
			now := c.now
			c.whileOthers([]func(int) error{
				func(i int) error { // creates records between the old ones and deletes some again
					id := fmt.Sprintf("r%04d-%d", i*17%60, i)
					if _, err := other.Write(c.ctx(), now, driver.Write{Record: c.of(id, "ann", time.Hour), Cond: driver.IfAbsent}); err != nil || i%3 > 0 {
						return err
					}
					return other.Delete(c.ctx(), now, driver.Delete{ID: id, Cond: driver.IfPresent})
				},
				func(i int) error { // writes and touches that keep the record live
					id := ids[i*7%60]
					if i%2 == 0 {
						_, err := c.b.Touch(c.ctx(), now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: now.Add(time.Hour + time.Duration(i)*time.Second)})
						return err
					}
					_, err := c.b.Write(c.ctx(), now, driver.Write{Record: c.of(id, "ann", 2*time.Hour), Cond: driver.IfAny})
					return err
				},
			}, func() error {
				for _, q := range []driver.Query{{Limit: 7}, {Limit: 1000}, {Limit: 4, KeysOnly: true}} {
					if err := c.exactlyOnce(c.b, q, ids, whole(q)); err != nil {
						return err
					}
				}
				return nil
			})
		}),
		that("UnderAListingByLabelShowsItsBearersOnce", "R42 R46", needLabels, func(c *C) {
			// Some records bear the label throughout, others come and go.
			ids := make([]string, 25)
			for i := range ids {
				ids[i] = fmt.Sprint("stays", i)
				c.put(c.of(ids[i], "ann", time.Hour))
			}
			for i := range 10 {
				c.put(c.of(fmt.Sprint("moves", i), "bob", time.Hour))
			}
			other := c.second()
			now := c.now
			c.whileOthers([]func(int) error{
				func(i int) error {
					r := c.of(fmt.Sprint("moves", i%10), []string{"ann", "bob"}[i/10%2], time.Hour)
					_, err := other.Write(c.ctx(), now, driver.Write{Record: r, Cond: driver.IfPresent})
					return err
				},
				func(i int) error {
					_, err := c.b.Write(c.ctx(), now, driver.Write{Record: c.of(ids[i%25], "ann", 2*time.Hour), Cond: driver.IfPresent})
					return err
				},
			}, func() error {
				for _, limit := range []int{3, 50} {
					q := driver.Query{Label: "principal", Value: "ann", Limit: limit}
					if err := c.exactlyOnce(other, q, ids, whole(q)); err != nil {
						return err
					}
				}
				return nil
			})
			// The listings show what the last acknowledged writes left.
			for _, p := range []string{"ann", "bob"} {
				for id := range c.bearers(p) {
					if got := c.get(id).Labels["principal"]; got != p {
						c.fail("%q bears %q and is listed under %q", id, got, p)
					}
				}
			}
			if n := len(c.bearers("ann")) + len(c.bearers("bob")); n != 35 {
				c.fail("%d records are listed under both labels, want 35", n)
			}
		}),
		that("EndsWithEveryRecordUnderItsLastLabel", "R46 R20", needLabels, func(c *C) {
			// Compare-and-sets of two nodes move one record between labels. In the
			// end the record is found under its last label only.
			c.put(c.of("a", "p0", time.Hour))
			nodes := []driver.ModelExpirySupport{c.b, c.second()}
			for i, err := range c.concurrently(4, func(who int) error {
				for i := range 12 {
					b := nodes[who%2]
					cur, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
					if err != nil {
						return err
					}
					next := c.of("a", fmt.Sprint("p", (who+i)%5), time.Hour)
					if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: next, Cond: driver.IfMatch, Known: cur}); err != nil && !errors.Is(err, model.ErrConflict) {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "writer %d", i)
			}
			last := c.get("a").Labels["principal"]
			for p := range 5 {
				name := fmt.Sprint("p", p)
				if _, listed := c.bearers(name)["a"]; listed != (name == last) {
					c.fail("the record bears %q and its listing under %q is %v, want %v", last, name, listed, name == last)
				}
			}
		}),
		that("UnderACountIsCountedBetweenItsBounds", "R77 R1", needLabels, func(c *C) {
			c.fill(20, "ann", time.Hour)
			now := c.now
			var begun, done atomic.Int64
			begun.Store(20)
			done.Store(20)
			other := c.second()
			c.whileOthers([]func(int) error{
				func(i int) error {
					begun.Add(1)
					_, err := other.Write(c.ctx(), now, driver.Write{Record: c.of(fmt.Sprint("new", i), "ann", time.Hour), Cond: driver.IfAbsent})
					done.Add(1)
					return err
				},
				func(i int) error { // a rewrite does not change the count
					_, err := c.b.Write(c.ctx(), now, driver.Write{Record: c.of(fmt.Sprintf("r%04d", i%20), "ann", time.Hour), Cond: driver.IfPresent})
					return err
				},
			}, func() error {
				for i := range 12 {
					label, value := "", ""
					if i%2 == 0 {
						label, value = "principal", "ann"
					}
					least := int(done.Load())
					n, err := driver.Count(c.ctx(), c.b, now, driver.Query{Label: label, Value: value})
					if err != nil {
						return err
					}
					if most := int(begun.Load()); n < least || n > most {
						return fmt.Errorf("Count returned %d under %q, want %d to %d", n, value, least, most)
					}
				}
				return nil
			})
		}),
		that("OfSweepsLeavesListingsAndCreatesExact", "R42 R50 R52 R55 R17", needSweep|needLabels, func(c *C) {
			// Two nodes sweep expired records. Others are created again under the
			// same ids, and a listing runs at the same time.
			ids := make([]string, 30)
			for i := range ids {
				ids[i] = fmt.Sprint("live", i)
				c.put(c.of(ids[i], "ann", 100*time.Hour))
			}
			for i := range 40 {
				c.put(c.of(fmt.Sprint("due", i), "ann", time.Minute))
			}
			c.advance(time.Minute)
			now := c.now
			other := c.second()
			var removed atomic.Int64
			sweeper := func(b driver.ModelExpirySupport) func(int) error {
				return func(int) error {
					s, err := b.DeleteExpired(c.ctx(), driver.Sweep{Before: now, Limit: 3})
					removed.Add(int64(s.Removed))
					return err
				}
			}
			var made atomic.Int64
			c.whileOthers([]func(int) error{
				sweeper(c.b), sweeper(other),
				func(i int) error {
					if i >= 20 {
						return nil
					}
					_, err := other.Write(c.ctx(), now, driver.Write{Record: c.of(fmt.Sprint("due", i), "bob", time.Hour), Cond: driver.IfAbsent})
					made.Add(1)
					return err
				},
			}, func() error {
				for _, q := range []driver.Query{{Limit: 7}, {Label: "principal", Value: "ann", Limit: 5}, {Limit: 1000, KeysOnly: true}} {
					if err := c.exactlyOnce(c.b, q, ids, whole(q)); err != nil {
						return err
					}
				}
				return nil
			})
			removed.Add(int64(c.sweep(100)))
			// A recreated record was swept before or replaced the expired one, so 20
			// to 40 removals are counted.
			if n := removed.Load(); n > 40 || n < 40-made.Load() {
				c.fail("the sweeps counted %d removals, want 40 minus at most the %d recreated records", n, made.Load())
			}
			c.bear("ann", ids...)
			if n := len(c.bearers("bob")); n != int(made.Load()) {
				c.fail("%d records are listed, want the %d recreated ones", n, made.Load())
			}
			n, err := driver.Count(c.ctx(), c.b, now.Add(-time.Hour), driver.Query{Label: ""})
			c.ok(err, "count")
			if want := len(ids) + int(made.Load()); n != want {
				c.fail("%d records are in the store, want %d", n, want)
			}
		}),
		that("OfOneIDUnderReadersIsAWholeRecordOrNone", "R1 R4 R15 R38", needLabels, func(c *C) {
			// Creates and deletes alternate. A reader gets a record of one create,
			// never a mixture, and never one that was deleted before the read began.
			now := c.now
			other := c.second()
			var deleted atomic.Int64 // every record up to this number is deleted
			deleted.Store(-1)
			c.whileOthers([]func(int) error{func(i int) error {
				if _, err := other.Write(c.ctx(), now, driver.Write{Record: c.of("a", fmt.Sprint(i), time.Hour), Cond: driver.IfAbsent}); err != nil {
					return err
				}
				if err := other.Delete(c.ctx(), now, driver.Delete{ID: "a", Cond: driver.IfPresent}); err != nil {
					return err
				}
				deleted.Store(int64(i))
				return nil
			}}, func() error {
				for range 60 {
					gone := deleted.Load()
					r, err := c.b.Get(c.ctx(), now, driver.Get{ID: "a"})
					if errors.Is(err, model.ErrNotFound) {
						continue
					}
					if err != nil {
						return err
					}
					if err := whole(driver.Query{})(r); err != nil {
						return err
					}
					var n int64
					if _, err := fmt.Sscan(r.Labels["principal"], &n); err != nil || n <= gone {
						return fmt.Errorf("read record %q, but all up to %d were deleted before", r.Labels["principal"], gone)
					}
				}
				return nil
			})
		}),
		that("UnderADeleteByLabelCountsWhatItRemoved", "R78 R79 R39", needLabels, func(c *C) {
			// Others move records to another label meanwhile. A record that moved in
			// time stays and is not counted.
			ids := make([]string, 30)
			for i := range ids {
				ids[i] = fmt.Sprint("id", i)
				c.put(c.of(ids[i], "ann", time.Hour))
			}
			s := storeOf[any](c, nil)
			removed, moved := 0, 0
			for i, err := range c.concurrently(2, func(who int) (err error) {
				if who == 0 {
					removed, err = s.DeleteByLabel(c.ctx(), "principal", "ann")
					return err
				}
				for i := len(ids) - 1; i >= 0; i -= 3 {
					_, err := c.write(c.of(ids[i], "bob", time.Hour), driver.IfPresent, model.Record{})
					if err == nil {
						moved++
					}
					if err := lenient(model.Record{}, err); err != nil {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "call %d", i)
			}
			c.bear("ann")
			if n := len(c.bearers("bob")); n != moved || removed+moved != len(ids) {
				c.fail("%d records were removed and %d moved, %d are listed under the new label; want %d in all", removed, moved, n, len(ids))
			}
		}),
	)
}
