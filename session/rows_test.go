package session_test

import (
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Each unreadable row is an anonymous session and an event. It stays as it is and
// is not an error of later requests.
//
// Bug: spring-projects/spring-session#280, spring-projects/spring-session#90, spring-projects/spring-session#1939, spring-projects/spring-session#529
func TestRowsThatCannotBeReadAreAnonymousAndAnEvent(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(rec *model.Record, row map[string]any)
		reason  session.Reason
		signOut bool // deletes the row too
	}{
		"newer version":   {func(_ *model.Record, row map[string]any) { row["v"] = 4 }, session.ReasonNewerVersion, true},
		"no version":      {func(_ *model.Record, row map[string]any) { delete(row, "v") }, session.ReasonUnreadable, true},
		"another shape":   {func(rec *model.Record, _ map[string]any) { rec.Value = []byte(`["x"]`) }, session.ReasonUnreadable, false},
		"another codec":   {func(rec *model.Record, _ map[string]any) { rec.Value, rec.Encoding = []byte("\x00gob"), "gob" }, session.ReasonUnreadable, false},
		"not JSON":        {func(rec *model.Record, _ map[string]any) { rec.Value = rec.Value[:len(rec.Value)/2] }, session.ReasonUnreadable, false},
		"another program": {func(rec *model.Record, _ map[string]any) { rec.Value = []byte(`{"v":1,"user":"root"}`) }, session.ReasonWrongSecret, false},
		"unknown seal": {func(_ *model.Record, row map[string]any) {
			row["sealKey"], row["sealed"] = "lost", []byte("x")
		}, session.ReasonUnknownSealKey, true},
	} {
		t.Run(name, func(t *testing.T) {
			var seen events
			k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
			token := signIn(t, k, "", "alice", nil)
			handle := alive(t, k, token).Handle
			rewrite(t, k, token, tc.change)
			seen.take()
			for range 2 {
				dead(t, k, token)
				got := seen.take()
				if len(got) != 1 || got[0].Reason != tc.reason || got[0].Handle != handle {
					t.Fatalf("%+v", got)
				}
			}
			if tc.reason == session.ReasonNewerVersion {
				u := begin(t, k, token)
				is(t, note.Set(u, "v"), session.ErrNewer)
				if u.end(token) != token {
					t.Fatal("the client gets another token")
				}
			} else if fresh := do(t, k, token, func(u *unit) error { return note.Set(u, "v") }); fresh == token || alive(t, k, fresh).Handle == handle {
				t.Fatal("the row is in use")
			}
			if _, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle}); err != nil {
				t.Fatal("the row was touched:", err)
			}
			do(t, k, token, func(u *unit) error { return u.s.SignOut(u) })
			if rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle}); err != nil || marker(rec) != tc.signOut {
				t.Fatal("after the sign-out:", rec, err)
			}
			if n, err := k.Service.DestroyPrincipal(t.Context(), "alice"); err != nil || (n == 1) == tc.signOut {
				t.Fatal(n, err)
			}
		})
	}
}

// Bug: valery-barysok/session-file-store#21, valery-barysok/session-file-store#26
func TestTornReadsAndEmptyIDsOpenNothing(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	k.Backend.SetTamper(sessiontest.Torn)
	dead(t, k, token)
	k.Backend.SetTamper(nil)
	alive(t, k, token)
	k.Backend.Calls()
	dead(t, k, "", ".", "."+token[23:], token[:23])
	k.Backend.Assert(t, "none", "malformed ids")
}

// marker reports whether a record is what is left of a session.
func marker(rec model.Record) bool { return strings.HasPrefix(rec.Labels["principal"], "\x1fended") }
