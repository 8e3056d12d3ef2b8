package sessions

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

var identityOptions = session.Options{IdentityKey: bytes.Repeat([]byte{7}, 32)}

// newIdentity returns an identity of alice that has no row.
func newIdentity() session.Identity {
	return session.Identity{Issuer: "https://id.example", SessionID: freshName(), Principal: "alice"}
}

// openFor begins a request of the identity.
func (c *C) openFor(id session.Identity) *request {
	c.Helper()
	s, err := c.svc.OpenFor(id)
	c.ok(err, "OpenFor")
	return &request{c, s, session.NewContext(c.Context(), s)}
}

// tamper changes a row in the store, as another program does.
func (c *C) tamper(handle string, change func(rec *model.Record)) {
	c.Helper()
	rec, err := c.b.Unwrap().Get(c.Context(), c.clock.Now(), driver.Get{ID: handle})
	c.ok(err, "Get")
	rec.Value = slices.Clone(rec.Value)
	change(&rec)
	rec.Revision = model.NewRevision()
	_, err = c.b.Unwrap().Write(c.Context(), c.clock.Now(), driver.Write{Record: rec, Cond: driver.IfAny})
	c.ok(err, "Write by another program")
}

// spoil puts foreign bytes in the place of a row.
func (c *C) spoil(handle string) {
	c.Helper()
	c.tamper(handle, func(rec *model.Record) { rec.Value, rec.Encoding = []byte("foreign"), "foreign" })
}

// replace changes a part of the JSON of a row in the store, and leaves it there as
// JSON.
func (c *C) replace(handle, old, by string) {
	c.Helper()
	c.tamper(handle, func(rec *model.Record) {
		before, err := session.RowJSON(rec.Value)
		c.ok(err, "RowJSON")
		text := strings.Replace(string(before), old, by, 1)
		if text == string(before) {
			c.Fatalf("the row has no %s", old)
		}
		rec.Value, rec.Encoding = []byte(text), "json"
	})
}

