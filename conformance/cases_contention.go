package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// contentionCases make contenders meet within each kind of call. Every
// acknowledged call must be accounted for.
func contentionCases() []Case {
	return append(group("Contention",
		that("CreatedByOneIsHeldByOne", "R16 R15", needNothing, func(c *C) {
			// Locks: who creates the record holds it, until it deletes it.
			c.contend(c.contest(), many(func(b driver.ModelExpirySupport, who, round int) error {
				mine := c.rec(fmt.Sprint("lock", (who+round)%4), "v", time.Hour)
				if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: mine, Cond: driver.IfAbsent}); err != nil {
					return most(err, model.ErrExists)
				}
				for range 3 {
					got, err := b.Get(c.ctx(), c.now, driver.Get{ID: mine.ID})
					if err != nil || got.Revision != mine.Revision {
						return fmt.Errorf("a create succeeded, and then another one before the record was deleted: get returned the revision %v and the error %w", got.Revision, orNone(err))
					}
				}
				if err := b.Delete(c.ctx(), c.now, driver.Delete{ID: mine.ID, Cond: driver.IfMatch, Known: mine}); err != nil {
					return fmt.Errorf("a create succeeded, and then another one before the record was deleted: delete at the revision returned %w", err)
				}
				return nil
			}))
		}),
		that("UpdatedWhileDeletedStaysDeleted", "R4 R18", needNothing, func(c *C) {
			c.revivesNothing("update", func(b driver.ModelExpirySupport, id string) error {
				_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec(id, "update", time.Hour), Cond: driver.IfPresent})
				return err
			})
		}),
		that("ComparedAndSetWhileDeletedStaysDeleted", "R4 R19", needNothing, func(c *C) {
			c.revivesNothing("compare-and-set", func(b driver.ModelExpirySupport, id string) error {
				cur, err := b.Get(c.ctx(), c.now, driver.Get{ID: id})
				if err != nil {
					return err
				}
				_, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.rec(id, "compare-and-set", time.Hour), Cond: driver.IfMatch, Known: cur})
				return err
			})
		}),
		that("TouchedWhileDeletedStaysDeleted", "R4 R35", needNothing, func(c *C) {
			c.revivesNothing("touch", func(b driver.ModelExpirySupport, id string) error {
				_, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: id, Mode: driver.TouchExtend, ExpiresAt: c.in(2 * time.Hour)})
				return err
			})
		}),
		that("ComparedAndSetCountsEachSuccess", "R20", needNothing, func(c *C) {
			c.put(c.rec("n", "0", time.Hour))
			ct := c.contest()
			done := make([]int, ct.contenders)
			c.contend(ct, many(func(b driver.ModelExpirySupport, who, _ int) error {
				cur, err := b.Get(c.ctx(), c.now, driver.Get{ID: "n"})
				if err != nil {
					return err
				}
				n, err := strconv.Atoi(string(cur.Value))
				if err != nil {
					return err
				}
				_, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("n", strconv.Itoa(n+1), time.Hour), Cond: driver.IfMatch, Known: cur})
				if err == nil {
					done[who]++
				}
				return most(err, model.ErrConflict)
			}))
			if got, want := string(c.get("n").Value), sum(done); got != strconv.Itoa(want) {
				c.fail("%d compare-and-sets that count up by one succeeded, and the counter says %s", want, got)
			}
		}),
		that("EachRevisionIsFollowedByOne", "R39 R20", needNothing, func(c *C) {
			// A revision is replaced by one compare-and-set or removed by one delete.
			ct := c.contest()
			made, followed := make([]int, ct.contenders), make([][]model.Revision, ct.contenders)
			c.contend(ct, many(func(b driver.ModelExpirySupport, who, round int) error {
				cur, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
				if err != nil {
					if err = most(err, model.ErrNotFound); err == nil {
						if _, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "v", time.Hour), Cond: driver.IfAbsent}); err == nil {
							made[who]++
						}
					}
					return most(err, model.ErrExists)
				}
				if (who+round)%2 == 0 {
					err = b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: cur})
				} else if _, err = b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "w", time.Hour), Cond: driver.IfMatch, Known: cur}); err == nil {
					made[who]++
				}
				if err == nil {
					followed[who] = append(followed[who], cur.Revision)
				}
				return most(err, model.ErrNotFound, model.ErrConflict)
			}))
			seen := map[model.Revision]bool{}
			for _, list := range followed {
				for _, r := range list {
					if seen[r] {
						c.fail("two calls at the revision %v succeeded, want one", r)
					}
					seen[r] = true
				}
			}
			if left := sum(made) - len(seen); left != c.present("a") {
				c.fail("%d writes and %d replacements or removals succeeded, and %d records are left", sum(made), len(seen), c.present("a"))
			}
		}),
		that("DeletedCountsEachSuccess", "R40 R38", needNothing, func(c *C) {
			ct := c.contest()
			made, deleted := make([]int, ct.contenders), make([]int, ct.contenders)
			c.contend(ct, many(func(b driver.ModelExpirySupport, who, round int) error {
				if (who+round)%2 == 0 {
					_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "v", time.Hour), Cond: driver.IfAbsent})
					if err == nil {
						made[who]++
					}
					return most(err, model.ErrExists)
				}
				err := b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent})
				if err == nil {
					deleted[who]++
				}
				return most(err, model.ErrNotFound)
			}))
			if left := sum(made) - sum(deleted); left != c.present("a") {
				c.fail("%d creates and %d deletes of one id succeeded, and %d records are left, want %d", sum(made), sum(deleted), c.present("a"), left)
			}
		}),
		that("TakenGivesEachToOne", "R71 R39", needNothing, func(c *C) {
			ct := c.contest()
			stores := map[driver.ModelExpirySupport]*expiry.Store[string]{}
			made, taken := make([]int, ct.contenders), make([][]string, ct.contenders)
			c.contendIn(ct, func(b driver.ModelExpirySupport) { stores[b] = storeOn[string](c, b, nil) },
				many(func(b driver.ModelExpirySupport, who, round int) error {
					s := stores[b]
					if (who+round)%2 == 0 {
						_, err := s.Create(c.ctx(), "a", fmt.Sprint(who, "-", round), nil)
						if err == nil {
							made[who]++
						}
						return most(err, model.ErrExists)
					}
					it, err := s.Take(c.ctx(), "a")
					if err == nil {
						taken[who] = append(taken[who], it.Value)
					}
					return most(err, model.ErrNotFound, model.ErrConflict)
				}))
			seen := map[string]bool{}
			for _, list := range taken {
				for _, v := range list {
					if seen[v] {
						c.fail("the record %s was taken twice", v)
					}
					seen[v] = true
				}
			}
			if left := sum(made) - len(seen); left != c.present("a") {
				c.fail("%d records were created and %d taken, and %d are left", sum(made), len(seen), c.present("a"))
			}
		}),
		that("TouchedWhileWrittenKeepsTheWrite", "R34", needNothing, func(c *C) {
			// One writer, many touches. Only the writer changes value and labels.
			last := c.put(c.labelled("a", "0", "p0", time.Hour))
			c.contend(c.contest(), one(func(b driver.ModelExpirySupport, _, round int) error {
				next := c.labelled("a", strconv.Itoa(round+1), fmt.Sprint("p", (round+1)%3), 0)
				if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: next.Clone(), Cond: driver.IfMatch, Known: last, Keep: driver.Keep{Expiry: true}}); err != nil {
					return fmt.Errorf("compare-and-set of the only writer beside touches, which keep the revision: %w", err)
				}
				last = next
				for range 3 {
					got, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
					if err != nil {
						return err
					}
					if got.Revision != next.Revision || !bytes.Equal(got.Value, next.Value) || got.Labels["principal"] != next.Labels["principal"] {
						return fmt.Errorf("the last write stored the value %s and the labels %v, and a touch beside it left %s and %v", next.Value, next.Labels, got.Value, got.Labels)
					}
				}
				return nil
			}), many(func(b driver.ModelExpirySupport, who, round int) error {
				_, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: c.in(time.Hour + time.Duration(round*20+who)*time.Second)})
				return err
			}))
		}),
		that("ExtendedNeverShortens", "R31 R36", needNothing, func(c *C) {
			c.put(c.rec("a", "v", time.Hour))
			c.contend(c.contest(), many(func(b driver.ModelExpirySupport, who, round int) error {
				until := c.in(time.Hour + time.Duration(round*20+who)*time.Second)
				head, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: until})
				if err != nil {
					return err
				}
				got, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"})
				if err != nil {
					return err
				}
				if head.ExpiresAt.Before(until) || got.ExpiresAt.Before(head.ExpiresAt) {
					return fmt.Errorf("an extension to %v returned %v, and then the record expires at %v, want no earlier time", until, head.ExpiresAt, got.ExpiresAt)
				}
				return nil
			}))
		}),
		that("UpdatedKeepsTheExpiryInForce", "R23 R30", needNothing, func(c *C) {
			c.put(c.rec("a", "v", time.Hour))
			c.contend(c.contest(), one(func(b driver.ModelExpirySupport, _, round int) error {
				until := c.in(time.Hour + time.Duration(round)*time.Second)
				if _, err := b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: until}); err != nil {
					return err
				}
				for range 3 {
					if got, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"}); err != nil || !got.ExpiresAt.Equal(until) {
						return fmt.Errorf("a touch set the expiry %v, and updates that keep it left %v, error %w", until, got.ExpiresAt, orNone(err))
					}
				}
				return nil
			}), many(func(b driver.ModelExpirySupport, _, _ int) error {
				_, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "w", time.Minute), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
				return err
			}))
		}),
	), contentionLabelCases()...)
}

