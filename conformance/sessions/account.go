package sessions

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func accountCases() []Case {
	return group("Account",
		that("DestroyAllCountsExactlyAndResumes", func(c *C) {
			for i := range 60 {
				c.signedIn(fmt.Sprint("user", i%7))
				if i%3 == 0 {
					c.newClient("v")
				}
			}
			ctx, cancel := context.WithCancel(c.Context())
			n := 0
			c.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				if n++; op == sessiontest.OpWrite && n > 20 || op == sessiontest.OpWriteMany {
					cancel()
				}
				return next()
			})
			first, err := c.svc.DestroyAll(ctx)
			if err == nil || first > 20 {
				c.Fatalf("DestroyAll that was cancelled: %d, %v", first, err)
			}
			c.b.SetHook(nil)
			left := len(c.rows(""))
			second, err := c.svc.DestroyAll(c.Context())
			c.ok(err, "DestroyAll")
			same(c, second, left, "what the second call counts")
			// A delete whose answer the cancellation lost is not counted.
			if sum := first + second; sum != 80 && sum != 79 {
				c.Fatalf("counted %d of 80", sum)
			}
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("NotBeforeRefusesEarlierAuthentications", func(c *C) {
			var mu sync.Mutex
			var since time.Time
			c.use(session.Options{NotBefore: func(context.Context, string) (time.Time, error) {
				mu.Lock()
				defer mu.Unlock()
				return since, nil
			}})
			early := c.signedIn("alice")
			slow := c.open("")
			// A sign-in is under way while the account is disabled and its sessions
			// are destroyed.
			c.b.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
				c.b.SetHook(nil)
				mu.Lock()
				since = c.clock.Advance(time.Second)
				mu.Unlock()
				_, err := c.svc.DestroyPrincipal(c.Context(), "alice")
				c.ok(err, "DestroyPrincipal")
			}))
			c.ok(slow.s.SignIn(slow, "alice", nil), "SignIn")
			late := slow.commit().Token()
			c.dead(early.token)
			c.dead(late)
			c.clock.Advance(time.Second)
			c.b.Calls()
			c.signedIn("alice")
			c.calls("Write 1", "a sign-in with the hook")
		}),
		// Bug: alexedwards/scs#198, pow-auth/pow#561, tuwukee/jwt_sessions#146
		that("ListingCostsOnlyThePrincipalsOwn", func(c *C) {
			for i := range 150 {
				c.signedIn(fmt.Sprint("stranger", i))
			}
			c.signedIn("alice")
			c.b.Calls()
			same(c, len(c.rows("alice")), 1, "alice's sessions")
			c.calls("Page 1", "a listing among the sessions of others")
		}),
		that("BackChannelLogoutByLabelIfDeclared", func(c *C) {
			r := c.open("")
			err := r.s.SignIn(r, "alice", &session.SignInOptions{SID: "op|1"})
			if !c.b.Describe().HasLabel("sid") {
				if err == nil {
					c.Fatal("a SID without a label was accepted")
				}
				return
			}
			c.ok(err, "SignIn")
			token := r.commit().Token()
			other := c.signedIn("alice")
			n, err := c.svc.DestroyByLabel(c.Context(), "sid", "op|1")
			c.ok(err, "DestroyByLabel")
			same(c, n, 1, "destroyed")
			c.dead(token)
			c.alive(other.token)
		}),
		that("RenameKeepsAConcurrentWriteAndChecksTheOwner", func(c *C) {
			cl := c.signedIn("alice")
			h := handleOf(cl.token)
			if c.svc.Rename(c.Context(), "mallory", h, "mine") == nil {
				c.Fatal("another principal's session was renamed")
			}
			c.b.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
				c.b.SetHook(nil)
				cl.do(func(r *request) { r.set("w") })
			}))
			c.ok(c.svc.Rename(c.Context(), "alice", h, "Phone"), "Rename")
			same(c, c.alive(cl.token).Name, "Phone", "name")
			c.open(cl.token).has("w")
		}),
	)
}
