package conformance

import (
	"errors"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/causes"
	"github.com/sojourn-go/sojourn/model"
)

func errorCases() []Case {
	return group("Error",
		that("NamesOperationBackendAndID", "R62", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			_, err := s.Get(c.ctx(), "nobody")
			c.is(err, model.ErrNotFound, "get")
			var e *model.Error
			if !errors.As(err, &e) {
				c.fail("got the error type %T, want a *model.Error", err)
			}
			if e.Op != "Get" || e.ID != "nobody" || e.Backend != c.b.Describe().Backend {
				c.fail("the error has the operation %q, the backend %q and the id %q, want Get, %q and nobody", e.Op, e.Backend, e.ID, c.b.Describe().Backend)
			}
			var inner *model.Error
			if errors.As(e.Err, &inner) {
				c.fail("the error is a *model.Error twice: %v", err)
			}
		}),
		that("KindsAreDistinct", "R62", needNothing, func(c *C) {
			s := storeOf[doc](c, nil)
			it, err := s.Create(c.ctx(), "a", doc{}, nil)
			c.ok(err, "create")
			_, err = s.Create(c.ctx(), "a", doc{}, nil)
			c.is(err, model.ErrExists, "create twice")
			_, err = s.Update(c.ctx(), "a", doc{N: 1}, nil)
			c.ok(err, "update")
			_, err = s.Update(c.ctx(), "a", doc{N: 2}, &expiry.WriteOptions{IfMatch: it.Known()})
			c.is(err, model.ErrConflict, "update at an old revision")
			_, err = s.Update(c.ctx(), "b", doc{}, nil)
			c.is(err, model.ErrNotFound, "update of an unknown id")
			_, err = s.Update(c.ctx(), "", doc{}, nil)
			c.is(err, model.ErrInvalid, "update of the empty id")
		}),
		that("TextOfAConflictHasNoValue", "R62", needNothing, func(c *C) {
			// The whole chain of causes is without the stored value and the new one.
			const stored, sent = "hunter2-stored", "hunter2-sent"
			cur := c.put(c.rec("a", stored, time.Hour))
			other := c.rec("a", "", 0)
			next := func(id string) model.Record { return c.rec(id, sent, time.Hour) }
			_, conflict := c.write(next("a"), driver.IfMatch, other)
			_, exists := c.write(next("a"), driver.IfAbsent, model.Record{})
			_, missing := c.write(next("b"), driver.IfMatch, cur)
			_, none := c.write(next("b"), driver.IfPresent, model.Record{})
			_, touch := c.b.Touch(c.ctx(), c.now, driver.Touch{ID: "a", Mode: driver.TouchClear, Cond: driver.IfMatch, Known: other})
			remove := c.b.Delete(c.ctx(), c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: other})
			batch := driver.WriteMany(c.ctx(), c.b, c.now, []driver.BatchOp{writing(next("a"), driver.IfMatch, other), writing(next("b"), driver.IfPresent, other)})
			for _, call := range []struct {
				name      string
				err, want error
			}{
				{"update at another revision", conflict, model.ErrConflict},
				{"create over a record", exists, model.ErrExists},
				{"update of an unknown id at a revision", missing, model.ErrNotFound},
				{"update of an unknown id", none, model.ErrNotFound},
				{"touch at another revision", touch, model.ErrConflict},
				{"delete at another revision", remove, model.ErrConflict},
				{"update at another revision in a batch", batch[0].Err, model.ErrConflict},
				{"update of an unknown id in a batch", batch[1].Err, model.ErrNotFound},
			} {
				c.is(call.err, call.want, "%s", call.name)
				if strings.Contains(causes.Of(call.err), "hunter2") {
					c.fail("%s returned the error %s, want one without a value", call.name, causes.Of(call.err))
				}
			}
		}),
		that("TextHasNoValue", "R62", needNothing, func(c *C) {
			const secret = "hunter2-secret"
			s := storeOf[map[string]any](c, nil)
			ints := storeOf[int](c, nil)
			_, err := s.Create(c.ctx(), "a", map[string]any{"password": secret, "n": 918273645}, nil)
			c.ok(err, "create")
			_, exists := s.Create(c.ctx(), "a", map[string]any{"password": secret}, nil)
			_, corrupt := ints.Get(c.ctx(), "a")
			c.is(corrupt, model.ErrCorrupt, "get as another type")
			_, invalid := s.Create(c.ctx(), "b", map[string]any{"password": secret, "f": func() {}}, nil)
			_, missing := s.Update(c.ctx(), "c", map[string]any{"password": secret}, nil)
			for _, err := range []error{exists, corrupt, invalid, missing} {
				if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "918273645") {
					c.fail("got the error %v, want one without the value", err)
				}
			}
		}),
	)
}
