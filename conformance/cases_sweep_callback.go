package conformance

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

var errStays = errors.New("the record stays")

func sweepCallbackCases() []Case {
	return group("Sweep",
		that("OfOneAtATimeComesToAnEnd", "R51 R50", needSweep, func(c *C) {
			c.fill(9, "ann", time.Minute)
			c.advance(time.Minute)
			if n := c.sweep(1); n != 9 {
				c.fail("sweeps of one record removed %d in all, want 9", n)
			}
			c.bear("ann")
		}),
		that("ReportsMoreIfTheLimitLeftSome", "R51", needSweep, func(c *C) {
			c.fill(9, "", time.Minute)
			c.advance(time.Minute)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 4})
			c.ok(err, "sweep")
			if s.Removed != 4 || !s.More {
				c.fail("%d of 9 records were removed and More is %v, want 4 and true", s.Removed, s.More)
			}
		}),
		that("ReportsMoreIfAnotherSweepGotAhead", "R51 R52", needSweep, func(c *C) {
			// The other sweep removes many records that this one has chosen. This
			// one does not reach its limit, but expired records are left. If the
			// order is random, the two miss each other in one round of eight.
			for range 6 {
				c.fill(16, "", time.Minute)
				c.advance(time.Minute)
				other, ahead := c.second(), 0
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 4, OnExpire: func(model.Record) error {
					if ahead > 0 {
						return nil
					}
					o, err := other.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 13})
					ahead = o.Removed
					return err
				}})
				c.ok(err, "sweep")
				left := c.sweep(100)
				if left > 0 && !s.More {
					c.fail("this sweep removed %d records, the other %d, and More is false; %d were left", s.Removed, ahead, left)
				}
				if s.Removed+ahead+left != 16 || ahead == 0 {
					c.fail("the sweeps removed %d, %d and %d records, want 16 in all", s.Removed, ahead, left)
				}
			}
		}),
		that("AnnouncesEveryRecordAcrossLimitedSweeps", "R51 R53", needSweep|needLabels, func(c *C) {
			// Every record is announced before its removal, over several limited
			// sweeps.
			c.fill(30, "ann", time.Minute)
			c.advance(time.Minute)
			seen := map[string]bool{}
			removed := 0
			for range 40 {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 7, OnExpire: func(r model.Record) error {
					if r.Labels["principal"] != "ann" || r.Revision.IsZero() || r.ExpiresAt.IsZero() {
						c.Errorf("%s\n  announced %+v, want a label, a revision and an expiry", c.describe(), r)
					}
					seen[r.ID] = true
					return nil
				}})
				c.ok(err, "sweep")
				if s.Removed > 7 {
					c.fail("the sweep removed %d records, want at most 7", s.Removed)
				}
				if removed += s.Removed; len(seen) < removed {
					c.fail("%d records were removed and only %d announced", removed, len(seen))
				}
				if !s.More {
					break
				}
			}
			if removed != 30 {
				c.fail("%d records were removed in all, want 30", removed)
			}
		}),
		that("GoesOnPastManyRefusedRecords", "R54 R51", needSweep, func(c *C) {
			// The refused records expired first, and they are more than the limit.
			for i := range 12 {
				c.put(c.rec(fmt.Sprint("kept", i), "v", time.Duration(i+1)*time.Second))
			}
			c.fill(6, "", time.Minute)
			c.advance(time.Minute)
			removed := 0
			for range 30 {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 3, OnExpire: func(r model.Record) error {
					if r.ID[0] == 'k' {
						return errStays
					}
					return nil
				}})
				c.ok(err, "sweep with refusals")
				if removed += s.Removed; removed == 6 {
					break
				}
			}
			if removed != 6 {
				c.fail("%d records were removed, want the 6 that were not refused", removed)
			}
			if n := c.sweep(100); n != 12 {
				c.fail("the next sweep removed %d records, want the 12 refused ones", n)
			}
		}),
		that("MissesNoneIfAnotherSweepRemovesTheRefused", "R51 R54", needSweep, func(c *C) {
			// Another sweep removes the refused records. A sweep that skips a number
			// of records then skips some that it has not seen.
			const due, most = 64, 40
			c.fill(due, "", time.Minute)
			c.advance(time.Minute)
			other, refused, ahead := c.second(), map[string]bool{}, 0
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: most, OnExpire: func(r model.Record) error {
				if len(refused) == most {
					return nil
				}
				refused[r.ID] = true
				if len(refused) == most {
					o, err := other.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: most, OnExpire: func(r model.Record) error {
						if refused[r.ID] {
							return nil
						}
						return errStays
					}})
					c.ok(err, "the other sweep")
					ahead = o.Removed // none if the first sweep holds the records
				}
				return errStays
			}})
			c.ok(err, "sweep")
			missed := 0
			left := c.sweepAnnounced(due, func(r model.Record) error {
				if !refused[r.ID] {
					missed++
				}
				return nil
			})
			if missed > 0 && !s.More {
				c.fail("%d records were not announced, and More is false", missed)
			}
			if s.Removed+ahead+left != due {
				c.fail("the sweeps removed %d, %d and %d records, want %d in all", s.Removed, ahead, left, due)
			}
		}),
		that("LetsOnExpireUseTheBackend", "R53 R55 R52", needSweep|needLabels, func(c *C) {
			// OnExpire makes every kind of call on the announced record.
			c.fill(12, "ann", time.Minute)
			due := c.in(time.Minute)
			n, deleted := 0, 0
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 100, OnExpire: func(r model.Record) error {
				n++
				if _, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: r.ID}); err != nil {
					c.Errorf("%s\n  get of the announced record: %v", c.describe(), err)
				}
				if len(c.bearers("ann")) == 0 {
					c.Errorf("%s\n  no record is listed while one is announced", c.describe())
				}
				if _, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: "principal", Value: "ann"}); err != nil {
					c.Errorf("%s\n  count: %v", c.describe(), err)
				}
				switch n % 3 {
				case 0:
					deleted++
					return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: r.ID, Cond: driver.IfPresent, Known: r})
				case 1:
					c.put(c.rec(fmt.Sprint("made", n), "v", time.Hour))
				}
				return nil
			}})
			c.ok(err, "sweep")
			if s.Removed != 12-deleted {
				c.fail("%d records were removed, want 12 less the %d that OnExpire deleted", s.Removed, deleted)
			}
			c.bear("ann")
		}),
		that("WithinASweepCountsEachRemovalOnce", "R52 R53", needSweep, func(c *C) {
			c.fill(10, "", time.Minute)
			c.advance(time.Minute)
			inner, once := 0, false
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100, OnExpire: func(model.Record) error {
				if !once {
					once = true
					in, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100})
					c.ok(err, "sweep within a sweep")
					inner = in.Removed
				}
				return nil
			}})
			c.ok(err, "sweep")
			if rest := c.sweep(100); s.Removed+inner+rest != 10 {
				c.fail("the sweeps removed %d, %d and %d records, want 10 in all", s.Removed, inner, rest)
			}
		}),
		that("DeletedWhileAnnouncedIsNotCounted", "R52 R55", needSweep, func(c *C) {
			r := c.put(c.labelled("a", "v", "ann", time.Minute))
			due := c.in(time.Minute)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(model.Record) error {
				return c.second().Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: r})
			}})
			c.ok(err, "sweep")
			if s.Removed != 0 {
				c.fail("the sweep counted a record that another node deleted")
			}
		}),
		that("RecreatedWhileAnnouncedStays", "R55 R17 R53", needSweep, func(c *C) {
			c.put(c.labelled("a", "old", "ann", time.Minute))
			c.advance(time.Minute)
			next := c.labelled("a", "new", "bob", time.Hour)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 10, OnExpire: func(r model.Record) error {
				if r.Revision == next.Revision {
					c.fail("the sweep announced a live record")
				}
				_, err := c.write(next, driver.IfAbsent, model.Record{})
				return err
			}})
			c.ok(err, "sweep")
			if s.Removed != 0 {
				c.fail("the sweep counted a record that was recreated during its announcement")
			}
			c.holds(next)
			c.bear("bob", "a")
			c.bear("ann")
		}),
		that("ClearedOrShortenedWhileAnnounced", "R55 R33 R30", needSweep, func(c *C) {
			// The cleared record stays. The shortened one has another expiry than
			// announced, so this sweep or the next removes it.
			cleared := c.put(c.rec("cleared", "v", time.Minute))
			c.put(c.rec("shortened", "v", time.Minute))
			due := c.in(time.Minute)
			removed := 0
			for range 3 {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(r model.Record) error {
					if r.ID == "cleared" {
						c.touch(cleared, driver.TouchClear, time.Time{}, time.Time{})
					} else if r.ExpiresAt.Equal(due) {
						_, err := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: due.Add(-time.Second)})
						return err
					}
					return nil
				}})
				c.ok(err, "sweep")
				removed += s.Removed
			}
			if removed != 1 {
				c.fail("%d records were removed, want the shortened one", removed)
			}
			cleared.ExpiresAt = time.Time{}
			c.holds(cleared)
		}),
		that("AnnouncedMemoryIsTheCallersOwn", "R3 R53", needSweep, func(c *C) {
			r := c.put(c.labelled("a", "v", "ann", time.Minute))
			due := c.in(time.Minute)
			_, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 10, OnExpire: func(r model.Record) error {
				overwrite(r)
				return errStays
			}})
			c.ok(err, "sweep")
			c.holds(r)
			c.bear("ann", "a")
		}),
		that("SharedByTwoIsAnnouncedAndCountedInFull", "R52 R53", needSweep, func(c *C) {
			const due = 90
			c.fill(due, "ann", time.Minute)
			live := c.put(c.labelled("live", "v", "ann", time.Hour))
			c.advance(time.Minute)
			nodes := []driver.ModelExpirySupport{c.b, c.second()}
			var mu sync.Mutex
			seen, total := map[string]bool{}, 0
			for i, err := range c.concurrently(2, func(i int) error {
				for {
					s, err := nodes[i].DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 8, OnExpire: func(r model.Record) error {
						mu.Lock()
						defer mu.Unlock()
						seen[r.ID] = true
						return nil
					}})
					if err != nil {
						return err
					}
					mu.Lock()
					total += s.Removed
					mu.Unlock()
					if !s.More {
						return nil
					}
				}
			}) {
				c.ok(err, "sweeper %d", i)
			}
			total += c.sweep(100)
			if total != due {
				c.fail("the sweepers counted %d removals, want %d", total, due)
			}
			if len(seen) != due || seen["live"] {
				c.fail("%d records were announced, want %d expired ones", len(seen), due)
			}
			c.holds(live)
			c.bear("ann", "live")
		}),
		that("BesideTouchesAndWritesRemovesOnlyTheRest", "R55 R50 R52", needSweep|needLabels, func(c *C) {
			// By the sweeps' clock all records have expired, by the writers' clock
			// they are live. A record stays exactly if its writer succeeded.
			due, until := c.in(time.Minute), c.in(time.Hour)
			recs := make([]model.Record, 24)
			for i := range recs {
				recs[i] = c.put(c.labelled(fmt.Sprint("id", i), "v", "ann", time.Minute))
			}
			kept := make([]bool, len(recs))
			var mu sync.Mutex
			removed := 0
			for i, err := range c.concurrently(4, func(who int) error {
				if who < 2 {
					for range 4 {
						s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 5})
						if err != nil {
							return err
						}
						mu.Lock()
						removed += s.Removed
						mu.Unlock()
					}
					return nil
				}
				for i := who - 2; i < len(recs); i += 2 {
					var err error
					if i%4 < 2 {
						_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: recs[i].ID, Mode: driver.TouchExtend, ExpiresAt: until, Known: recs[i]})
					} else {
						_, err = c.write(model.Record{ID: recs[i].ID, Revision: model.NewRevision(), Value: []byte("w"), Encoding: "json", ExpiresAt: until, Labels: recs[i].Labels}, driver.IfMatch, recs[i])
					}
					if err != nil && !errors.Is(err, model.ErrNotFound) {
						return err
					}
					kept[i] = err == nil
				}
				return nil
			}) {
				c.ok(err, "goroutine %d", i)
			}
			stay := 0
			for i, r := range recs {
				if kept[i] {
					stay++
					if got := c.get(r.ID); !got.ExpiresAt.Equal(until) {
						c.fail("%q was extended and expires at %v, want %v", r.ID, got.ExpiresAt, until)
					}
				}
			}
			c.now = due
			removed += c.sweep(100)
			if removed != len(recs)-stay {
				c.fail("%d records were removed and %d kept, want %d in all", removed, stay, len(recs))
			}
			if n := len(c.bearers("ann")); n != stay {
				c.fail("%d records are listed by label, want the %d kept ones", n, stay)
			}
		}),
	)
}
