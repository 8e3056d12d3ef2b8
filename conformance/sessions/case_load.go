package sessions

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func loadCases() []Case {
	return group("Load",
		that("SessionThatNothingLooksAtMakesNoCall", func(c *C) {
			cl := c.newClient("v")
			c.b.Calls()
			k := c.open(cl.token).commit()
			c.calls("none", "a token and no use")
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
		that("CreatedButEmptyLeavesNoRow", func(c *C) {
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
			together(20, func(int) {
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
		that("ValueIsSeenOnAnotherNode", func(c *C) {
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

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func tokenCases() []Case {
	return group("Token",
		// Bug: gofiber/fiber CVE-2024-38513, cherrypy/cherrypy#709
		that("UnknownHandleIsNeverAdopted", func(c *C) {
			planted := base64.RawURLEncoding.EncodeToString([]byte("attackers-choice")) + "." + strings.Repeat("A", 43)
			same(c, len(planted), session.TokenLen, "the planted token's length")
			cl := &client{c: c, token: planted}
			cl.do(func(r *request) { r.empty(); r.set("v") })
			if cl.token == planted || handleOf(cl.token) == handleOf(planted) {
				c.Fatal("the planted token was adopted")
			}
			c.dead(planted)
		}),
		that("EveryByteCounts", func(c *C) {
			cl := c.newClient("v")
			for i := range len(cl.token) {
				b := []byte(cl.token)
				if b[i] == 'A' {
					b[i] = 'B'
				} else {
					b[i] = 'A'
				}
				c.dead(string(b))
			}
			// The last byte of either part has spare bits, which a lax decoder
			// would drop.
			for _, i := range []int{len(handleOf(cl.token)) - 1, len(cl.token) - 1} {
				for _, x := range alphabet {
					if b := []byte(cl.token); b[i] != byte(x) {
						b[i] = byte(x)
						c.dead(string(b))
					}
				}
			}
			c.alive(cl.token)
		}),
		that("DumpOfTheStoreOpensNothing", func(c *C) {
			cl := c.signedIn("alice")
			cl.do(func(r *request) { r.set("v") })
			dump := string(c.raw())
			handle, secret, _ := strings.Cut(cl.token, ".")
			if !strings.Contains(dump, handle) {
				c.Fatal("the dump does not hold the row")
			}
			if strings.Contains(dump, secret) {
				c.Fatal("the dump holds the secret")
			}
			raw, err := base64.RawURLEncoding.DecodeString(secret)
			c.ok(err, "decoding the secret")
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
				if strings.Contains(dump, enc.EncodeToString(raw)) {
					c.Fatal("the dump holds the secret")
				}
			}
			// The stored hash is no secret that opens the row.
			_, after, _ := strings.Cut(dump, `"hash":"`)
			hash, _, _ := strings.Cut(after, `"`)
			b, err := base64.StdEncoding.DecodeString(hash)
			c.ok(err, "decoding the hash")
			c.dead(handle + "." + base64.RawURLEncoding.EncodeToString(b))
		}),
		that("WrongSecretIsAnonymousAndLogged", func(c *C) {
			cl, stranger := c.newClient("v"), c.newClient("w")
			_, secret, _ := strings.Cut(stranger.token, ".")
			c.dead(handleOf(cl.token) + "." + secret)
			if log := c.log.String(); !strings.Contains(log, handleOf(cl.token)) || strings.Contains(log, secret) {
				c.Fatalf("log: %s", log)
			}
			c.alive(cl.token)
		}),
	)
}

func lifeCases() []Case {
	return group("Life",
		// Bug: pallets-eco/flask-session#240, ca98am79/connect-dynamodb#101, gravitational/teleport#19885
		that("IdleEndsAtTheExactInstant", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(idle - time.Millisecond)
			c.alive(cl.token)
			c.clock.Advance(time.Millisecond)
			c.dead(cl.token)
			same(c, len(c.rows("")), 0, "rows listed")
			n, err := c.svc.Count(c.Context())
			c.ok(err, "Count")
			same(c, n, 0, "rows counted")
		}),
		// Bug: jdesboeufs/connect-mongo#152, jdesboeufs/connect-mongo#154
		that("UseMovesTheIdleDeadlineOncePerStep", func(c *C) {
			cl := c.newClient("v")
			before := c.alive(cl.token).IdleDeadline
			c.clock.Advance(touch - time.Millisecond)
			c.b.Calls()
			k := cl.do(func(r *request) { r.has("v") })
			c.calls("Get 1", "not due")
			same(c, k.Action, session.ActionLeave, "credential when not due")

			c.clock.Advance(time.Millisecond)
			k = cl.do(func(r *request) { r.has("v") })
			c.calls("Get 1, Touch 1", "due")
			same(c, k.Action, session.ActionGive, "credential when due")
			same(c, k.Token(), cl.token, "the token")
			same(c, c.alive(cl.token).IdleDeadline, before.Add(touch), "idle deadline")

			c.b.Calls()
			cl.do(func(r *request) { r.has("v") })
			c.calls("Get 1", "due no longer")
		}),
		that("TouchOfASlowRequestDoesNotShorten", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(touch)
			slow := c.open(cl.token)
			slow.has("v")
			_, svc := c.node()
			c.once(sessiontest.OpTouch, func() {
				c.clock.Advance(time.Second)
				r := c.openOn(svc, cl.token)
				r.has("v")
				r.commit()
			})
			slow.commit()
			same(c, c.alive(cl.token).IdleDeadline, c.clock.Now().Add(idle), "idle deadline")
		}),
		that("ChangeMovesTheIdleDeadlineWithoutATouch", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(touch)
			c.b.Calls()
			k := cl.do(func(r *request) { r.set("w") })
			c.calls("Get 1, Write 1", "a change when due")
			same(c, k.Action, session.ActionGive, "credential")
			same(c, c.alive(cl.token).IdleDeadline, c.clock.Now().Add(idle), "idle deadline")
		}),
		// Bug: jdesboeufs/connect-mongo#199
		that("SessionInUseNeverGoesIdle", func(c *C) {
			cl := c.signedIn("alice")
			for range 40 {
				c.clock.Advance(idle - touch)
				cl.do(func(r *request) {
					_, err := r.s.Principal(r)
					c.ok(err, "Principal after %v of use", c.clock.Now())
				})
			}
		}),
		// Bug: gofiber/fiber#2741, maxcountryman/tower-sessions#74
		that("AbsoluteEndsASessionInUse", func(c *C) {
			cl := c.signedIn("alice")
			end := c.alive(cl.token).AbsoluteDeadline
			same(c, end, c.clock.Now().Add(absolute), "absolute deadline")
			for c.clock.Now().Add(20 * time.Minute).Before(end) {
				c.clock.Advance(20 * time.Minute)
				cl.do(func(r *request) { r.set(c.clock.Now().String()) })
				info := c.alive(cl.token)
				same(c, info.AbsoluteDeadline, end, "absolute deadline")
				if info.IdleDeadline.After(end) {
					c.Fatalf("idle deadline %v after the absolute one %v", info.IdleDeadline, end)
				}
			}
			c.clock.Advance(end.Sub(c.clock.Now()) - time.Millisecond)
			cl.do(func(r *request) { _, err := r.s.Principal(r); c.ok(err, "Principal") })
			c.clock.Advance(time.Millisecond)
			c.dead(cl.token)
		}),
		that("UseCountsEvenShortlyBeforeTheAbsoluteDeadline", func(c *C) {
			_, svc := c.nodeWith(session.Options{Policy: session.Policy{Absolute: idle + time.Minute}})
			r := c.openOn(svc, "")
			r.set("v")
			token := r.commit().Token()
			c.clock.Advance(idle - time.Millisecond)
			r = c.openOn(svc, token)
			r.has("v")
			r.commit()
			c.clock.Advance(time.Minute)
			c.alive(token)
			c.clock.Advance(time.Millisecond)
			c.dead(token)
		}),
		that("AnonymousSessionEndsAbsolutelyToo", func(c *C) {
			cl := c.newClient("v")
			end := c.clock.Now().Add(absolute)
			for c.clock.Now().Before(end.Add(-time.Millisecond)) {
				c.clock.Advance(min(20*time.Minute, end.Add(-time.Millisecond).Sub(c.clock.Now())))
				cl.do(func(r *request) { r.has("v") })
			}
			c.clock.Advance(time.Millisecond)
			c.dead(cl.token)
		}),
		// Bug: tj/connect-redis#251, aspnet/Session#169
		that("CredentialNeverOutlivesTheRow", func(c *C) {
			cl := c.signedIn("alice")
			for i := range 60 {
				c.clock.Advance(25*time.Minute + 333*time.Millisecond)
				r := c.open(cl.token)
				if i%2 == 0 {
					r.set(strings.Repeat("x", i))
				} else {
					r.info()
				}
				k := r.commit()
				cl.take(k)
				if k.Action != session.ActionGive {
					continue
				}
				row := c.alive(cl.token).ExpiresAt()
				cookie := c.clock.Now().Add(k.MaxAge)
				if cookie.After(row) || row.Sub(cookie) >= time.Second {
					c.Fatalf("the cookie ends at %v, the row at %v", cookie, row)
				}
				if row.Sub(c.clock.Now()) < 26*time.Minute {
					return // the absolute deadline
				}
			}
		}),
		that("ExpiredSessionGivesAFreshRow", func(c *C) {
			cl := c.newClient("v")
			old := cl.token
			c.clock.Advance(idle)
			cl.do(func(r *request) { r.empty(); r.set("w") })
			if handleOf(cl.token) == handleOf(old) {
				c.Fatal("the expired session's handle is used again")
			}
			c.open(cl.token).has("w")
			c.dead(old)
		}),
		that("WritePastTheDeadlineRevivesNothing", func(c *C) {
			cl := c.newClient("v")
			r := c.open(cl.token)
			r.set("w")
			c.clock.Advance(idle)
			_, err := r.s.Commit(r)
			c.is(err, session.ErrGone, "Commit")
			c.dead(cl.token)
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("TimesAreKeptApart", func(c *C) {
			cl := c.newClient("v")
			c.clock.Advance(10 * time.Minute)
			signed := c.clock.Now()
			cl.do(func(r *request) { r.signIn("alice") })
			c.clock.Advance(5 * time.Minute)
			cl.do(func(r *request) { r.info() })
			c.clock.Advance(time.Minute)
			i := c.alive(cl.token)
			same(c, i.CreatedAt, signed, "CreatedAt")
			same(c, i.AuthenticatedAt, signed, "AuthenticatedAt")
			same(c, i.LastSeen, signed.Add(5*time.Minute), "LastSeen")
			same(c, i.IdleDeadline, signed.Add(5*time.Minute+idle), "IdleDeadline")
			same(c, i.AbsoluteDeadline, signed.Add(absolute), "AbsoluteDeadline")
		}),
		// Bug: spring-projects/spring-session#2614, spring-projects/spring-session#2230, spring-projects/spring-session#3287, spring-projects/spring-session#1843
		that("SweepLeavesNothingOfTheExpired", func(c *C) {
			c.newClient("v")
			c.signedIn("alice")
			c.clock.Advance(idle / 2)
			live := c.signedIn("alice")
			c.clock.Advance(idle / 2)
			removed := 0
			for {
				n, err := c.b.DeleteExpired(c.Context(), driver.Sweep{Before: c.clock.Now(), Limit: 100})
				c.ok(err, "DeleteExpired")
				removed += n.Removed
				if !n.More {
					break
				}
			}
			same(c, removed, 2, "removed")
			same(c, strings.Join(c.rows("alice"), ","), handleOf(live.token), "alice's sessions")
			same(c, len(c.rows("")), 1, "rows")
		}),
	)
}
