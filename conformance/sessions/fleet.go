package sessions

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func fleetCases() []Case {
	return group("Fleet",
		that("SessionsListsOnlyThePrincipalsOwn", func(c *C) {
			var want []string
			for range 3 {
				want = append(want, handleOf(c.signedIn("alice").token))
			}
			slices.Sort(want)
			c.signedIn("alice2")
			c.newClient("v")
			same(c, strings.Join(c.rows("alice"), ","), strings.Join(want, ","), "alice's sessions")
			same(c, len(c.rows("")), 5, "all sessions")
			n, err := c.svc.CountPrincipal(c.Context(), "alice")
			c.ok(err, "CountPrincipal")
			same(c, n, 3, "count")
		}),
		that("ListsAndInfosHaveNoSecret", func(c *C) {
			cl := c.signedIn("alice")
			_, secret, _ := strings.Cut(cl.token, ".")
			for info, err := range c.svc.Sessions(c.Context(), "alice") {
				c.ok(err, "Sessions")
				if s := fmt.Sprintf("%+v", info); strings.Contains(s, secret) || !strings.Contains(s, info.Handle) {
					c.Fatalf("info: %s", s)
				}
			}
			r := c.open(cl.token)
			r.info()
			for _, f := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
				if s := fmt.Sprintf(f, r.s); strings.Contains(s, secret) {
					c.Fatalf("%s of a session prints its secret", f)
				}
			}
		}),
		that("DestroyEndsOnlyTheOwnersSessions", func(c *C) {
			cl := c.signedIn("alice")
			h := handleOf(cl.token)
			c.is(c.svc.Destroy(c.Context(), "mallory", h), model.ErrNotFound, "Destroy of another principal's session")
			c.alive(cl.token)
			anon := c.newClient("v")
			c.is(c.svc.Destroy(c.Context(), "mallory", handleOf(anon.token)), model.ErrNotFound, "Destroy of an anonymous session")
			c.alive(anon.token)
			c.b.Calls()
			c.ok(c.svc.Destroy(c.Context(), "alice", h), "Destroy")
			c.calls("Get 1, Write 1", "Destroy")
			c.dead(cl.token)
			c.is(c.svc.Destroy(c.Context(), "alice", h), model.ErrNotFound, "Destroy again")
		}),
		that("DestroyOthersKeepsOne", func(c *C) {
			cl := c.signedIn("alice")
			a, b, bob := c.signedIn("alice"), c.signedIn("alice"), c.signedIn("bob")
			r := c.open(cl.token)
			n, err := r.s.DestroyOthers(r)
			c.ok(err, "DestroyOthers")
			same(c, n, 2, "destroyed")
			c.alive(cl.token)
			c.alive(bob.token)
			c.dead(a.token)
			c.dead(b.token)
		}),
		that("DestroyPrincipalEndsMoreThanOnePage", func(c *C) {
			const many = 130
			tokens := make([]string, many)
			race(10, func(w int) {
				for i := w; i < many; i += 10 {
					r := c.open("")
					err := r.s.SignIn(r, "alice", nil)
					k, cerr := r.s.Commit(r)
					if err != nil || cerr != nil {
						c.Errorf("SignIn: %v, %v", err, cerr)
					}
					tokens[i] = k.Token()
				}
			})
			bob := c.signedIn("bob")
			n, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
			same(c, n, many, "destroyed")
			same(c, len(c.rows("alice")), 0, "alice's sessions")
			for _, t := range tokens[:3] {
				c.dead(t)
			}
			c.alive(bob.token)
		}),
		that("DestroyPrincipalEndsEveryEarlierSignIn", func(c *C) {
			_, svc := c.node()
			var mu sync.Mutex
			var before []string
			stop := make(chan struct{})
			done := make(chan struct{})
			ready := make(chan struct{}, 100)
			go func() {
				defer close(done)
				for range 60 {
					select {
					case <-stop:
						return
					default:
					}
					r := c.openOn(svc, "")
					if err := r.s.SignIn(r, "alice", nil); err != nil {
						c.Errorf("SignIn: %v", err)
						return
					}
					k, err := r.s.Commit(r)
					if err != nil {
						c.Errorf("Commit: %v", err)
						return
					}
					mu.Lock()
					before = append(before, k.Token())
					mu.Unlock()
					ready <- struct{}{}
				}
			}()
			for range 5 {
				select {
				case <-ready:
				case <-done: // a sign-in has failed
				}
			}
			mu.Lock()
			sure := slices.Clone(before)
			mu.Unlock()
			_, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			close(stop)
			<-done
			if err != nil && !errors.Is(err, model.ErrConflict) {
				c.ok(err, "DestroyPrincipal")
			}
			for _, t := range sure {
				c.dead(t)
			}
		}),
		that("DestroyPrincipalWinsOverWriters", func(c *C) {
			cl := c.signedIn("alice")
			slow := c.open(cl.token)
			slow.set("w")
			c.beforeFirst(sessiontest.OpWrite, func() {
				// Between the listing and the end another request writes.
				cl.do(func(r *request) { c.ok(other.Set(r, "x"), "Set") })
			})
			n, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
			same(c, n, 1, "destroyed")
			_, err = slow.s.Commit(slow)
			c.is(err, session.ErrGone, "Commit")
			same(c, len(c.rows("")), 0, "rows")
		}),
		that("SignInsRaceDestroyPrincipal", func(c *C) {
			_, svc := c.node()
			for range 15 {
				var before string
				returned := make(chan struct{})
				race(2, func(i int) {
					if i == 0 {
						var err error
						if before, err = c.trySignIn(c.svc); err != nil {
							c.Errorf("SignIn: %v", err)
						}
						close(returned)
						if _, err := c.trySignIn(c.svc); err != nil {
							c.Errorf("SignIn: %v", err)
						}
						return
					}
					<-returned
					if _, err := svc.DestroyPrincipal(c.Context(), "alice"); err != nil {
						c.Errorf("DestroyPrincipal: %v", err)
					}
				})
				c.dead(before)
			}
		}),
		that("RowOfANewerVersionIsNotReplaced", func(c *C) {
			cl := c.signedIn("alice")
			handle := handleOf(cl.token)
			c.replace(handle, `"v":3`, `"v":99`)
			r := c.open(cl.token)
			r.empty()
			why, err := r.s.Why(r)
			c.ok(err, "Why")
			same(c, why, session.WhyUnreadable, "why")
			c.is(text.Set(r, "w"), session.ErrNewer, "Set")
			k := r.commit()
			same(c, k.Action, session.ActionLeave, "credential")
			same(c, k.Stale, false, "the client may forget its token")
			// A stranger's token proves nothing.
			c.dead(handle + c.newClient("v").token[len(handle):])
			c.replace(handle, `"v":99`, `"v":3`)
			same(c, c.alive(cl.token).Principal, "alice", "principal on a node that reads it")
			c.replace(handle, `"v":3`, `"v":99`)
			old := cl.token
			cl.do(func(r *request) { r.signIn("alice") })
			same(c, c.alive(cl.token).Principal, "alice", "principal after a sign-in")
			c.dead(old)
			same(c, len(c.rows("alice")), 1, "alice's sessions")
		}),
		that("RowThatWasChangedInTheStoreIsNotServed", func(c *C) {
			ring, err := expiry.NewKeyring(expiry.SealKey{ID: "a", Secret: slices.Repeat([]byte{1}, 32)})
			c.ok(err, "NewKeyring")
			var seen events
			c.use(session.Options{Keyring: ring, OnEvent: seen.hook})
			cl := c.signedIn("mallory")
			cl.do(func(r *request) { r.set("v") })
			handle := handleOf(cl.token)
			c.replace(handle, `"principal":"mallory"`, `"principal":"admin"`)
			c.dead(cl.token)
			same(c, seen.of(session.EventRejected)[0].Reason, session.ReasonForged, "reason")
			c.replace(handle, `"principal":"admin"`, `"principal":"mallory"`)
			same(c, c.alive(cl.token).Principal, "mallory", "principal of the row as it was")
			c.tamper(handle, func(rec *model.Record) { rec.Labels = map[string]string{"principal": "admin"} })
			c.dead(cl.token)
		}),
	)
}
