package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// trySignIn signs a new client in as alice, on the service, and returns its token.
func (c *C) trySignIn(svc *session.Service) (string, error) {
	r := c.openOn(svc, "")
	if err := r.s.SignIn(r, "alice", nil); err != nil {
		return "", err
	}
	k, err := r.s.Commit(r)
	return k.Token(), err
}

// rush is n sign-ins at once, on two nodes with the limit; it returns the
// tokens of those that succeeded, and how many were refused.
func (c *C) rush(n int, l session.Limit) (tokens []string, refused int) {
	c.Helper()
	c.use(session.Options{Limit: l})
	_, second := c.nodeWith(session.Options{Limit: l})
	var mu sync.Mutex
	together(8, func(w int) {
		for i := w; i < n; i += 8 {
			svc := c.svc
			if i%2 == 1 {
				svc = second
			}
			token, err := c.trySignIn(svc)
			mu.Lock()
			switch {
			case err == nil:
				tokens = append(tokens, token)
			case errors.Is(err, session.ErrLimit):
				refused++
			default:
				c.Errorf("SignIn: %v", err)
			}
			mu.Unlock()
		}
	})
	return tokens, refused
}

func limitCases() []Case {
	return group("Limit",
		that("SignInAtTheLimitEndsTheOldest", func(c *C) {
			c.use(session.Options{Limit: session.Limit{Max: 2}})
			var tokens []string
			for range 3 {
				c.clock.Advance(time.Second)
				c.b.Calls()
				tokens = append(tokens, c.signedIn("alice").token)
			}
			c.calls("Write 1, Delete 1, Page 1", "a sign-in that evicts one")
			c.dead(tokens[0])
			c.alive(tokens[1])
			c.alive(tokens[2])
			c.signedIn("bob")
			c.calls("Get 3, Write 1, Page 1", "three looks, and a sign-in below the limit")
			// In place of one's own session there is always room.
			cl := &client{c: c, token: tokens[2]}
			cl.do(func(r *request) { r.signIn("alice") })
			c.alive(tokens[1])
			c.alive(cl.token)
			same(c, len(c.rows("alice")), 2, "alice's sessions")
		}),
		// Bug: elastic/kibana#149338, elastic/kibana#151800
		that("RushOfSignInsLeavesExactlyTheLimit", func(c *C) {
			tokens, _ := c.rush(40, session.Limit{Max: 5})
			same(c, len(c.rows("alice")), 5, "alice's sessions")
			live := 0
			for _, t := range tokens {
				if c.open(t).info().Handle != "" {
					live++
				}
			}
			same(c, live, 5, "tokens that open one")
		}),
		that("RushOfSignInsIsRefusedBeyondTheLimit", func(c *C) {
			tokens, refused := c.rush(24, session.Limit{Max: 5, On: session.OnLimitReject})
			same(c, len(c.rows("alice")), 5, "alice's sessions")
			same(c, len(tokens)+refused, 24, "sign-ins that returned")
			if len(tokens) < 5 {
				c.Fatalf("only %d sign-ins succeeded", len(tokens))
			}
		}),
		that("OfTwoAtOnceTheLaterRefusesItself", func(c *C) {
			limit := session.Limit{Max: 1, On: session.OnLimitReject}
			c.use(session.Options{Limit: limit})
			_, second := c.nodeWith(session.Options{Limit: limit})
			// The other is later by the clock, and in the store before the first
			// one looks.
			var late error
			c.b.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
				c.b.SetHook(nil)
				c.clock.Advance(time.Millisecond)
				r := c.openOn(second, "")
				late = r.s.SignIn(r, "alice", nil)
			}))
			first, err := c.trySignIn(c.svc)
			c.ok(err, "the earlier sign-in")
			c.ok(late, "the later one, which had returned before the earlier was stored")
			same(c, strings.Join(c.rows("alice"), ","), handleOf(first), "alice's sessions")
			c.b.Calls()
			_, err = c.trySignIn(c.svc)
			c.is(err, session.ErrLimit, "SignIn at the limit")
			c.calls("Page 1", "a sign-in that is refused")
		}),
		that("ClockThatRunsSlowPushesNobodyOut", func(c *C) {
			c.use(session.Options{Limit: session.Limit{Max: 1, On: session.OnLimitReject}})
			early := c.clock.Now()
			c.clock.Advance(time.Hour)
			sitting := c.signedIn("alice")
			slow := sessiontest.NewClock(early)
			svc, err := session.New(c.b, &session.Options{Clock: slow, Limit: session.Limit{Max: 1, On: session.OnLimitReject}, SweptElsewhere: true})
			c.ok(err, "session.New")
			_, err = c.trySignIn(svc)
			c.is(err, session.ErrLimit, "SignIn")
			c.alive(sitting.token)
		}),
		that("IdlestIsEvictedFirst", func(c *C) {
			c.use(session.Options{Limit: session.Limit{Max: 2, On: session.OnLimitEvictIdlest}})
			a := c.signedIn("alice")
			c.clock.Advance(time.Minute)
			b := c.signedIn("alice")
			c.clock.Advance(touch)
			a.do(func(r *request) { r.info() })
			c.signedIn("alice")
			c.alive(a.token)
			c.dead(b.token)
		}),
	)
}

func accountCases() []Case {
	return group("Account",
		that("DestroyAllIsExactAndGoesOnAfterACancellation", func(c *C) {
			for i := range 60 {
				c.signedIn(fmt.Sprint("user", i%7))
				if i%3 == 0 {
					c.newClient("v")
				}
			}
			ctx, cancel := context.WithCancel(c.Context())
			n := 0
			c.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				if op == sessiontest.OpDelete {
					if n++; n == 20 {
						cancel()
					}
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
			// A delete whose answer was lost to the cancellation is counted by nobody.
			if sum := first + second; sum != 80 && sum != 79 {
				c.Fatalf("counted %d of 80", sum)
			}
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("NoneAuthenticatedBeforeNotBeforeIsServed", func(c *C) {
			var mu sync.Mutex
			var since time.Time
			c.use(session.Options{NotBefore: func(context.Context, string) (time.Time, error) {
				mu.Lock()
				defer mu.Unlock()
				return since, nil
			}})
			early := c.signedIn("alice")
			slow := c.open("")
			// A sign-in is under way while the account is disabled and destroyed.
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
		that("ListingCostsOnesOwnAndNotTheStrangers", func(c *C) {
			for i := range 150 {
				c.signedIn(fmt.Sprint("stranger", i))
			}
			c.signedIn("alice")
			c.b.Calls()
			same(c, len(c.rows("alice")), 1, "alice's sessions")
			c.calls("Page 1", "a listing among strangers")
		}),
		that("BackChannelLogoutByLabelWhereDeclared", func(c *C) {
			r := c.open("")
			err := r.s.SignIn(r, "alice", &session.SignInOptions{SID: "op|1"})
			if !c.b.Describe().HasLabel("sid") {
				if err == nil {
					c.Fatal("a SID that could not be found again was taken")
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
		that("RenameTakesTheOwnersOnlyAndKeepsAConcurrentWrite", func(c *C) {
			cl := c.signedIn("alice")
			h := handleOf(cl.token)
			if c.svc.Rename(c.Context(), "mallory", h, "mine") == nil {
				c.Fatal("another's session was renamed")
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
