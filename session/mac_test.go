package session_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Write access to the store alone is not enough to make or change a session.
func TestRowsThatWereChangedInTheStoreAreNotServed(t *testing.T) {
	planted := strings.Repeat("A", 43)
	raw, err := base64.RawURLEncoding.DecodeString(planted)
	ok(t, err)
	sum := sha256.Sum256(raw)
	for name, tc := range map[string]struct {
		change func(rec *model.Record, row, mine map[string]any)
		secret string // in place of the owner's
		reason session.Reason
	}{
		"a plain hash": {func(_ *model.Record, row, _ map[string]any) {
			row["hash"] = base64.StdEncoding.EncodeToString(sum[:])
			delete(row, "hashKey")
		}, planted, session.ReasonForged},
		"a plain hash without a MAC": {func(_ *model.Record, row, _ map[string]any) {
			row["hash"] = base64.StdEncoding.EncodeToString(sum[:])
			for _, field := range []string{"hashKey", "macKey", "mac"} {
				delete(row, field)
			}
		}, planted, session.ReasonUnsigned},
		"the row of version 1": {func(_ *model.Record, row, _ map[string]any) {
			row["v"] = 1
			delete(row, "macKey")
			delete(row, "mac")
		}, "", session.ReasonUnsigned},
		"the hash of another row": {func(_ *model.Record, row, mine map[string]any) {
			row["hash"], row["hashKey"] = mine["hash"], mine["hashKey"]
		}, "mine", session.ReasonForged},
		"all of another row": {func(_ *model.Record, row, mine map[string]any) {
			for field, v := range mine {
				row[field] = v
			}
		}, "mine", session.ReasonForged},
		"another principal":    {func(_ *model.Record, row, _ map[string]any) { row["principal"] = "root" }, "", session.ReasonForged},
		"a higher level":       {func(_ *model.Record, row, _ map[string]any) { row["level"] = 9 }, "", session.ReasonForged},
		"a later deadline":     {func(_ *model.Record, row, _ map[string]any) { row["absolute"] = float64(1 << 50) }, "", session.ReasonForged},
		"a fresher proof":      {func(_ *model.Record, row, _ map[string]any) { row["authenticatedAt"] = float64(1 << 50) }, "", session.ReasonForged},
		"data in the clear":    {func(_ *model.Record, row, _ map[string]any) { row["data"] = map[string]any{"note": "mine"} }, "", session.ReasonForged},
		"no seal":              {func(_ *model.Record, row, _ map[string]any) { delete(row, "sealKey") }, "", session.ReasonForged},
		"a key that is absent": {func(_ *model.Record, row, _ map[string]any) { row["macKey"] = "lost" }, "", session.ReasonUnknownSealKey},
		"another label":        {func(rec *model.Record, _, _ map[string]any) { rec.Labels = map[string]string{"principal": "mallory"} }, "", session.ReasonForged},
		"no label":             {func(rec *model.Record, _, _ map[string]any) { rec.Labels = nil }, "", session.ReasonForged},
		"a marker":             {func(_ *model.Record, row, _ map[string]any) { row["gone"] = "replaced" }, "", session.ReasonForged},
	} {
		t.Run(name, func(t *testing.T) {
			var seen events
			k := sessiontest.New(t, &session.Options{Keyring: ring(t, "a", 1), Pepper: true, OnEvent: seen.hook})
			token := do(t, k, signIn(t, k, "", "alice", nil), func(u *unit) error { return note.Set(u, "alice's") })
			own := do(t, k, signIn(t, k, "", "mallory", nil), func(u *unit) error { return note.Set(u, "mine") })
			var mine map[string]any
			rewrite(t, k, own, func(_ *model.Record, row map[string]any) { mine = row })
			alive(t, k, own) // written again by itself, it is as before
			rewrite(t, k, token, func(rec *model.Record, row map[string]any) { tc.change(rec, row, mine) })
			handle, _, _ := strings.Cut(token, ".")
			switch tc.secret {
			case "":
			case "mine":
				_, secret, _ := strings.Cut(own, ".")
				token = handle + "." + secret
			default:
				token = handle + "." + tc.secret
			}
			seen.take()
			dead(t, k, token)
			if got := seen.take(); len(got) != 1 || got[0].Reason != tc.reason {
				t.Errorf("events %+v, want the reason %q", got, tc.reason)
			}
			for i, err := range k.Service.Sessions(t.Context(), "root") {
				t.Errorf("root has a session %+v, %v", i, err)
			}
		})
	}
}

