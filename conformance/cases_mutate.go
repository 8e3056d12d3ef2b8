package conformance

import (
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func mutateCases() []Case {
	return group("Mutate",
		that("ChangesTheValue", "R72", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{Name: "x", N: 1}, nil)
			c.ok(err, "create")
			it, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
			c.ok(err, "mutate")
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value != (doc{"x", 2}) || got.Revision != it.Revision || it.Value != got.Value {
				c.fail("Mutate returned %v at %v and stored %v at %v, want the same", it.Value, it.Revision, got.Value, got.Revision)
			}
		}),
		that("OfAnUnknownIDIsNotFound", "R4 R14", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Mutate(c.ctx(), "a", func(*doc) error { return nil }, nil)
			c.is(err, model.ErrNotFound, "mutate")
			c.gone("a")
		}),
		that("WritesNothingIfNothingChanges", "R73", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			before, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			it, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N = 1; return nil }, nil)
			c.ok(err, "mutate")
			if it.Revision != before.Revision || c.get("a").Revision != before.Revision {
				c.fail("the revision changed from %v to %v, want no write", before.Revision, it.Revision)
			}
		}),
		that("ReturnsTheFunctionsErrorAndWritesNothing", "R73", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			before, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			_, err = s.Mutate(c.ctx(), "a", func(d *doc) error { d.N = 9; return errOwn }, nil)
			if err != errOwn { //nolint:errorlint // Mutate promises the function's own error
				c.fail("got %v, want the function's own error", err)
			}
			if c.get("a").Revision != before.Revision {
				c.fail("the mutation was written although its function failed")
			}
		}),
		that("KeepsExpiryAndLabels", "R70", needLabels, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			before, err := s.Create(c.ctx(), "a", doc{N: 1}, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
			c.ok(err, "create")
			c.advance(time.Minute)
			it, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
			c.ok(err, "mutate")
			if !it.ExpiresAt.Equal(before.ExpiresAt) || it.Labels["principal"] != "ann" {
				c.fail("the record expires at %v with the labels %v, want %v and ann", it.ExpiresAt, it.Labels, before.ExpiresAt)
			}
			c.bear("ann", "a")
		}),
		that("SetsExpiryAndLabelsIfTold", "R70", needLabels, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			_, err = s.Mutate(c.ctx(), "a", func(*doc) error { return nil }, &expiry.WriteOptions{
				Expiry: expiry.After(time.Minute), Labels: map[string]string{"principal": "bob"},
			})
			c.ok(err, "mutate")
			c.bear("bob", "a")
			c.advance(time.Minute)
			c.gone("a")
		}),
		that("AtAnOldRevisionIsAConflict", "R19", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			old, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			_, err = s.Update(c.ctx(), "a", doc{N: 2}, nil)
			c.ok(err, "update")
			_, err = s.Mutate(c.ctx(), "a", func(d *doc) error { d.N = 9; return nil }, &expiry.WriteOptions{IfMatch: old.Known()})
			c.is(err, model.ErrConflict, "mutate at an old revision")
		}),
		that("ByManyAtOnceLosesNothing", "R72 R20", needNothing, func(c *C) {
			nodes := []*expiry.Store[map[string]int]{storeOf[map[string]int](c, nil), storeOn[map[string]int](c, c.second(), nil)}
			_, err := nodes[0].Create(c.ctx(), "a", map[string]int{}, nil)
			c.ok(err, "create")
			for i, err := range c.concurrently(26, func(i int) error {
				_, err := nodes[i%2].Mutate(c.ctx(), "a", func(m *map[string]int) error {
					(*m)["n"]++
					(*m)[string(rune('a'+i))+"!"] = i
					return nil
				}, nil)
				return err
			}) {
				c.ok(err, "mutation %d", i)
			}
			got, err := nodes[0].Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value["n"] != 26 || len(got.Value) != 27 {
				c.fail("the record has %d of 26 increments and %d of 26 keys", got.Value["n"], len(got.Value)-1)
			}
		}),
		that("BesideATouchKeepsBoth", "R34 R72", needNothing, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			for i, err := range c.concurrently(10, func(i int) error {
				if i%2 == 0 {
					_, err := s.Touch(c.ctx(), "a", expiry.After(2*time.Hour), &expiry.TouchOptions{Extend: true})
					return err
				}
				_, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
				return err
			}) {
				c.ok(err, "call %d", i)
			}
			got, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if got.Value.N != 5 || !got.ExpiresAt.Equal(c.in(2*time.Hour)) {
				c.fail("the record has %d of 5 increments and expires at %v, want %v", got.Value.N, got.ExpiresAt, c.in(2*time.Hour))
			}
		}),
		that("OfARecordThatExpiresMeanwhileIsNotFound", "R2 R4 R69", needNothing, func(c *C) {
			// The function takes longer than the record lives. After(1h) counts
			// from the write, and no write brings the record back.
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, &expiry.WriteOptions{Expiry: expiry.After(time.Minute)})
			c.ok(err, "create")
			_, err = s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; c.advance(time.Minute); return nil },
				&expiry.WriteOptions{Expiry: expiry.After(time.Hour)})
			c.is(err, model.ErrNotFound, "mutate of a record that expired meanwhile")
			c.gone("a")
		}),
		that("LivesFromTheWriteNotFromTheRead", "R65 R69", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "create")
			it, err := s.Mutate(c.ctx(), "a", func(d *doc) error { d.N++; c.advance(time.Minute); return nil },
				&expiry.WriteOptions{Expiry: expiry.After(time.Hour)})
			c.ok(err, "mutate")
			if want := c.in(time.Hour); !it.ExpiresAt.Equal(want) {
				c.fail("the record expires at %v, want %v: an hour after the write", it.ExpiresAt, want)
			}
		}),
		that("OrCreateMakesTheFirstAndCountsOn", "R15 R72", needNothing, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Hour})
			add := func(d *doc) error { d.N++; return nil }
			for want := 1; want < 4; want++ {
				it, err := s.MutateOrCreate(c.ctx(), "a", add, nil)
				c.ok(err, "mutate or create")
				if it.Value.N != want || it.ID != "a" {
					c.fail("the counter is %v after %d additions", it.Value, want)
				}
			}
			first := c.get("a")
			c.advance(time.Hour)
			it, err := s.MutateOrCreate(c.ctx(), "a", add, nil)
			c.ok(err, "mutate or create over an expired record")
			if it.Value.N != 1 || !it.ExpiresAt.Equal(first.ExpiresAt.Add(time.Hour)) {
				c.fail("after its expiry the counter is %v until %v, want 1 for another hour", it.Value, it.ExpiresAt)
			}
		}),
		that("OrCreateByManyAtOnceLosesNothing", "R16 R72", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			for i, err := range c.concurrently(12, func(int) error {
				_, err := s.MutateOrCreate(c.ctx(), "a", func(d *doc) error { d.N++; return nil }, nil)
				return err
			}) {
				c.ok(err, "addition %d", i)
			}
			it, err := s.Get(c.ctx(), "a")
			c.ok(err, "get")
			if it.Value.N != 12 {
				c.fail("12 additions made %d", it.Value.N)
			}
		}),
	)
}

var errOwn = errors.New("the function's own error")
