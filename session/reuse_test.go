package session_test

import (
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestReplacedSecretThatIsUsedAgain(t *testing.T) {
	for _, tc := range []struct {
		on               session.OnReuse
		ends, endsOthers bool
	}{
		{session.OnReuseReport, false, false},
		{session.OnReuseEndSession, true, false},
		{session.OnReuseEndPrincipal, true, true},
	} {
		for name, replace := range map[string]func(u *unit) error{
			"Rotate": func(u *unit) error { return u.s.Rotate(u) },
			"the periodic rotation": func(u *unit) error {
				u.k.Clock.Advance(5 * time.Minute)
				return read(u)
			},
		} {
			var seen events
			k := sessiontest.New(t, &session.Options{
				OnReuse: tc.on, OnEvent: seen.hook, Policy: session.Policy{RotateEvery: 5 * time.Minute, TouchEvery: time.Minute},
			})
			phone := signIn(t, k, "", "alice", nil)
			old := signIn(t, k, "", "alice", nil)
			now := do(t, k, old, replace)
			now = do(t, k, now, read) // it is presented
			k.Clock.Advance(time.Minute)
			seen.take()

			// A browser with two cookies, of which one was never cleared.
			for _, tokens := range [][]string{{old, now}, {now, old}} {
				s := k.Service.OpenAny(tokens...)
				if p, err := s.Principal(t.Context()); err != nil || p.ID != "alice" {
					t.Errorf("%s, option %d: beside the session's own secret: %+v, %v", name, tc.on, p, err)
				}
			}
			if got := seen.take(session.EventAnomaly, session.EventDestroyed); len(got) != 0 {
				t.Errorf("%s, option %d: events %+v", name, tc.on, got)
			}
			dead(t, k, old)
			if got := seen.take(session.EventAnomaly); len(got) != 1 || got[0].Reason != session.ReasonRetiredSecret {
				t.Errorf("%s, option %d: events %+v", name, tc.on, got)
			}
			if gone := info(t, k, now).Handle == ""; gone != tc.ends {
				t.Errorf("%s, option %d: the session ended: %v", name, tc.on, gone)
			}
			if gone := info(t, k, phone).Handle == ""; gone != tc.endsOthers {
				t.Errorf("%s, option %d: the other session ended: %v", name, tc.on, gone)
			}
		}
	}
}

// The row knows the last secrets that were replaced, by whatever replaced them.
func TestOlderSecretThatIsUsedAgain(t *testing.T) {
	rotation := func(u *unit) error {
		u.k.Clock.Advance(5 * time.Minute)
		return read(u)
	}
	rotate := func(u *unit) error { return u.s.Rotate(u) }
	for _, replace := range [][]func(u *unit) error{{rotate, rotate, rotate}, {rotation, rotation, rotation}, {rotate, rotation, rotate}, {rotation, rotate, rotation}} {
		k := sessiontest.New(t, &session.Options{
			OnReuse: session.OnReuseEndSession, Policy: session.Policy{RotateEvery: 5 * time.Minute, TouchEvery: time.Minute},
		})
		now := signIn(t, k, "", "alice", nil)
		stolen := now
		for _, by := range replace {
			now = do(t, k, now, by)
			now = do(t, k, now, read) // it is presented
			k.Clock.Advance(time.Minute)
		}
		alive(t, k, now)
		dead(t, k, stolen)
		dead(t, k, now)
	}
}