// A service can begin to use a keyring while its sessions live on.
func TestRowsWithoutAMACAreServedUntilTheEndDate(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, signIn(t, k, "", "alice", nil), func(u *unit) error { return note.Set(u, "before") })
	idle := signIn(t, k, "", "bob", nil)
	svc, err := session.New(k.Backend, &session.Options{
		Clock: k.Clock, Keyring: ring(t, "a", 1), AcceptUnsignedUntil: k.Clock.Now().Add(time.Minute),
	})
	ok(t, err)
	k.Service = svc
	token = do(t, k, token, func(u *unit) error { return note.Set(u, "after") })
	alive(t, k, idle)
	k.Clock.Advance(time.Minute)
	alive(t, k, token)
	dead(t, k, idle)
	rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: alive(t, k, token).Handle})
	ok(t, err)
	if text := rowText(t, &rec); strings.Contains(string(rec.Value), "after") || !strings.Contains(text, `"mac":`) {
		t.Errorf("the row is %s", text)
	}
}

// Rows that versions before have written go on, and are then of this one.
func TestRowsOfEarlierVersionsGoOn(t *testing.T) {
	for version := 1; version <= 2; version++ {
		k := sessiontest.New(t, nil)
		token := do(t, k, signIn(t, k, "", "alice", nil), func(u *unit) error { return note.Set(u, "v") })
		rewrite(t, k, token, func(_ *model.Record, row map[string]any) { row["v"] = version })
		handle := alive(t, k, token).Handle
		token = do(t, k, token, func(u *unit) error { return note.Set(u, "w") })
		rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle})
		ok(t, err)
		if text := rowText(t, &rec); rec.Encoding != "row" || !strings.HasPrefix(text, `{"v":3,`) || alive(t, k, token).Principal != "alice" {
			t.Errorf("the row is %s, as %s", text, rec.Encoding)
		}
	}
}

// Nodes that write JSON and nodes that write the compact form share sessions, with
// their MACs. Each verb of one node is seen by the other.
func TestNodesOfBothFormsShareSessions(t *testing.T) {
	for name, keyring := range map[string]*expiry.Keyring{"plain": nil, "sealed": ring(t, "a", 1)} {
		t.Run(name, func(t *testing.T) {
			compact := sessiontest.New(t, &session.Options{Keyring: keyring})
			svc, err := session.New(compact.Backend, &session.Options{Clock: compact.Clock, Keyring: keyring, RowsAsJSON: true})
			ok(t, err)
			plain := *compact
			plain.Service = svc
			stored := func(token, encoding string) {
				t.Helper()
				rec, err := compact.Backend.Get(t.Context(), compact.Clock.Now(), driver.Get{ID: token[:22]})
				ok(t, err)
				if rec.Encoding != encoding || strings.HasPrefix(string(rec.Value), "{") != (encoding == "json") {
					t.Errorf("stored as %s: %q", rec.Encoding, rec.Value)
				}
			}
			for from, to := range map[*sessiontest.Kit]*sessiontest.Kit{compact: &plain, &plain: compact} {
				of := map[*sessiontest.Kit]string{compact: "row", &plain: "json"}
				token := do(t, from, signIn(t, from, "", "alice", nil), func(u *unit) error { return note.Set(u, "v") })
				stored(token, of[from])
				do(t, to, token, func(u *unit) error {
					v, _, err := note.Get(u)
					if v != "v" {
						t.Errorf("the other node reads %q", v)
					}
					return errors.Join(err, note.Set(u, "w"))
				})
				stored(token, of[to])
				token = do(t, from, token, func(u *unit) error { return u.s.Rotate(u) })
				stored(token, of[from])
				do(t, to, token, func(u *unit) error { return u.s.SignOut(u) })
				stored(token, of[to])
				dead(t, from, token)
				signIn(t, from, "", "alice", nil)
				if n, err := to.Service.DestroyPrincipal(t.Context(), "alice"); n != 1 || err != nil {
					t.Errorf("%d destroyed, %v", n, err)
				}
			}
		})
	}
}
