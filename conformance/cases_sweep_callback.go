package conformance

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

var errStays = errors.New("this one stays")

func sweepCallbackCases() []Case {
	return group("Sweep",
		that("OfOneAtATimeComesToAnEnd", "R51 R50", needSweep, func(c *C) {
			c.fill(9, "ann", time.Minute)
			c.advance(time.Minute)
			if n := c.sweep(1); n != 9 {
				c.fail("%d removed one by one, want 9", n)
			}
			c.bear("ann")
		}),
		that("ReportsMoreIfTheLimitLeftSome", "R51", needSweep, func(c *C) {
			c.fill(9, "", time.Minute)
			c.advance(time.Minute)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 4})
			c.ok(err, "sweep")
			if s.Removed != 4 || !s.More {
				c.fail("%d removed, more %v; want 4 of 9 and more", s.Removed, s.More)
			}
		}),
		that("ReportsMoreIfAnotherSweepGotAhead", "R51 R52", needSweep, func(c *C) {
			// The other removes much of what this one has chosen, so that its
			// limit is not reached, and something is due all the same. Where
			// the order is random they miss each other in one round of eight.
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
					c.fail("%d removed beside another's %d and no more said; %d were left", s.Removed, ahead, left)
				}
				if s.Removed+ahead+left != 16 || ahead == 0 {
					c.fail("%d, %d and %d removed, want 16 in all", s.Removed, ahead, left)
				}
			}
		}),
		that("AnnouncesEveryRecordAcrossLimitedSweeps", "R51 R53", needSweep|needLabels, func(c *C) {
			// With a limit, all is announced over the sweeps, before it goes.
			c.fill(30, "ann", time.Minute)
			c.advance(time.Minute)
			seen := map[string]bool{}
			removed := 0
			for range 40 {
				s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 7, OnExpire: func(r model.Record) error {
					if r.Labels["principal"] != "ann" || r.Revision.IsZero() || r.ExpiresAt.IsZero() {
						c.Errorf("%s\n  announced as %+v", c.describe(), r)
					}
					seen[r.ID] = true
					return nil
				}})
				c.ok(err, "sweep")
				if s.Removed > 7 {
					c.fail("%d removed, limit 7", s.Removed)
				}
				if removed += s.Removed; len(seen) < removed {
					c.fail("%d removed and %d announced", removed, len(seen))
				}
				if !s.More {
					break
				}
			}
			if removed != 30 {
				c.fail("%d removed in all, want 30", removed)
			}
		}),
		that("GoesOnPastManyRefusedRecords", "R54 R51", needSweep, func(c *C) {
			// Those that are refused expired first, and are more than the limit.
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
				c.fail("%d removed, want the 6 that nobody refused", removed)
			}
			if n := c.sweep(100); n != 12 {
				c.fail("%d removed by the next sweep, want the 12 that were refused", n)
			}
		}),
		that("MissesNoneIfAnotherSweepRemovesTheRefused", "R51 R54", needSweep, func(c *C) {
			// What is refused and then gone makes room: whoever counts places
			// steps over records that it has never seen.
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
					ahead = o.Removed // none, where this one keeps them from it
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
				c.fail("%d records were neither announced nor said to be left", missed)
			}
			if s.Removed+ahead+left != due {
				c.fail("%d, %d and %d removed, want %d in all", s.Removed, ahead, left, due)
			}
		}),
		that("LetsOnExpireUseTheBackend", "R53 R55 R52", needSweep|needLabels, func(c *C) {
			// Every kind of call on the record announced, from within.
			c.fill(12, "ann", time.Minute)
			due := c.in(time.Minute)
			n, deleted := 0, 0
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: due, Limit: 100, OnExpire: func(r model.Record) error {
				n++
				if _, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: r.ID}); err != nil {
					c.Errorf("%s\n  get of the record announced: %v", c.describe(), err)
				}
				if len(c.bearers("ann")) == 0 {
					c.Errorf("%s\n  nothing is listed while a record is announced", c.describe())
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
				c.fail("%d removed; %d of 12 were deleted while they were announced", s.Removed, deleted)
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
				c.fail("%d, %d and %d removed, want 10 in all", s.Removed, inner, rest)
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
				c.fail("a record that another node deleted is counted")
			}
		}),
		that("RecreatedWhileAnnouncedStays", "R55 R17 R53", needSweep, func(c *C) {
			c.put(c.labelled("a", "old", "ann", time.Minute))
			c.advance(time.Minute)
			next := c.labelled("a", "new", "bob", time.Hour)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 10, OnExpire: func(r model.Record) error {
				if r.Revision == next.Revision {
					c.fail("a live record was announced")
				}
				_, err := c.write(next, driver.IfAbsent, model.Record{})
				return err
			}})
			c.ok(err, "sweep")
			if s.Removed != 0 {
				c.fail("a record made anew while the old one was announced is counted")
			}
			c.holds(next)
			c.bear("bob", "a")
			c.bear("ann")
		}),
		that("ClearedOrShortenedWhileAnnounced", "R55 R33 R30", needSweep, func(c *C) {
			// Cleared, it stays; shortened, it is another expiry than the one
			// announced, and goes with this sweep or the next.
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
				c.fail("%d removed, want the one that was shortened", removed)
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
				c.fail("%d removals counted, want %d", total, due)
			}
			if len(seen) != due || seen["live"] {
				c.fail("%d announced, want %d", len(seen), due)
			}
			c.holds(live)
			c.bear("ann", "live")
		}),
		that("BesideTouchesAndWritesRemovesOnlyTheRest", "R55 R50 R52", needSweep|needLabels, func(c *C) {
			// By the sweeps' clock all are due; by the writers' they live, and
			// what a writer was told decides.
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
						c.fail("%q was extended and expires at %v", r.ID, got.ExpiresAt)
					}
				}
			}
			c.now = due
			removed += c.sweep(100)
			if removed != len(recs)-stay {
				c.fail("%d removed and %d kept of %d", removed, stay, len(recs))
			}
			if n := len(c.bearers("ann")); n != stay {
				c.fail("%d listed by label, want the %d that were kept", n, stay)
			}
		}),
	)
}
