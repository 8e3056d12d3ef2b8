package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func contextCauseCases() []Case {
	return group("Context",
		that("EndedForACauseReturnsTheContextsError", "R9", needPaging|needSweep, func(c *C) {
			// The cause is the caller's own, and says nothing about the end.
			r := c.put(c.rec("a", "1", time.Hour))
			ctx, cancel := context.WithCancelCause(c.ctx())
			cancel(errors.New("the cause"))
			_, get := c.b.Get(ctx, c.now, driver.Get{ID: "a"})
			_, write := c.b.Write(ctx, c.now, driver.Write{Record: c.rec("a", "2", time.Hour), Cond: driver.IfAny})
			_, touch := c.b.Touch(ctx, c.now, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: c.in(3 * time.Hour)})
			_, page := c.b.Page(ctx, c.now, driver.Query{Limit: 1})
			_, sweep := c.b.DeleteExpired(ctx, driver.Sweep{Before: c.now, Limit: 1})
			for op, err := range map[string]error{
				"Get": get, "upsert": write, "Touch": touch, "Page": page, "DeleteExpired": sweep,
				"Delete at the revision": c.b.Delete(ctx, c.now, driver.Delete{ID: "a", Cond: driver.IfMatch, Known: r}),
			} {
				if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
					c.fail("%s with a context that ended for a cause: got %v, want %v alone", op, err, context.Canceled)
				}
			}
			c.holds(r)
		}),
	)
}