func identityCases() []Case {
	return group("Identity",
		that("OldAuthenticationStoresItsValues", func(c *C) {
			c.use(identityOptions)
			id := newIdentity()
			id.AuthenticatedAt = c.clock.Now().Add(-10 * absolute)
			r := c.openFor(id)
			r.set("v")
			r.commit()
			r = c.openFor(id)
			r.has("v")
			same(c, r.info().AbsoluteDeadline, c.clock.Now().Add(absolute), "absolute deadline")
			same(c, r.info().AuthenticatedAt, id.AuthenticatedAt, "authenticated")
			c.ok(r.s.SetLifetime(r, time.Hour), "SetLifetime")
			c.ok(r.s.SetIdle(r, time.Hour), "SetIdle")
			r.commit()
			same(c, c.openFor(id).info().ExpiresAt(), c.clock.Now().Add(time.Hour), "deadline of its own")
			c.clock.Advance(time.Hour)
			r = c.openFor(id)
			r.empty()
			r.set("another day")
			r.commit()
			c.openFor(id).has("another day")
		}),
		that("AuthenticationCountsBeforeTheFirstValue", func(c *C) {
			c.use(identityOptions)
			id := newIdentity()
			id.AuthenticatedAt = c.clock.Now().Add(-time.Minute)
			for range 2 { // without a row, and with one
				r := c.openFor(id)
				c.ok(r.s.RequireRecent(r, time.Minute, 0), "RequireRecent")
				c.is(r.s.RequireRecent(r, time.Minute-time.Millisecond, 0), session.ErrReauthenticate, "RequireRecent")
				c.is(r.s.RequireRecent(r, 0, 1), session.ErrReauthenticate, "RequireRecent of a level")
				p, err := r.s.Principal(r)
				c.ok(err, "Principal")
				same(c, p.ProvedAt, id.AuthenticatedAt, "proved")
				same(c, p.IssuedAt, id.AuthenticatedAt, "issued")
				r.set("v")
				r.commit()
			}
			late := newIdentity()
			late.AuthenticatedAt = c.clock.Now().Add(time.Hour) // by a clock that is wrong
			for range 2 {
				r := c.openFor(late)
				p, err := r.s.Principal(r)
				c.ok(err, "Principal")
				same(c, p.ProvedAt, c.clock.Now(), "proved in the future")
				r.set("v")
				r.commit()
			}
		}),
		that("SettingsBeforeTheFirstValueApply", func(c *C) {
			c.use(identityOptions)
			id := newIdentity()
			r := c.openFor(id)
			c.ok(r.s.SetNotAfter(r, c.clock.Now().Add(time.Minute)), "SetNotAfter")
			r.set("v")
			r.commit()
			same(c, c.openFor(id).info().AbsoluteDeadline, c.clock.Now().Add(time.Minute), "absolute deadline")
			id = newIdentity() // without a value at all
			r = c.openFor(id)
			c.ok(r.s.SetIdle(r, time.Minute), "SetIdle")
			same(c, r.s.Changed(), true, "changed")
			r.commit()
			same(c, c.openFor(id).info().IdleDeadline, c.clock.Now().Add(time.Minute), "idle deadline")
		}),
		that("WithoutARowEndsTheOthers", func(c *C) {
			c.use(identityOptions)
			cl := c.signedIn("alice")
			id := newIdentity()
			r := c.openFor(id)
			n, err := r.s.DestroyOthers(r)
			c.ok(err, "DestroyOthers")
			same(c, n, 1, "sessions")
			c.dead(cl.token)
			r = c.openFor(id)
			_, err = r.s.Principal(r)
			c.ok(err, "Principal")
			out := c.openFor(id)
			c.ok(out.s.SignOut(out), "SignOut")
			c.signedIn("alice")
			_, err = r.s.DestroyOthers(r)
			c.is(err, session.ErrGone, "DestroyOthers after a sign-out elsewhere")
			same(c, len(c.rows("alice")), 1, "alice's sessions")
		}),
		that("SignOutHoldsOverARowThatCannotBeRead", func(c *C) {
			c.use(identityOptions)
			id := newIdentity()
			r := c.openFor(id)
			r.set("v")
			r.commit()
			p, err := r.s.Principal(r)
			c.ok(err, "Principal")
			c.spoil(p.SessionID)
			r = c.openFor(id)
			c.is(text.Set(r, "w"), session.ErrGone, "Set")
			c.ok(r.s.SignOut(r), "SignOut")
			r.commit()
			r = c.openFor(id)
			_, err = r.s.Principal(r)
			c.is(err, session.ErrUnauthenticated, "Principal")
			c.is(text.Set(r, "w"), session.ErrGone, "Set after the sign-out")
			why, err := r.s.Why(r)
			c.ok(err, "Why")
			same(c, why, session.WhyEnded, "why")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("DestroyHoldsOverARowThatCannotBeRead", func(c *C) {
			c.use(identityOptions)
			for _, destroy := range []func(handle string) error{
				func(handle string) error { return c.svc.DestroyHandle(c.Context(), handle) },
				func(string) error { _, err := c.svc.DestroyPrincipal(c.Context(), "alice"); return err },
				func(string) error { _, err := c.svc.DestroyAll(c.Context()); return err },
			} {
				id := newIdentity()
				r := c.openFor(id)
				r.set("v")
				r.commit()
				p, err := r.s.Principal(r)
				c.ok(err, "Principal")
				c.spoil(p.SessionID)
				c.ok(destroy(p.SessionID), "the Destroy method")
				r = c.openFor(id)
				_, err = r.s.Principal(r)
				c.is(err, session.ErrUnauthenticated, "Principal")
				c.is(text.Set(r, "w"), session.ErrGone, "Set")
				same(c, len(c.rows("")), 0, "rows")
			}
		}),
	)
}
