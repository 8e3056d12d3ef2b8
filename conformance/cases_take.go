package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func takeCases() []Case {
	return group("Take",
		that("ReturnsAndRemoves", "R71", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Create(c.ctx(), "a", doc{N: 7}, nil)
			c.ok(err, "create")
			it, err := s.Take(c.ctx(), "a")
			c.ok(err, "take")
			if it.Value.N != 7 {
				c.fail("Take returned the value %v, want 7", it.Value)
			}
			c.gone("a")
			_, err = s.Take(c.ctx(), "a")
			c.is(err, model.ErrNotFound, "second take")
		}),
		that("OfAnExpiredRecordIsNotFound", "R71 R2", needNothing, func(c *C) {
			s := storeOf[doc](c, &expiry.StoreOptions{TTL: time.Minute})
			_, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			c.advance(time.Minute)
			_, err = s.Take(c.ctx(), "a")
			c.is(err, model.ErrNotFound, "take")
		}),
		that("ByManyAtOnceGivesItToOne", "R71", needNothing, func(c *C) {
			nodes := []*expiry.Store[doc]{storeOf[doc](c, nil), storeOn[doc](c, c.second(), nil)}
			for range 4 {
				_, err := nodes[0].Create(c.ctx(), "a", doc{}, nil)
				c.ok(err, "create")
				wins := c.race(16, func(i int) error {
					_, err := nodes[i%2].Take(c.ctx(), "a")
					return err
				}, model.ErrNotFound, model.ErrConflict)
				if wins != 1 {
					c.fail("%d of 16 takers got the record, want 1", wins)
				}
			}
		}),
	)
}
