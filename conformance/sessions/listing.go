package sessions

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

func listingCases() []Case {
	return group("Listing",
		that("PagesHaveEverySessionOnce", func(c *C) {
			for i := range 23 {
				c.signedIn(fmt.Sprint("user", i%2))
			}
			ended := c.signedIn("user0")
			ended.do(func(r *request) { c.ok(r.s.SignOut(r), "SignOut") })
			for principal, page := range map[string]func(after string) (session.Listing, error){
				"": func(after string) (session.Listing, error) { return c.svc.Page(c.Context(), after, 5) },
				"user0": func(after string) (session.Listing, error) {
					return c.svc.SessionsPage(c.Context(), "user0", after, 5)
				},
			} {
				got := []string{}
				for after := ""; ; {
					l, err := page(after)
					c.ok(err, "a page")
					same(c, len(l.Failed), 0, "failures")
					if len(l.Sessions) > 5 {
						c.Fatalf("a page of %d sessions", len(l.Sessions))
					}
					for _, i := range l.Sessions {
						got = append(got, i.Handle)
					}
					if after = l.Next; after == "" {
						break
					}
				}
				slices.Sort(got)
				same(c, strings.Join(got, " "), strings.Join(c.rows(principal), " "), "the sessions of all pages")
			}
			_, err := c.svc.Page(c.Context(), "no token of a page", 5)
			c.is(err, model.ErrInvalid, "a page after an invalid token")
		}),
		that("LookupAndDestroyByHandle", func(c *C) {
			cl := c.signedIn("alice")
			h := handleOf(cl.token)
			c.b.Calls()
			info, err := c.svc.Lookup(c.Context(), h)
			c.ok(err, "Lookup")
			c.calls("Get 1", "Lookup")
			same(c, info.Principal, "alice", "principal")
			c.ok(c.svc.DestroyHandle(c.Context(), h), "DestroyHandle")
			c.calls("Get 1, Write 1", "DestroyHandle")
			c.dead(cl.token)
			_, err = c.svc.Lookup(c.Context(), h)
			c.is(err, model.ErrNotFound, "Lookup of a session that has ended")
			c.is(c.svc.DestroyHandle(c.Context(), h), model.ErrNotFound, "DestroyHandle of a session that has ended")
		}),
		that("EraseRemovesTheExpiredToo", func(c *C) {
			for _, p := range []string{"alice", "bob", "alice"} {
				c.signedIn(p)
			}
			c.clock.Advance(absolute)
			live, stays := c.signedIn("alice"), c.signedIn("bob")
			n, err := c.svc.Erase(c.Context(), "alice")
			c.ok(err, "Erase")
			same(c, n, 1, "sessions that it ended")
			c.dead(live.token)
			c.alive(stays.token)
			// What is left is found by a sweep that removes nothing.
			var left []string
			_, err = c.b.Unwrap().DeleteExpired(c.Context(), driver.Sweep{
				Before: c.clock.Now(), Limit: 100,
				OnExpire: func(rec model.Record) error {
					left = append(left, rec.Labels["principal"])
					return errors.New("it stays")
				},
			})
			c.ok(err, "DeleteExpired")
			same(c, strings.Join(left, " "), "bob", "the expired rows that are left")
			if strings.Contains(string(c.raw()), "alice") {
				c.Fatal("the store still names alice")
			}
		}),
		that("LabelsOfOnesOwnFindSessions", func(c *C) {
			label := ""
			for _, name := range c.b.Describe().Labels {
				if name != "principal" && name != "sid" {
					label = name
				}
			}
			in := func(name, value string) (string, error) {
				r := c.open("")
				err := r.s.SignIn(r, "alice", &session.SignInOptions{Labels: map[string]string{name: value}})
				if err != nil {
					return "", err
				}
				return r.commit().Token(), nil
			}
			for _, refused := range []string{"", "principal", "sid", "not declared"} {
				_, err := in(refused, "x")
				c.is(err, model.ErrInvalid, "SignIn with the label "+refused)
			}
			if label == "" {
				return // the backend declares none of its own
			}
			_, err := in(label, "")
			c.is(err, model.ErrInvalid, "SignIn with an empty label value")
			red, err := in(label, "red")
			c.ok(err, "SignIn")
			blue, err := in(label, "blue")
			c.ok(err, "SignIn")
			// A rotation and a change keep the label.
			cl := &client{c: c, token: red}
			cl.do(func(r *request) { c.ok(r.s.Rotate(r), "Rotate") })
			cl.do(func(r *request) { r.set("v") })
			found := ""
			for info, err := range c.svc.SessionsByLabel(c.Context(), label, "red") {
				c.ok(err, "SessionsByLabel")
				found += info.Handle
				same(c, info.Label(label), "red", "label in the Info")
			}
			same(c, found, handleOf(red), "the sessions with the label")
			n, err := c.svc.DestroyByLabel(c.Context(), label, "red")
			c.ok(err, "DestroyByLabel")
			same(c, n, 1, "sessions that it ended")
			c.dead(cl.token)
			c.alive(blue)
		}),
		that("ManySessionsEndInBatches", func(c *C) {
			var tokens []string
			for range 12 {
				tokens = append(tokens, c.signedIn("alice").token)
			}
			kept := c.signedIn("bob")
			c.b.Calls()
			n, err := c.svc.DestroyPrincipal(c.Context(), "alice")
			c.ok(err, "DestroyPrincipal")
			same(c, n, 12, "sessions that it ended")
			want := "Write 12, Page 2"
			if _, batches := c.b.Unwrap().(driver.BatchWriter); batches {
				want = "WriteMany 1, Page 2"
			}
			c.calls(want, "DestroyPrincipal of 12 sessions")
			for _, token := range tokens {
				c.dead(token)
			}
			c.alive(kept.token)
		}),
	)
}
