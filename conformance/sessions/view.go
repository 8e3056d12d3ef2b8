package sessions

import (
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
)

func viewCases() []Case {
	return group("View",
		that("DetachedSessionEndsWithADestroyOnAnotherNode", func(c *C) {
			c.use(session.Options{WatchEvery: time.Millisecond})
			cl := c.signedIn("alice")
			r := c.open(cl.token)
			d, err := session.Detach(r)
			c.ok(err, "Detach")
			c.ok(d.Do(c.Context(), func(ctx context.Context) error { return text.Set(ctx, "from the view") }), "Do")
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			c.ok(d.Touch(c.Context()), "Touch after a rotation")
			c.open(cl.token).has("from the view")
			_, svc := c.node()
			c.ok(svc.Destroy(c.Context(), "alice", handleOf(cl.token)), "Destroy on another node")
			select {
			case <-d.Done():
			case <-time.After(time.Minute):
				c.Fatal("the view does not end")
			}
			c.is(d.Err(), session.ErrGone, "Err")
			_, batches := c.b.Unwrap().(driver.BatchGetter)
			same(c, strings.Contains(c.b.Calls(), "GetMany"), batches, "the watch uses batches")
			c.is(d.Touch(c.Context()), session.ErrGone, "Touch")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("TouchOfADetachedSessionMovesTheIdleDeadline", func(c *C) {
			cl := c.signedIn("alice")
			d, err := session.Detach(c.open(cl.token))
			c.ok(err, "Detach")
			defer d.Close()
			for range 5 {
				c.clock.Advance(idle - time.Millisecond)
				c.ok(d.Touch(c.Context()), "Touch")
			}
			c.alive(cl.token)
			c.is(d.Do(c.Context(), func(ctx context.Context) error {
				s, err := session.Require(ctx)
				c.ok(err, "Require")
				return s.Rotate(ctx)
			}), session.ErrDetached, "Rotate")
			c.clock.Advance(idle)
			c.is(d.Touch(c.Context()), session.ErrGone, "Touch of an expired session")
			<-d.Done()
		}),
	)
}