// revivesNothing makes one contender create and delete a record while the
// others change it.
func (c *C) revivesNothing(what string, change func(b driver.ModelExpirySupport, id string) error) {
	c.Helper()
	c.contend(c.contest(), one(func(b driver.ModelExpirySupport, _, _ int) error {
		if _, err := b.Write(c.ctx(), c.now, driver.Write{Record: c.rec("a", "v", time.Hour), Cond: driver.IfAbsent}); err != nil {
			return fmt.Errorf("create after a delete, beside calls of %s that create nothing: %w", what, err)
		}
		for range 3 { // the others find the record
			if _, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"}); err != nil {
				return err
			}
		}
		if err := b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}); err != nil {
			return fmt.Errorf("delete of the only one who deletes: %w", err)
		}
		for range 4 {
			if got, err := b.Get(c.ctx(), c.now, driver.Get{ID: "a"}); !errors.Is(err, model.ErrNotFound) {
				return fmt.Errorf("after a delete, a %s brought the record back: get returned the revision %v and the error %w", what, got.Revision, orNone(err))
			}
		}
		return nil
	}), many(func(b driver.ModelExpirySupport, _, _ int) error {
		return most(change(b, "a"), model.ErrNotFound, model.ErrConflict)
	}))
}

// present returns 1 if a live record has the id, else 0.
func (c *C) present(id string) int {
	c.Helper()
	_, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: id})
	if errors.Is(err, model.ErrNotFound) {
		return 0
	}
	c.ok(err, "get %q", id)
	return 1
}

var errNone = errors.New("none")

// orNone returns an error whose text is "none" for nil.
func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

func sum(list []int) (all int) {
	for _, n := range list {
		all += n
	}
	return all
}
