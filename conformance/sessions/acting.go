package sessions

import (
	"context"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// acting returns a client that impersonates alice, the handle of the actor's own
// session, and a view of that one.
func (c *C) acting() (cl *client, own string, view *session.Detached) {
	c.Helper()
	cl = c.signedIn("admin")
	own = handleOf(cl.token)
	view, err := session.Detach(c.open(cl.token))
	c.ok(err, "Detach")
	cl.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate") })
	c.ok(view.Err(), "the actor's view during the impersonation")
	return cl, own, view
}

// actingCases end an impersonation in every way but EndImpersonation. The actor's
// own session, which no secret opens then, has to end with it.
func actingCases() []Case {
	ways := []struct {
		name string
		end  func(c *C, cl *client)
	}{
		{"SignOut", func(c *C, cl *client) {
			r := c.open(cl.token)
			same(c, r.info().Principal, "alice", "principal")
			c.ok(r.s.SignOut(r), "SignOut")
			c.calls("Get 2, Write 2", "a sign-out during an impersonation")
		}},
		{"SignOutByAView", func(c *C, cl *client) {
			d, err := session.Detach(c.open(cl.token))
			c.ok(err, "Detach")
			c.ok(d.Do(c.Context(), func(ctx context.Context) error {
				s, err := session.Require(ctx)
				c.ok(err, "Require")
				return s.SignOut(ctx)
			}), "Do")
		}},
		{"SignOutOfSeveralTokens", func(c *C, cl *client) {
			s := c.svc.OpenAny(cl.token, c.signedIn("bob").token)
			_, err := s.Principal(c.Context())
			c.is(err, session.ErrUnauthenticated, "Principal")
			c.ok(s.SignOut(c.Context()), "SignOut")
		}},
		{"SignInOverSeveralTokens", func(c *C, cl *client) {
			s := c.svc.OpenAny(cl.token, c.signedIn("bob").token)
			c.ok(s.SignIn(c.Context(), "carol", nil), "SignIn")
		}},
		{"Destroy", func(c *C, cl *client) {
			c.ok(c.svc.Destroy(c.Context(), "alice", handleOf(cl.token)), "Destroy")
			c.calls("Get 2, Write 2", "Destroy of an impersonation")
		}},
		{"DestroyHandle", func(c *C, cl *client) {
			c.ok(c.svc.DestroyHandle(c.Context(), handleOf(cl.token)), "DestroyHandle")
		}},
		{"DestroyPrincipal", func(c *C, _ *client) {
			c.signedIn("alice")
			n, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
			same(c, n, 2, "alice's sessions")
		}},
		{"DestroyOthers", func(c *C, _ *client) {
			n, err := c.svc.DestroyOthers(c.Context(), "alice", handleOf(c.signedIn("alice").token))
			c.ok(err, "DestroyOthers")
			same(c, n, 1, "alice's other sessions")
		}},
		{"Erase", func(c *C, _ *client) {
			n, err := c.svc.Erase(c.Context(), "alice")
			c.ok(err, "Erase")
			same(c, n, 1, "alice's sessions")
		}},
		{"Binder", func(c *C, cl *client) {
			_, svc := c.nodeWith(session.Options{Binder: func(context.Context, session.Info, session.Client) session.Decision {
				return session.DecisionDestroy
			}})
			r := c.openOn(svc, cl.token)
			r.s.SetClient(session.Client{UserAgent: "another"})
			_, err := r.s.Principal(r)
			c.is(err, session.ErrUnauthenticated, "Principal")
		}},
		{"Reuse", func(c *C, cl *client) {
			old := cl.token
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			c.clock.Advance(overlap)
			_, svc := c.nodeWith(session.Options{OnReuse: session.OnReuseEndSession})
			r := c.openOn(svc, old)
			_, err := r.s.Principal(r)
			c.is(err, session.ErrUnauthenticated, "Principal")
		}},
	}
	out := make([]Case, 0, len(ways)+1)
	for _, way := range ways {
		out = append(out, that("ActorsSessionEndsBy"+way.name, func(c *C) {
			// A view ends at once on the service that ends the session.
			var seen events
			c.use(session.Options{OnEvent: seen.hook})
			cl, own, view := c.acting()
			c.b.Calls()
			way.end(c, cl)
			if slices.Contains(c.rows("admin"), own) {
				c.Fatal("the actor's own session lives on")
			}
			c.dead(cl.token)
			if way.name != "Binder" && way.name != "Reuse" { // another node ends it
				c.is(view.Err(), session.ErrGone, "the actor's view")
				destroyed := 0
				for _, e := range seen.of(session.EventDestroyed) {
					if e.Handle == own && e.Principal == "admin" {
						destroyed++
					}
				}
				same(c, destroyed, 1, "events of the actor's session")
			}
		}))
	}
	return group("Acting", append(out,
		that("AnotherImpersonationIsNotEnded", func(c *C) {
			// What an earlier impersonation leaves must not end a later one.
			cl, own, view := c.acting()
			first := handleOf(cl.token)
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			cl.do(func(r *request) { c.ok(r.s.Impersonate(r, "alice", "again"), "Impersonate") })
			c.is(c.svc.Destroy(c.Context(), "alice", first), model.ErrNotFound, "Destroy of the first one")
			c.ok(view.Err(), "the actor's view")
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			same(c, handleOf(cl.token), own, "handle of the actor's session")
			same(c, c.alive(cl.token).Principal, "admin", "principal")
			c.clock.Advance(time.Second)
			c.ok(view.Touch(c.Context()), "Touch of the actor's view")
		}),
	)...)
}
