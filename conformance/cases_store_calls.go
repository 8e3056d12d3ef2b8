package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// storeCallCases test what a Store does on top of every backend.
func storeCallCases() []Case {
	return group("Store",
		that("BadInputSendsNothing", "R61", needLabels, func(c *C) {
			b := intercept(c.b)
			s := storeOn[doc](c, b, nil)
			labels := &expiry.WriteOptions{Labels: map[string]string{"undeclared": "x"}}
			past := &expiry.WriteOptions{Expiry: expiry.At(c.in(-time.Hour))}
			_, id := s.Get(c.ctx(), "")
			_, label := s.Create(c.ctx(), "a", doc{}, labels)
			_, when := s.Upsert(c.ctx(), "a", doc{}, past)
			_, version := s.Update(c.ctx(), "a", doc{}, &expiry.WriteOptions{IfMatch: expiry.AtRevision(model.Revision{})})
			_, touch := s.Touch(c.ctx(), "a", expiry.After(-1), nil)
			_, page := s.Page(c.ctx(), &expiry.ListOptions{PageSize: -1})
			_, count := s.Count(c.ctx(), &expiry.ListOptions{Label: "undeclared", Value: "x"})
			_, byLabel := s.DeleteByLabel(c.ctx(), "principal", "")
			_, sweep := s.DeleteExpired(c.ctx(), &expiry.SweepOptions{Limit: -1})
			_, reindex := s.Reindex(c.ctx(), nil)
			_, many := s.GetMany(c.ctx(), []string{"", "\x00"})
			c.ok(many, "GetMany of bad ids")
			res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{{Kind: expiry.OpUpsert, ID: ""}, {ID: "a"}, {Kind: expiry.OpCreate, ID: "a", Opts: labels}})
			c.ok(err, "Bulk of bad operations")
			for op, err := range map[string]error{
				"id": id, "label": label, "expiry": when, "known revision": version, "touch": touch, "page": page, "count": count,
				"label's value": byLabel, "limit": sweep, "function": reindex, "bulk": res.Results[0].Err, "kind": res.Results[1].Err, "bulk's label": res.Results[2].Err,
			} {
				c.is(err, model.ErrInvalid, "an invalid %s", op)
			}
			if n := b.calls.Load(); n != 0 {
				c.fail("the store made %d driver calls for invalid input, want none", n)
			}
		}),
		that("RefusesALifetimeOverTheBackendsLongest", "R61", needNothing, func(c *C) {
			// The interceptor declares a limit, so that the case also proves the
			// rule on backends without one.
			const longest = time.Hour
			b := intercept(c.b)
			b.maxTTL = longest
			s := storeOn[doc](c, b, nil)
			live, err := s.Create(c.ctx(), "live", doc{}, &expiry.WriteOptions{Expiry: expiry.After(longest)})
			c.ok(err, "create with the longest lifetime")
			_, err = s.Touch(c.ctx(), "live", expiry.After(longest), nil)
			c.ok(err, "touch with the longest lifetime")
			sent := b.calls.Load()
			for what, e := range map[string]expiry.Expiry{
				"a longer lifetime": expiry.After(longest + time.Millisecond), "a later instant": expiry.At(c.in(2 * longest)), "no expiry": expiry.Never(),
			} {
				opts := &expiry.WriteOptions{Expiry: e}
				_, create := s.Create(c.ctx(), "a", doc{N: 1}, opts)
				_, update := s.Update(c.ctx(), "live", doc{N: 1}, opts)
				_, upsert := s.Upsert(c.ctx(), "live", doc{N: 1}, opts)
				_, touch := s.Touch(c.ctx(), "live", e, nil)
				bulk, err := s.Bulk(c.ctx(), []expiry.Op[doc]{{Kind: expiry.OpUpsert, ID: "live", Value: doc{N: 1}, Opts: opts}})
				c.ok(err, "bulk")
				for op, err := range map[string]error{"create": create, "update": update, "upsert": upsert, "touch": touch, "bulk": bulk.Results[0].Err} {
					c.is(err, model.ErrInvalid, "%s with %s", op, what)
				}
			}
			if n := b.calls.Load() - sent; n != 0 {
				c.fail("the store made %d driver calls for lifetimes over the limit, want 0", n)
			}
			if got := c.get("live"); got.Revision != live.Revision || !got.ExpiresAt.Equal(c.in(longest)) {
				c.fail("the record has the revision %v and expires at %v, want %v and %v", got.Revision, got.ExpiresAt, live.Revision, c.in(longest))
			}
			c.gone("a")
		}),
		that("CallsTakeOneDriverCallEach", "R68", needNothing, func(c *C) {
			b := intercept(c.b)
			s := storeOn[doc](c, b, nil)
			var it expiry.Item[doc]
			for _, step := range []struct {
				what string
				do   func() error
			}{
				{"create", func() (err error) { it, err = s.Create(c.ctx(), "a", doc{}, nil); return err }},
				{"get", func() (err error) { it, err = s.Get(c.ctx(), "a"); return err }},
				{"update", func() error { _, err := s.Update(c.ctx(), "a", doc{N: 1}, nil); return err }},
				{"upsert", func() (err error) { it, err = s.Upsert(c.ctx(), "a", doc{N: 2}, nil); return err }},
				{"touch", func() error {
					_, err := s.Touch(c.ctx(), "a", expiry.After(time.Hour), &expiry.TouchOptions{Known: it.Known()})
					return err
				}},
				{"compare-and-set", func() (err error) {
					it, err = s.Update(c.ctx(), "a", doc{N: 3}, &expiry.WriteOptions{IfMatch: it.Known()})
					return err
				}},
				{"get of many", func() error { _, err := s.GetMany(c.ctx(), []string{"a", "b", "a"}); return err }},
				{"delete", func() error { return s.Delete(c.ctx(), "a", &expiry.DeleteOptions{IfMatch: it.Known()}) }},
			} {
				before := b.calls.Load()
				c.ok(step.do(), "%s", step.what)
				if n := b.calls.Load() - before; n != 1 {
					c.fail("%s took %d driver calls, want 1", step.what, n)
				}
			}
		}),
		that("RoundsEveryKindOfExpiryUp", "R65", needNothing, func(c *C) {
			at := c.now.Add(300 * time.Microsecond)
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Minute + time.Nanosecond, Clock: expiry.ClockFunc(func() time.Time { return at })})
			next := func(d time.Duration) time.Time { return c.in(d + time.Millisecond) }
			ttl, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create with the store's TTL")
			after, err := s.Upsert(c.ctx(), "b", doc{}, &expiry.WriteOptions{Expiry: expiry.After(time.Second)})
			c.ok(err, "upsert with a lifetime")
			update, err := s.Update(c.ctx(), "b", doc{}, &expiry.WriteOptions{Expiry: expiry.At(c.in(time.Hour).Add(1))})
			c.ok(err, "update with an instant")
			touch, err := s.Touch(c.ctx(), "a", expiry.At(c.in(time.Hour).Add(time.Millisecond-1)), nil)
			c.ok(err, "touch")
			for what, pair := range map[string][2]time.Time{
				"TTL": {ttl.ExpiresAt, next(time.Minute)}, "After": {after.ExpiresAt, next(time.Second)},
				"At": {update.ExpiresAt, next(time.Hour)}, "Touch": {touch.ExpiresAt, next(time.Hour)},
			} {
				if !pair[0].Equal(pair[1]) {
					c.fail("%s: the record expires at %v, want %v", what, pair[0], pair[1])
				}
			}
			if got := c.get("a").ExpiresAt; !got.Equal(next(time.Hour)) {
				c.fail("the stored expiry is %v, want %v", got, next(time.Hour))
			}
		}),
		that("NoRevisionEverReturns", "R66", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			seen := map[model.Revision]bool{}
			add := func(r model.Revision) {
				c.Helper()
				if r.IsZero() || seen[r] {
					c.fail("the revision %v is zero or was used before", r)
				}
				seen[r] = true
			}
			for i := range 5 {
				it, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
				c.ok(err, "create")
				add(it.Revision)
				up, err := s.Update(c.ctx(), "a", doc{N: 1}, nil)
				c.ok(err, "update to the same value")
				add(up.Revision)
				m, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N += i + 1; return nil }, nil)
				c.ok(err, "mutate")
				add(m.Revision)
				u, err := s.Upsert(c.ctx(), "a", doc{N: 1}, nil)
				c.ok(err, "upsert")
				add(u.Revision)
				res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{{Kind: expiry.OpUpdate, ID: "a", Value: doc{N: 1}}})
				c.ok(err, "bulk")
				add(res.Results[0].Item.Revision)
				c.ok(s.Delete(c.ctx(), "a", nil), "delete")
			}
		}),
		that("ObservesACanceledCallAsCanceled", "R9 R62", needNothing, func(c *C) {
			var outcomes []string
			s := storeOf[doc](c, &expiry.StoreOptions{Observe: func(_ context.Context, o expiry.Observation) { outcomes = append(outcomes, o.Outcome()) }})
			ctx, cancel := context.WithCancel(c.ctx())
			cancel()
			_, get := s.Get(ctx, "a")
			_, create := s.Create(ctx, "a", doc{}, nil)
			_, missing := s.Get(c.ctx(), "a")
			if !errors.Is(get, context.Canceled) || !errors.Is(create, context.Canceled) {
				c.fail("got %v and %v, want %v", get, create, context.Canceled)
			}
			c.is(missing, model.ErrNotFound, "get of an unknown id")
			if fmt.Sprint(outcomes) != "[canceled canceled not_found]" {
				c.fail("the outcomes are %v, want [canceled canceled not_found]", outcomes)
			}
		}),
		that("MutateGivesUpAfterItsAttempts", "R72 R19", needNothing, func(c *C) {
			// Another writer writes between each read and write.
			c.start()
			b := &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if op == "Write" {
					c.writes(c.rec("a", `{"n":1}`, time.Hour), driver.IfPresent)(c.b)
				}
			}}
			s := storeOn[doc](c, b, &expiry.StoreOptions{Attempts: 4})
			tries := 0
			_, err := s.Mutate(c.ctx(), "a", func(d *doc) error { tries++; d.N++; return nil }, nil)
			c.is(err, model.ErrConflict, "mutate while another writer always wins")
			if tries != 4 {
				c.fail("Mutate made %d attempts, want 4", tries)
			}
		}),
		that("MutateOfWhatIsDeletedMeanwhileIsNotFound", "R4 R72", needNothing, func(c *C) {
			c.start()
			once := false
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if op == "Write" && !once {
					once = true
					c.deletes(c.b)
				}
			}}, nil)
			_, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
			c.is(err, model.ErrNotFound, "mutate of a record that another writer deletes")
			c.gone("a")
		}),
		that("PartialUpdateThatChangesNothingWritesNothing", "R73 R74", needNothing, func(c *C) {
			r, _ := c.start()
			it, err := storeOf[doc](c, nil).UpdatePartial(c.ctx(), "a", map[string]any{"n": 1}, nil)
			c.ok(err, "partial update without a change")
			if it.Revision != r.Revision {
				c.fail("the revision changed from %v to %v, want no write", r.Revision, it.Revision)
			}
			c.holds(r)
		}),
		that("PartialUpdateKeepsExpiryAndLabels", "R70 R74", needLabels, func(c *C) {
			r := c.put(c.labelled("a", `{"n":1}`, "ann", time.Hour))
			c.advance(time.Minute)
			it, err := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Second}).UpdatePartial(c.ctx(), "a", map[string]any{"n": 2}, nil)
			c.ok(err, "partial update")
			if !it.ExpiresAt.Equal(r.ExpiresAt) || it.Labels["principal"] != "ann" {
				c.fail("the record expires at %v with the labels %v, want %v and ann", it.ExpiresAt, it.Labels, r.ExpiresAt)
			}
			c.bear("ann", "a")
		}),
		that("TakeOfWhatChangesMeanwhileTakesNothing", "R71 R39", needNothing, func(c *C) {
			c.start()
			theirs := c.rec("a", `{"n":2}`, time.Hour)
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if op == "Delete" {
					c.writes(theirs, driver.IfPresent)(c.b)
				}
			}}, nil)
			_, err := s.Take(c.ctx(), "a")
			c.is(err, model.ErrConflict, "take of a record that another writer changes")
			c.holds(theirs)
		}),
		that("ManyOfMoreThanABatch", "R80 R81", needNothing, func(c *C) {
			const n = 1100
			s := storeOf[doc](c, nil)
			ops := make([]expiry.Op[doc], n)
			ids := make([]string, n)
			for i := range ops {
				ids[i] = fmt.Sprint(i)
				ops[i] = expiry.Op[doc]{Kind: expiry.OpCreate, ID: ids[i], Value: doc{N: i}}
			}
			ops[700].ID = "" // an operation that fails
			res, err := s.Bulk(c.ctx(), ops)
			c.ok(err, "bulk")
			c.is(res.Results[700].Err, model.ErrInvalid, "the operation without an id")
			if res.Created != n-1 {
				c.fail("Bulk created %d records, want %d", res.Created, n-1)
			}
			revs := map[model.Revision]bool{}
			for _, r := range res.Results {
				revs[r.Item.Revision] = true
			}
			if len(revs) != n { // with the zero revision of the failed operation
				c.fail("%d records have %d revisions, want as many", n-1, len(revs)-1)
			}
			got, err := s.GetMany(c.ctx(), ids)
			c.ok(err, "GetMany")
			for i, r := range got {
				if i == 700 {
					c.is(r.Err, model.ErrNotFound, "the one that was not created")
					continue
				}
				c.ok(r.Err, "result %d", i)
				if r.Item.Value.N != i || r.Item.Revision != res.Results[i].Item.Revision {
					c.fail("result %d is %v, want the value %d at %v", i, r.Item, i, res.Results[i].Item.Revision)
				}
			}
		}),
		that("DeleteByLabelGivesUpAfterItsRounds", "R78 R79", needLabels, func(c *C) {
			// Another writer creates a record with the label before each listing.
			n := 0
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if op == "Page" {
					n++
					c.put(c.labelled(fmt.Sprint("id", n), "{}", "ann", time.Hour))
				}
			}}, &expiry.StoreOptions{Attempts: 3})
			removed, err := s.DeleteByLabel(c.ctx(), "principal", "ann")
			c.is(err, model.ErrConflict, "DeleteByLabel while another writer always creates")
			left := len(c.bearers("ann"))
			if removed+left != n {
				c.fail("%d records were removed and %d are left, want %d in all", removed, left, n)
			}
		}),
		that("DeleteByLabelSparesWhatMovedAway", "R78 R79 R39", needLabels, func(c *C) {
			c.fill(3, "ann", time.Hour)
			moved := c.labelled("r0001", "{}", "bob", time.Hour)
			once := false
			s := storeOn[doc](c, &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if (op == "Delete" || op == "WriteMany") && !once {
					once = true
					_, err := c.write(moved, driver.IfPresent, model.Record{})
					c.ok(err, "update to another label")
				}
			}}, nil)
			n, err := s.DeleteByLabel(c.ctx(), "principal", "ann")
			c.ok(err, "DeleteByLabel")
			// The record that moved may be the first one to delete.
			if n != 2 {
				c.fail("%d records were removed, want 2", n)
			}
			c.holds(moved)
			c.bear("ann")
		}),
		that("ReindexMeetsWritersAndDeletes", "R83 R4", needLabels, func(c *C) {
			s := storeOf[doc](c, nil)
			for i := range 6 {
				_, err := s.Create(c.ctx(), fmt.Sprint(i), doc{Name: "old", N: i}, nil)
				c.ok(err, "create")
			}
			// After all records were read, some are deleted and some get another
			// value.
			once := false
			b := &interceptor{Wrapper: driverkit.Wrap(c.b), before: func(op string) {
				if once || op != "Write" && op != "WriteMany" {
					return
				}
				once = true
				for _, id := range []string{"0", "3"} {
					c.del(id)
				}
				for _, id := range []string{"1", "2"} {
					_, err := c.write(c.rec(id, `{"name":"new"}`, time.Hour), driver.IfPresent, model.Record{})
					c.ok(err, "update")
				}
			}}
			n, err := storeOn[doc](c, b, nil).Reindex(c.ctx(), func(it expiry.Item[doc]) map[string]string {
				return map[string]string{"principal": it.Value.Name}
			})
			c.ok(err, "Reindex")
			if n != 4 {
				c.fail("Reindex changed %d records, want the 4 that are left", n)
			}
			c.gone("0")
			c.gone("3")
			c.bear("old", "4", "5")
			c.bear("new", "1", "2")
			for _, id := range []string{"1", "2"} {
				if got := c.get(id); string(got.Value) != `{"name":"new"}` || !got.ExpiresAt.Equal(c.in(time.Hour)) {
					c.fail("Reindex left %q with the value %s and the expiry %v, want the other writer's value and %v", id, got.Value, got.ExpiresAt, c.in(time.Hour))
				}
			}
		}),
		that("SweeperRepeatsUntilNothingIsLeft", "R84 R51", needSweep, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Minute})
			for i := range 25 {
				_, err := s.Create(c.ctx(), fmt.Sprint(i), doc{}, nil)
				c.ok(err, "create")
			}
			live := c.put(c.rec("live", "{}", time.Hour))
			c.advance(2 * time.Minute) // the grace is a minute
			sweeper, err := expiry.NewSweeper(s, &expiry.SweeperOptions{Limit: 4})
			c.ok(err, "NewSweeper")
			swept, err := sweeper.Sweep(c.ctx())
			c.ok(err, "sweep")
			if total := sweeper.Total(); swept.Removed != 25 || total.Removed != 25 {
				c.fail("the sweep removed %d records and the total is %d, want 25", swept.Removed, total.Removed)
			}
			c.holds(live)
		}),
	)
}
