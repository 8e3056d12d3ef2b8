package session_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

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
	if strings.Contains(string(rec.Value), "after") || !strings.Contains(string(rec.Value), `"mac":`) {
		t.Errorf("the row is %s", rec.Value)
	}
}

// Rows that the version before has written go on, and are then of this one.
func TestRowsOfVersion1GoOn(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, signIn(t, k, "", "alice", nil), func(u *unit) error { return note.Set(u, "v") })
	rewrite(t, k, token, func(_ *model.Record, row map[string]any) { row["v"] = 1 })
	handle := alive(t, k, token).Handle
	token = do(t, k, token, func(u *unit) error { return note.Set(u, "w") })
	rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle})
	ok(t, err)
	if !strings.HasPrefix(string(rec.Value), `{"v":2,`) || alive(t, k, token).Principal != "alice" {
		t.Errorf("the row is %s", rec.Value)
	}
}
