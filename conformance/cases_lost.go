package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func lostCases() []Case {
	return group("Lost",
		that("WriteIsUnknown", "R11", needLoss, func(c *C) {
			old := c.put(c.rec("a", "1", time.Hour))
			lose := func() { c.Helper(); c.h.LoseNext(c.TB, c.b) }
			lose()
			_, err := c.write(c.rec("b", "1", time.Hour), driver.IfAbsent, model.Record{})
			c.is(err, model.ErrUnknown, "create")
			lose()
			_, err = c.write(c.rec("a", "2", time.Hour), driver.IfMatch, old)
			c.is(err, model.ErrUnknown, "compare-and-set")
			lose()
			_, err = c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(2 * time.Hour)})
			c.is(err, model.ErrUnknown, "touch")
			lose()
			c.is(c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfPresent}), model.ErrUnknown, "delete")
		}),
		that("CreateIsRecognised", "R67 R12", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			c.h.LoseNext(c.TB, c.b)
			it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create with a lost answer")
			if got := c.get("a"); got.Revision != it.Revision {
				c.fail("the write returned the revision %v and stored %v, want the same", it.Revision, got.Revision)
			}
		}),
		that("UpdateIsRecognised", "R67 R12", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			it, err := s.Update(c.ctx(), "a", doc{N: 2}, nil)
			c.ok(err, "update with a lost answer")
			if got := c.get("a"); got.Revision != it.Revision {
				c.fail("the write returned the revision %v and stored %v, want the same", it.Revision, got.Revision)
			}
		}),
		that("CompareAndSetIsRecognised", "R67 R12", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			it, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{IfMatch: it.Known()})
			c.ok(err, "compare-and-set with a lost answer")
			if got := c.get("a"); got.Revision != it.Revision {
				c.fail("the write returned the revision %v and stored %v, want the same", it.Revision, got.Revision)
			}
		}),
		that("TouchIsRecognised", "R67", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			it, err := s.Touch(c.ctx(), "a", expiry.At(c.in(time.Hour)), nil)
			c.ok(err, "touch with a lost answer")
			if !it.ExpiresAt.Equal(c.in(time.Hour)) {
				c.fail("the touch returned the expiry %v, want %v", it.ExpiresAt, c.in(time.Hour))
			}
		}),
		that("MutateAppliesOnce", "R67 R72", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			armed := false
			it, err := s.Mutate(c.ctx(), "a", func(d *doc) error {
				if !armed {
					armed = true
					c.h.LoseNext(c.TB, c.b)
				}
				d.N++
				return nil
			}, nil)
			c.ok(err, "mutate with a lost answer")
			if it.Value.N != 2 {
				c.fail("the mutation returned the value %d, want 2", it.Value.N)
			}
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value.N != 2 {
				c.fail("the stored value is %d, want 2", got.Value.N)
			}
		}),
		that("DeleteIsUnknownAndNothingRevives", "R11 R4", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			c.is(s.Delete(c.ctx(), "a", nil), model.ErrUnknown, "delete with a lost answer")
			c.gone("a")
		}),
		that("WriteOfEveryKindIsUnknownAndWasApplied", "R11 R12", needLoss, func(c *C) {
			// A backend must not send the write again. The second one would find the
			// record of the first and return ErrExists, ErrConflict or ErrNotFound.
			for k := range everyWrite(c, model.Record{}) {
				r := c.put(c.rec(fmt.Sprint("id", k), "before", time.Hour))
				w := everyWrite(c, r)[k]
				c.h.LoseNext(c.TB, c.b)
				c.is(w.do(c.ctx(), c.b), model.ErrUnknown, "%s with a lost answer", w.name)
				if w.after.Revision.IsZero() {
					c.gone(w.after.ID)
					continue
				}
				c.holds(w.after)
			}
		}),
		that("AnswerToAFailedConditionChangesNothing", "R11 R28", needLoss, func(c *C) {
			// The lost answer may be that of a read before the write. The call then
			// returns the error of its condition.
			cur := c.put(c.rec("a", "1", time.Hour))
			other := cur
			other.Revision = model.NewRevision()
			for what, f := range map[string]struct {
				want error
				do   func() error
			}{
				"create over a live record": {model.ErrExists, func() error {
					_, err := c.write(c.rec("a", "2", time.Hour), driver.IfAbsent, model.Record{})
					return err
				}},
				"compare-and-set at another revision": {model.ErrConflict, func() error {
					_, err := c.write(c.rec("a", "2", time.Hour), driver.IfMatch, other)
					return err
				}},
				"delete at another revision": {model.ErrConflict, func() error {
					return c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: other})
				}},
			} {
				c.h.LoseNext(c.TB, c.b)
				if err := f.do(); !errors.Is(err, model.ErrUnknown) {
					c.is(err, f.want, "%s with a lost answer", what)
				}
				c.holds(cur)
			}
		}),
		that("ReadIsUnavailableOrAnsweredNeverWrong", "R11 R1", needLoss|needLabels, func(c *C) {
			r := c.put(c.labelled("a", "1", "ann", time.Hour))
			lose := func() { c.Helper(); c.h.LoseNext(c.TB, c.b) }
			readable := func(err error, what string) bool {
				c.Helper()
				if err != nil {
					c.is(err, model.ErrUnavailable, "%s with a lost answer", what)
					if errors.Is(err, model.ErrUnknown) {
						c.fail("%s: got %v, want a read never to return %v", what, err, model.ErrUnknown)
					}
				}
				return err == nil
			}
			lose()
			if got, err := c.b.Get(c.ctx(), c.now, driver.Get{ID: "a"}); readable(err, "get") {
				c.sameHead(got, r)
			}
			lose()
			if out := driver.GetMany(c.ctx(), c.b, c.now, driver.Gets("a")); readable(out[0].Err, "GetMany") {
				c.sameHead(out[0].Record, r)
			}
			for _, q := range []driver.Query{{Limit: 5}, {Label: "principal", Value: "ann", Limit: 5}} {
				lose()
				if p, err := c.b.Page(c.ctx(), c.now, q); readable(err, "page") && len(p.Records) == 0 && p.Next == "" {
					c.fail("a listing whose answer was lost is empty, want an error or the record")
				}
				lose()
				if n, err := driver.Count(c.ctx(), c.b, c.now, driver.Query{Label: q.Label, Value: q.Value}); readable(err, "count") && n != 1 {
					c.fail("a count whose answer was lost returned %d, want an error or 1", n)
				}
			}
		}),
		that("SweepCountsItUnknownBesideTheOthers", "R56 R11 R52", needLoss|needSweep, func(c *C) {
			c.put(c.rec("a", "1", time.Minute))
			c.put(c.rec("live", "1", time.Hour))
			c.advance(time.Minute)
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 10, OnExpire: func(model.Record) error {
				// The removal follows the announcement.
				c.h.LoseNext(c.TB, c.b)
				return nil
			}})
			c.is(err, model.ErrUnknown, "sweep with a lost answer")
			if s.Removed != 0 || s.Unknown != 1 {
				c.fail("the sweep counts %d removed and %d unknown, want 0 and 1", s.Removed, s.Unknown)
			}
			if n := c.sweep(10); n != 0 {
				c.fail("the next sweep removed %d records, want none", n)
			}
			c.get("live")
		}),
		that("SweepOfManyAddsUpToWhatWasDue", "R56 R52", needLoss|needSweep, func(c *C) {
			c.fill(60, "ann", time.Minute)
			c.advance(time.Minute)
			announced := 0
			s, err := c.b.DeleteExpired(c.ctx(), driver.Sweep{Before: c.now, Limit: 100, OnExpire: func(model.Record) error {
				if announced++; announced == 30 {
					c.h.LoseNext(c.TB, c.b)
				}
				return nil
			}})
			if err != nil && !errors.Is(err, model.ErrUnknown) {
				c.is(err, model.ErrUnavailable, "sweep with a lost answer to a read")
			}
			if errors.Is(err, model.ErrUnknown) != (s.Unknown > 0) {
				c.fail("the sweep counts %d unknown removals with the error %v, want ErrUnknown exactly if some are unknown", s.Unknown, err)
			}
			// Any number of the unknown removals happened.
			rest := c.sweep(100)
			if sum := s.Removed + rest; sum > 60 || sum+s.Unknown < 60 {
				c.fail("the sweep removed %d records, with %d unknown, and the next one %d; want 60 in all", s.Removed, s.Unknown, rest)
			}
			c.bear("ann")
		}),
		that("SweepersTotalHasTheUnknownBesideTheRemoved", "R56 R84", needLoss|needSweep, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{Grace: -1, TTL: time.Minute})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			c.advance(time.Minute)
			sweeper, err := expiry.NewSweeper(s, &expiry.SweeperOptions{OnExpire: func(model.Record) error {
				c.h.LoseNext(c.TB, c.b)
				return nil
			}})
			c.ok(err, "NewSweeper")
			_, err = sweeper.Sweep(c.ctx())
			c.is(err, model.ErrUnknown, "sweep with a lost answer")
			if got := sweeper.Total(); got.Unknown != 1 || got.Removed != 0 {
				c.fail("the sweeper counts %d removed and %d unknown, want 0 and 1", got.Removed, got.Unknown)
			}
		}),
		that("BatchIsUnknownItemByItem", "R89 R88 R11", needLoss, func(c *C) {
			old := c.put(c.rec("old", "1", time.Hour))
			created, compared := c.rec("new", "2", time.Hour), c.rec("old", "2", time.Hour)
			doomed := c.put(c.rec("doomed", "1", time.Hour))
			c.h.LoseNext(c.TB, c.b)
			out := driver.WriteMany(c.ctx(), c.b, c.now, []driver.BatchOp{
				{Write: &driver.Write{Record: created, Cond: driver.IfAbsent}},
				{Write: &driver.Write{Record: compared, Cond: driver.IfMatch, Known: old}},
				{Delete: &driver.Delete{ID: "doomed", Cond: driver.IfMatch, Known: doomed}},
			})
			unknown := 0
			for i, o := range out {
				if o.Err != nil {
					c.is(o.Err, model.ErrUnknown, "operation %d", i)
					unknown++
				}
			}
			if unknown == 0 {
				c.fail("no operation is unknown, although an answer was lost")
			}
			// Whatever the errors are, a lost answer undoes nothing.
			c.holds(created)
			c.holds(compared)
			c.gone("doomed")
		}),
		that("DeleteByLabelIsUnknownAndCountsTheRest", "R79 R67", needLoss|needLabels, func(c *C) {
			c.fill(6, "ann", time.Hour)
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if op == "Delete" || op == "WriteMany" {
					c.h.LoseNext(c.TB, c.b)
				}
			}}, nil)
			n, err := s.DeleteByLabel(c.ctx(), "principal", "ann")
			c.is(err, model.ErrUnknown, "DeleteByLabel with a lost answer")
			// A batch may lose one answer or that of all its deletes.
			if left := len(c.bearers("ann")); left > 5 || n+left > 5 {
				c.fail("%d of 6 records are left and DeleteByLabel counted %d removals, want one that is neither", left, n)
			}
		}),
		that("TakeIsUnknownAndGivesNothing", "R71 R67", needLoss, func(c *C) {
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if op == "Delete" {
					c.h.LoseNext(c.TB, c.b)
				}
			}}, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 7}, nil)
			c.ok(err, "create")
			it, err := s.Take(c.ctx(), "a")
			c.is(err, model.ErrUnknown, "take with a lost answer")
			if it.Value.N != 0 || it.ID != "" {
				c.fail("a take whose answer was lost returned %v, want no item", it)
			}
			c.gone("a")
		}),
	)
}
