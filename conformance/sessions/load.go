package sessions

import (
	"github.com/sojourn-go/sojourn/session"
)

func loadCases() []Case {
	return group("Load",
		that("UnusedSessionMakesNoCall", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			k := c.open(cl.token).commit()
			c.calls("none", "a token that is not used")
			same(c, k.Action, session.ActionLeave, "credential")
		}),
		that("NoTokenMakesNoCall", func(c *C) {
			r := c.open("")
			r.empty()
			_, err := r.s.Principal(r)
			c.is(err, session.ErrUnauthenticated, "Principal")
			same(c, r.commit().Action, session.ActionLeave, "credential")
			c.calls("none", "no token")
		}),
		that("EmptySessionLeavesNoRow", func(c *C) {
			r := c.open("")
			r.set("v")
			c.ok(text.Delete(r), "Delete")
			same(c, r.commit().Action, session.ActionLeave, "credential")
			c.calls("none", "set and removed again")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("FirstValueCreatesTheRow", func(c *C) {
			cl := &client{c: c}
			k := cl.do(func(r *request) { r.set("v") })
			c.calls("Write 1", "a new session")
			same(c, k.Action, session.ActionGive, "credential")
			c.open(cl.token).has("v")
		}),
		that("ReadsTakeOneCall", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			cl.do(func(r *request) {
				r.has("v")
				r.has("v")
				_, _ = r.s.Principal(r)
			})
			c.calls("Get 1", "reads only")
		}),
		that("ParallelReadersLoadOnce", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			r := c.open(cl.token)
			race(20, func(int) {
				if v, ok, err := text.Get(r); err != nil || !ok || v != "v" {
					c.Errorf("Get: %q, %v, %v", v, ok, err)
				}
			})
			c.calls("Get 1", "20 readers of one request")
		}),
		that("ChangeTakesTwoCalls", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			k := cl.do(func(r *request) { r.set("w"); c.ok(other.Set(r, "x"), "Set") })
			c.calls("Get 1, Write 1", "changes")
			same(c, k.Action, session.ActionLeave, "credential")
			c.open(cl.token).has("w")
		}),
		that("UnchangedValueIsNotWritten", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			cl.do(func(r *request) { r.set("w"); r.set("v") })
			c.calls("Get 1", "the same value again")
		}),
		that("ValueIsReadOnAnotherNode", func(c *C) {
			cl := c.newClient("v")
			_, svc := c.node()
			r := c.openOn(svc, cl.token)
			r.has("v")
			r.set("w")
			r.commit()
			c.open(cl.token).has("w")
		}),
	)
}
