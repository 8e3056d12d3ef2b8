package conformance

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func storeCases() []Case {
	return group("Store",
		that("GetTakesOneDriverCall", "R68", needNothing, func(c *C) {
			calls := 0
			s := storeOf[doc](c, &expiry.StoreOptions{Observe: func(_ context.Context, o expiry.Observation) { calls = o.Calls }})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			_, err = s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if calls != 1 {
				c.fail("Get took %d driver calls, want 1", calls)
			}
		}),
		that("TTLAppliesToCreateAndUpsert", "R69", needNothing, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			a, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			b, err := s.Upsert(c.ctx(), "b", doc{}, nil)
			c.ok(err, "upsert")
			never, err := s.Create(c.ctx(), "c", doc{}, &expiry.WriteOptions{Expiry: expiry.Never()})
			c.ok(err, "create")
			own, err := s.Upsert(c.ctx(), "d", doc{}, &expiry.WriteOptions{Expiry: expiry.After(time.Minute)})
			c.ok(err, "upsert")
			for got, want := range map[time.Time]time.Time{a.ExpiresAt: c.in(time.Hour), b.ExpiresAt: c.in(time.Hour), never.ExpiresAt: {}, own.ExpiresAt: c.in(time.Minute)} {
				if !got.Equal(want) {
					c.fail("the record expires at %v, want %v", got, want)
				}
			}
		}),
		that("UpdateKeepsTheExpiryUnlessTold", "R70", needNothing, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			until := c.in(time.Hour)
			c.advance(time.Minute)
			it, err := s.Update(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "update")
			if !it.ExpiresAt.Equal(until) {
				c.fail("the record expires at %v, want %v", it.ExpiresAt, until)
			}
			it, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{Expiry: expiry.Never()})
			c.ok(err, "update")
			if !it.ExpiresAt.IsZero() {
				c.fail("the record expires at %v, want never", it.ExpiresAt)
			}
		}),
		that("UpdateKeepsTheLabelsUnlessTold", "R70", needLabels, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{}, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
			c.ok(err, "create")
			it, err := s.Update(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "update")
			if it.Labels["principal"] != "ann" {
				c.fail("the labels are %v, want ann", it.Labels)
			}
			c.bear("ann", "a")
			it, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{Labels: map[string]string{}})
			c.ok(err, "update")
			if len(it.Labels) != 0 {
				c.fail("the labels are %v, want none", it.Labels)
			}
			c.bear("ann")
		}),
		that("ExpiriesRoundUpToTheMillisecond", "R65", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{}, &expiry.WriteOptions{Expiry: expiry.At(c.now.Add(time.Microsecond))})
			c.ok(err, "create")
			if !it.ExpiresAt.Equal(c.in(time.Millisecond)) {
				c.fail("the record expires at %v, want %v", it.ExpiresAt, c.in(time.Millisecond))
			}
			c.get("a")
			c.advance(time.Millisecond)
			c.gone("a")
		}),
		that("ClockRoundsDownToTheMillisecond", "R65 R2", needNothing, func(c *C) {
			at := c.now
			s := storeOf[doc](c, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return at })})
			_, err := s.Create(c.ctx(), "a", doc{}, &expiry.WriteOptions{Expiry: expiry.At(c.in(time.Minute))})
			c.ok(err, "create")
			at = c.in(time.Minute).Add(-time.Nanosecond)
			_, err = s.Get(c.ctx(), "a")
			c.ok(err, "get a nanosecond before the expiry")
			at = c.in(time.Minute)
			_, err = s.Get(c.ctx(), "a")
			c.is(err, model.ErrNotFound, "get at the expiry")
		}),
		that("KnownFromEachAnswerFitsTheNextCall", "R19 R66", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			seen := map[model.Revision]bool{it.Revision: true}
			for i := range 5 {
				it, err = s.Update(c.ctx(), "a", doc{N: i}, &expiry.WriteOptions{IfMatch: it.Known()})
				c.ok(err, "update at the revision just returned")
				if seen[it.Revision] {
					c.fail("the revision %v was used before", it.Revision)
				}
				seen[it.Revision] = true
			}
			c.ok(s.Delete(c.ctx(), "a", &expiry.DeleteOptions{IfMatch: it.Known()}), "delete at the revision just returned")
		}),
		that("GraceIsLeftBeforeASweep", "R84", needSweep, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			c.advance(time.Hour + time.Minute - time.Millisecond)
			n, err := s.DeleteExpired(c.ctx(), nil)
			c.ok(err, "sweep within the grace")
			if n.Removed != 0 {
				c.fail("%d records were removed within the grace, want none", n.Removed)
			}
			c.advance(time.Millisecond)
			n, err = s.DeleteExpired(c.ctx(), nil)
			c.ok(err, "sweep after the grace")
			if n.Removed != 1 {
				c.fail("%d records were removed after the grace, want 1", n.Removed)
			}
		}),
		that("GraceMayBeOff", "R84", needSweep, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour, Grace: -1})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			c.advance(time.Hour)
			n, err := s.DeleteExpired(c.ctx(), nil)
			c.ok(err, "sweep")
			if n.Removed != 1 {
				c.fail("%d records were removed without a grace, want 1", n.Removed)
			}
		}),
		that("ListingStopsWhenTheCallerStops", "R76", needPaging, func(c *C) {
			c.fill(30, "", time.Hour)
			pages := 0
			s := storeOf[any](c, &expiry.StoreOptions{Observe: func(context.Context, expiry.Observation) { pages++ }})
			got := 0
			for _, err := range s.All(c.ctx(), &expiry.ListOptions{PageSize: 5}) {
				c.ok(err, "list")
				if got++; got == 1 {
					break
				}
			}
			before := pages
			for _, err := range s.All(c.ctx(), &expiry.ListOptions{PageSize: 5}) {
				c.ok(err, "list")
				got++
			}
			if got != 31 || before >= pages-before {
				c.fail("the listing read %d pages for one record and %d for all 30, want fewer", before, pages-before)
			}
		}),
	)
}
