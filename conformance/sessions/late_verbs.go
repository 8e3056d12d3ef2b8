package sessions

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// lateVerbCases are about methods whose answers were lost, and the Persist that
// learns their outcome.
func lateVerbCases() []Case {
	return group("Late",
		that("VerbHasItsEventAndEndsAChallenge", func(c *C) {
			for kind, verb := range map[session.EventKind]func(r *request) error{
				session.EventRotated:         func(r *request) error { return r.s.Rotate(r) },
				session.EventReauthenticated: func(r *request) error { return r.s.Reauthenticate(r) },
				session.EventElevated:        func(r *request) error { return r.s.Elevate(r, 3, time.Hour) },
			} {
				for _, before := range []int{0, 2} { // stored at once, or late
					var seen events
					cl := c.signedIn("alice")
					c.use(session.Options{OnEvent: seen.hook, Binder: func(context.Context, session.Info, session.Client) session.Decision {
						return session.DecisionChallenge
					}})
					r := c.open(cl.token)
					r.s.SetClient(session.Client{UserAgent: "another"})
					r.info()
					same(c, r.s.Challenged(), true, "challenged")
					c.b.SetHook(sessiontest.Late(1, before))
					if before == 0 {
						c.b.SetHook(undecided())
					}
					c.is(verb(r), model.ErrUnknown, "the verb without an answer")
					same(c, len(seen.of(kind)), 0, "events before the outcome is known")
					r.commit()
					all := seen.of(kind)
					same(c, len(all), 1, "events: "+kind.String())
					same(c, all[0].Principal, "alice", "principal of the event")
					same(c, all[0].Level == 3, kind == session.EventElevated, "level of the event")
					same(c, r.s.Challenged(), kind == session.EventRotated, "challenged afterwards")
				}
			}
		}),
		that("VerbThatIsNotStoredHasNoEvent", func(c *C) {
			var seen events
			c.use(session.Options{OnEvent: seen.hook})
			cl := c.signedIn("alice")
			r := c.open(cl.token)
			r.info()
			c.b.SetHook(sessiontest.Late(1, 0))
			c.is(r.s.Elevate(r, 3, time.Hour), model.ErrUnknown, "Elevate without an answer")
			cl.take(r.commit())
			same(c, c.alive(cl.token).Level, 0, "level")
			same(c, len(seen.of(session.EventElevated)), 0, "events")
		}),
		that("EndViewsWithoutAnAnswerEndsThem", func(c *C) {
			for _, failed := range []sessiontest.Hook{undecided(), sessiontest.Fail(model.ErrUnavailable, sessiontest.OpWrite)} {
				cl := c.signedIn("alice")
				view, err := session.Detach(c.open(cl.token))
				c.ok(err, "Detach")
				r := c.open(cl.token)
				r.info()
				c.b.SetHook(failed)
				if err := r.s.EndViews(r); err == nil {
					c.Fatal("EndViews without an answer returned nil")
				}
				c.b.SetHook(nil)
				c.ok(view.Err(), "the view before the outcome is known")
				r.commit()
				c.is(view.Err(), session.ErrGone, "the view")
			}
		}),
		that("ImpersonationAfterALostSignInTakesOverWhatOthersWrote", func(c *C) {
			cl := c.newClient("v")
			r := c.open(cl.token)
			r.has("v")
			hook, up := losing(2, false)
			c.b.SetHook(hook)
			c.is(r.s.SignIn(r, "root", nil), model.ErrUnknown, "SignIn whose marker has no answer")
			up()
			cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			c.ok(r.s.Impersonate(r, "alice", "help"), "Impersonate")
			old := cl.token
			cl.take(r.commit())
			c.dead(old)
			cl.do(func(r *request) { c.ok(r.s.EndImpersonation(r), "EndImpersonation") })
			same(c, c.alive(cl.token).Principal, "root", "principal")
			c.open(cl.token).has("v")
			otherIs(c, cl.token, "x")
			same(c, len(c.rows("")), 1, "rows")
		}),
	)
}
