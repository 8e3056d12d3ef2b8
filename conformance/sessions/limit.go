package sessions

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

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
			c.calls("Write 2, Page 1", "a sign-in that evicts one")
			c.dead(tokens[0])
			c.alive(tokens[1])
			c.alive(tokens[2])
			c.signedIn("bob")
			c.calls("Get 3, Write 1, Page 1", "three reads, and a sign-in below the limit")
			// A sign-in that replaces the own session has room.
			cl := &client{c: c, token: tokens[2]}
			cl.do(func(r *request) { r.signIn("alice") })
			c.alive(tokens[1])
			c.alive(cl.token)
			same(c, len(c.rows("alice")), 2, "alice's sessions")
		}),
		// Bug: elastic/kibana#149338, elastic/kibana#151800
		that("ManySignInsLeaveExactlyTheLimit", func(c *C) {
			tokens, _ := c.rush(40, session.Limit{Max: 5})
			same(c, len(c.rows("alice")), 5, "alice's sessions")
			live := 0
			for _, t := range tokens {
				if c.open(t).info().Handle != "" {
					live++
				}
			}
			same(c, live, 5, "tokens that open a session")
		}),
		that("ManySignInsAreRefusedOverTheLimit", func(c *C) {
			tokens, refused := c.rush(24, session.Limit{Max: 5, On: session.OnLimitReject})
			same(c, len(c.rows("alice")), 5, "alice's sessions")
			same(c, len(tokens)+refused, 24, "sign-ins that returned")
			if len(tokens) < 5 {
				c.Fatalf("only %d sign-ins succeeded", len(tokens))
			}
		}),
		that("LaterOfTwoConcurrentSignInsIsRefused", func(c *C) {
			limit := session.Limit{Max: 1, On: session.OnLimitReject}
			c.use(session.Options{Limit: limit})
			_, second := c.nodeWith(session.Options{Limit: limit})
			// The other sign-in is later by the clock, and its row is stored before
			// the first one reads.
			var late error
			c.b.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
				c.b.SetHook(nil)
				c.clock.Advance(time.Millisecond)
				r := c.openOn(second, "")
				late = r.s.SignIn(r, "alice", nil)
			}))
			first, err := c.trySignIn(c.svc)
			c.ok(err, "the earlier sign-in")
			c.ok(late, "the later sign-in, which returned before the earlier one was stored")
			same(c, strings.Join(c.rows("alice"), ","), handleOf(first), "alice's sessions")
			c.b.Calls()
			_, err = c.trySignIn(c.svc)
			c.is(err, session.ErrLimit, "SignIn at the limit")
			c.calls("Page 1", "a sign-in that is refused")
		}),
		that("SlowClockEvictsNobody", func(c *C) {
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

// rush makes n concurrent sign-ins on two nodes with the limit. It returns the
// tokens of those that succeeded, and how many were refused.
func (c *C) rush(n int, l session.Limit) (tokens []string, refused int) {
	c.Helper()
	c.use(session.Options{Limit: l})
	_, second := c.nodeWith(session.Options{Limit: l})
	var mu sync.Mutex
	race(8, func(w int) {
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
