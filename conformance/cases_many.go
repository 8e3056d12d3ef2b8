package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func manyCases() []Case {
	return group("Many",
		that("GetAnswersEachIDInOrder", "R80", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			for i := range 5 {
				_, err := s.Create(c.ctx(), fmt.Sprint(i), doc{N: i}, nil)
				c.ok(err, "create")
			}
			got, err := s.GetMany(c.ctx(), []string{"4", "none", "0", "4"})
			c.ok(err, "GetMany")
			if len(got) != 4 {
				c.fail("GetMany returned %d results, want 4", len(got))
			}
			for i, want := range map[int]int{0: 4, 2: 0, 3: 4} {
				c.ok(got[i].Err, "result %d", i)
				if got[i].Item.Value.N != want {
					c.fail("result %d has the value %v, want %d", i, got[i].Item.Value, want)
				}
			}
			c.is(got[1].Err, model.ErrNotFound, "the unknown id")
		}),
		that("GetOfNoIDsAnswersNone", "R80", needNothing, func(c *C) {
			got, err := storeOf[doc](c, nil).GetMany(c.ctx(), nil)
			c.ok(err, "GetMany of none")
			if len(got) != 0 {
				c.fail("GetMany returned %d results for no ids", len(got))
			}
		}),
		that("BulkCountsByKind", "R81", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			for _, id := range []string{"u1", "u2", "d1"} {
				_, err := s.Create(c.ctx(), id, doc{}, nil)
				c.ok(err, "create")
			}
			res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{
				{Kind: expiry.OpCreate, ID: "c1", Value: doc{N: 1}},
				{Kind: expiry.OpUpdate, ID: "u1", Value: doc{N: 2}},
				{Kind: expiry.OpUpsert, ID: "u2", Value: doc{N: 3}},
				{Kind: expiry.OpUpsert, ID: "p1", Value: doc{N: 4}},
				{Kind: expiry.OpDelete, ID: "d1"},
			})
			c.ok(err, "bulk")
			c.ok(res.Err(), "bulk result")
			if res.Created != 1 || res.Updated != 1 || res.Upserted != 2 || res.Deleted != 1 {
				c.fail("Bulk counted %d created, %d updated, %d upserted and %d deleted, want 1, 1, 2 and 1", res.Created, res.Updated, res.Upserted, res.Deleted)
			}
			for id, n := range map[string]int{"c1": 1, "u1": 2, "u2": 3, "p1": 4} {
				it, err := s.Get(c.ctx(), id)
				c.ok(err, "get %q", id)
				if it.Value.N != n {
					c.fail("%q has the value %v, want %d", id, it.Value, n)
				}
			}
			c.gone("d1")
		}),
		that("BulkNamesWhatFailedAndKeepsTheRest", "R81 R62", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			old, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			_, err = s.Update(c.ctx(), "a", doc{N: 2}, nil)
			c.ok(err, "update")
			res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{
				{Kind: expiry.OpCreate, ID: "b", Value: doc{N: 1}},
				{Kind: expiry.OpCreate, ID: "a", Value: doc{N: 9}},
				{Kind: expiry.OpUpdate, ID: "none", Value: doc{N: 9}},
				{Kind: expiry.OpDelete, ID: "nothing"},
				{Kind: expiry.OpUpsert, ID: ""},
				{Kind: 0, ID: "x"},
				{Kind: expiry.OpUpsert, ID: "c", Value: doc{N: 3}},
			})
			c.ok(err, "bulk")
			wants := []error{nil, model.ErrExists, model.ErrNotFound, model.ErrNotFound, model.ErrInvalid, model.ErrInvalid, nil}
			for i, want := range wants {
				if want == nil {
					c.ok(res.Results[i].Err, "operation %d", i)
					if res.Results[i].Item.Revision.IsZero() {
						c.fail("operation %d has no revision", i)
					}
					continue
				}
				c.is(res.Results[i].Err, want, "operation %d", i)
				if !errors.Is(res.Err(), want) || !strings.Contains(res.Err().Error(), fmt.Sprintf("operation %d: ", i)) {
					c.fail("the joined error is %v, want one that matches %v and names operation %d", res.Err(), want, i)
				}
				if !res.Results[i].Item.Revision.IsZero() {
					c.fail("operation %d failed and has a revision", i)
				}
			}
			conflict, err := s.Bulk(c.ctx(), []expiry.Op[doc]{
				{Kind: expiry.OpUpdate, ID: "a", Value: doc{N: 9}, Opts: &expiry.WriteOptions{IfMatch: old.Known()}},
				{Kind: expiry.OpDelete, ID: "b", Opts: &expiry.WriteOptions{IfMatch: old.Known()}},
			})
			c.ok(err, "bulk")
			c.is(conflict.Results[0].Err, model.ErrConflict, "update at an old revision")
			c.is(conflict.Results[1].Err, model.ErrConflict, "delete at another record's revision")
			it, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if it.Value.N != 2 {
				c.fail("a failed operation changed the value to %v", it.Value)
			}
		}),
		that("BulkRefusesAnIDTwice", "R82", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{
				{Kind: expiry.OpCreate, ID: "a", Value: doc{N: 1}},
				{Kind: expiry.OpUpsert, ID: "a", Value: doc{N: 2}},
			})
			c.ok(err, "bulk")
			c.ok(res.Results[0].Err, "the first")
			c.is(res.Results[1].Err, model.ErrInvalid, "the second")
			it, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if it.Value.N != 1 {
				c.fail("the value is %v, want 1", it.Value)
			}
		}),
		that("BulkOfHundreds", "R81", needPaging, func(c *C) {
			s := storeOf[doc](c, nil)
			ops := make([]expiry.Op[doc], 300)
			for i := range ops {
				ops[i] = expiry.Op[doc]{Kind: expiry.OpCreate, ID: fmt.Sprint(i), Value: doc{N: i}}
			}
			res, err := s.Bulk(c.ctx(), ops)
			c.ok(err, "bulk")
			c.ok(res.Err(), "bulk result")
			n, err := s.Count(c.ctx(), nil)
			c.ok(err, "count")
			if res.Created != 300 || n != 300 {
				c.fail("Bulk created %d records and Count returned %d, want 300", res.Created, n)
			}
		}),
		that("BulkIsSettledAfterALostAnswer", "R89 R67", needLoss, func(c *C) {
			s := storeOf[doc](c, nil)
			old, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			c.h.LoseNext(c.TB, c.b)
			res, err := s.Bulk(c.ctx(), []expiry.Op[doc]{
				{Kind: expiry.OpCreate, ID: "b", Value: doc{N: 2}},
				{Kind: expiry.OpUpdate, ID: "a", Value: doc{N: 3}, Opts: &expiry.WriteOptions{IfMatch: old.Known()}},
				{Kind: expiry.OpUpsert, ID: "c", Value: doc{N: 4}},
			})
			c.ok(err, "bulk with a lost answer")
			c.ok(res.Err(), "bulk result")
			for i, r := range res.Results {
				if got := c.get(r.Item.ID); got.Revision != r.Item.Revision {
					c.fail("operation %d returned the revision %v and stored %v, want the same", i, r.Item.Revision, got.Revision)
				}
			}
		}),
		that("DeleteByLabelRemovesAllAndCounts", "R78 R79", needLabels, func(c *C) {
			s := storeOf[doc](c, nil)
			c.fill(230, "ann", time.Hour)
			c.put(c.labelled("other", "{}", "bob", time.Hour))
			c.put(c.labelled("expired", "{}", "ann", time.Minute))
			c.advance(time.Minute)
			n, err := s.DeleteByLabel(c.ctx(), "principal", "ann")
			c.ok(err, "DeleteByLabel")
			if n != 230 {
				c.fail("%d records were removed, want 230", n)
			}
			c.bear("ann")
			c.bear("bob", "other")
			n, err = s.DeleteByLabel(c.ctx(), "principal", "ann")
			c.ok(err, "DeleteByLabel without records")
			if n != 0 {
				c.fail("%d records were removed, want none", n)
			}
		}),
		that("DeleteByLabelSharedCountsEachOnce", "R79 R40", needLabels, func(c *C) {
			c.fill(60, "ann", time.Hour)
			nodes := []*expiry.Store[doc]{storeOf[doc](c, nil), storeOn[doc](c, c.second(), nil)}
			counts := make([]int, 4)
			for i, err := range c.concurrently(4, func(i int) (err error) {
				counts[i], err = nodes[i%2].DeleteByLabel(c.ctx(), "principal", "ann")
				return err
			}) {
				c.ok(err, "DeleteByLabel %d", i)
			}
			if sum := counts[0] + counts[1] + counts[2] + counts[3]; sum != 60 {
				c.fail("the calls removed %v records, want 60 in all", counts)
			}
		}),
		that("DeleteByLabelBesideWritersLeavesNoneOfBefore", "R78", needLabels, func(c *C) {
			ids := c.fill(20, "ann", time.Hour)
			s := storeOf[doc](c, nil)
			for i, err := range c.concurrently(5, func(i int) error {
				if i == 0 {
					_, err := s.DeleteByLabel(c.ctx(), "principal", "ann")
					return err
				}
				for _, id := range ids {
					_, err := c.write(c.labelled(id, "{}", "ann", time.Hour), driver.IfPresent, model.Record{})
					if err != nil && !errors.Is(err, model.ErrNotFound) {
						return err
					}
				}
				return nil
			}) {
				c.ok(err, "call %d", i)
			}
			c.bear("ann")
			for _, id := range ids {
				c.gone(id)
			}
		}),
		that("ReindexGivesLabels", "R83", needLabels, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			for i := range 12 {
				_, err := s.Create(c.ctx(), fmt.Sprint(i), doc{Name: fmt.Sprint("p", i%3), N: i}, nil)
				c.ok(err, "create")
			}
			derive := func(it expiry.Item[doc]) map[string]string {
				return map[string]string{"principal": it.Value.Name}
			}
			n, err := s.Reindex(c.ctx(), derive)
			c.ok(err, "Reindex")
			if n != 12 {
				c.fail("Reindex changed %d records, want 12", n)
			}
			c.bear("p0", "0", "3", "6", "9")
			it, err := s.Get(c.ctx(), "3")
			c.ok(err, "get")
			if it.Value.N != 3 || !it.ExpiresAt.Equal(c.in(time.Hour)) {
				c.fail("Reindex left the value %v and the expiry %v, want 3 and %v", it.Value, it.ExpiresAt, c.in(time.Hour))
			}
			n, err = s.Reindex(c.ctx(), derive)
			c.ok(err, "Reindex again")
			if n != 0 || c.get("3").Revision != it.Revision {
				c.fail("a second Reindex changed %d records, want none", n)
			}
		}),
	)
}
