package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestPolicyPrintsItsLifetimes(t *testing.T) {
	for _, tc := range []struct {
		p    session.Policy
		want string
	}{
		{session.Policy{}, "idle 30m0s, absolute 24h0m0s, touch every 3m0s, rotate every 1h0m0s, overlap 30s"},
		{session.Policy{Idle: -1, RotateEvery: -1}, "idle off, absolute 24h0m0s, rotate every off"},
		{session.Policy{Absolute: -1, TouchEvery: -1, Overlap: -1}, "idle 30m0s, absolute off, touch every request, rotate every 1h0m0s, overlap off"},
		{
			session.Policy{AnonymousIdle: 5 * time.Minute, AnonymousAbsolute: -1},
			"idle 30m0s, absolute 24h0m0s, touch every 3m0s, rotate every 1h0m0s, overlap 30s, anonymous idle 5m0s, anonymous absolute off",
		},
		{session.AAL1(), "idle off, absolute 720h0m0s, rotate every 1h0m0s, overlap 30s"},
		{session.AAL2(), "idle 1h0m0s, absolute 24h0m0s, touch every 6m0s, rotate every 1h0m0s, overlap 30s"},
		{session.AAL3(), "idle 15m0s, absolute 12h0m0s, touch every 1m30s, rotate every 1h0m0s, overlap 30s"},
	} {
		if got := tc.p.String(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
		f := setup(t, session.Options{Policy: tc.p})
		if got := f.svc.Policy().String(); got != tc.want {
			t.Errorf("in force: %s\nwant %s", got, tc.want)
		}
	}
}

func TestPolicyThatCannotBeServedIsRefused(t *testing.T) {
	raw, err := memory.New(memory.NewSpace(), "s", nil)
	ok(t, err)
	for name, p := range map[string]session.Policy{
		"too short":                 {Idle: time.Microsecond},
		"too short, absolute":       {Absolute: time.Microsecond},
		"too short, anonymous":      {AnonymousIdle: time.Microsecond},
		"too short, anonymous too":  {AnonymousAbsolute: time.Microsecond},
		"too short, seen":           {SeenEvery: time.Microsecond},
		"too short, impersonation":  {Impersonation: time.Microsecond},
		"anonymous for ever":        {AnonymousIdle: -1, AnonymousAbsolute: -1},
		"anonymous for ever, again": {Idle: -1, AnonymousAbsolute: -1},
	} {
		if _, err := session.New(raw, &session.Options{Policy: p}); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequireRecentRefusesANegativeTime(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	k.Clock.Advance(time.Minute)
	u := begin(t, k, token)
	is(t, u.s.RequireRecent(u, -time.Second, 0), model.ErrInvalid)
	is(t, u.s.RequireRecent(u, time.Second, 0), session.ErrReauthenticate)
	ok(t, u.s.RequireRecent(u, 0, 0))
}

func TestPolicyRulesCanBeTurnedOff(t *testing.T) {
	t.Run("no idle limit: reads never touch, the absolute limit ends it", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Idle: -1, RotateEvery: -1}})
		token := create(t, f)
		f.clock.Advance(24*time.Hour - time.Millisecond)
		f.b.Calls()
		ctx, s := f.open(t, token)
		info, err := s.Info(ctx)
		ok(t, err)
		_, err = s.Commit(ctx)
		ok(t, err)
		if calls := f.b.Calls(); calls != "Get 1" || !info.IdleDeadline.IsZero() || !info.ExpiresAt().Equal(info.AbsoluteDeadline) {
			t.Fatalf("%s, %+v", calls, info)
		}
		f.clock.Advance(time.Millisecond)
		if handle(t, f, token) != "" {
			t.Fatal("alive")
		}
	})
	t.Run("no absolute limit: use keeps it alive for ever", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Absolute: -1, RotateEvery: -1}})
		token := create(t, f)
		for range 200 {
			f.clock.Advance(25 * time.Minute)
			ctx, s := f.open(t, token)
			if info, err := s.Info(ctx); err != nil || info.Handle == "" {
				t.Fatalf("%+v, %v", info, err)
			}
			_, err := s.Commit(ctx)
			ok(t, err)
		}
	})
	t.Run("no overlap: the old secret is invalid when the client presents the new one", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Overlap: -1, RotateEvery: time.Minute}})
		old := create(t, f)
		f.clock.Advance(time.Minute)
		fresh := visit(t, f, old).Token()
		if handle(t, f, old) == "" || fresh == "" {
			t.Fatal("the old secret became invalid before the client presented the new one")
		}
		visit(t, f, fresh)
		if handle(t, f, old) != "" {
			t.Fatal("the old secret still opens the session")
		}
	})
	t.Run("no rotation", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{Idle: -1, RotateEvery: -1}})
		token := create(t, f)
		f.clock.Advance(23 * time.Hour)
		if k := visit(t, f, token); k.Action != session.ActionLeave {
			t.Fatal(k)
		}
	})
	t.Run("touch on every request", func(t *testing.T) {
		f := setup(t, session.Options{Policy: session.Policy{TouchEvery: -1}})
		token := create(t, f)
		f.clock.Advance(time.Millisecond)
		f.b.Calls()
		visit(t, f, token)
		if calls := f.b.Calls(); calls != "Get 1, Touch 1" {
			t.Fatal(calls)
		}
	})
}

func TestLaterOfSetIdleAndSignInWins(t *testing.T) {
	k := sessiontest.New(t, nil)
	lifetimes := func(token string, idle, life time.Duration) {
		t.Helper()
		i, now := alive(t, k, token), k.Clock.Now()
		if got, want := i.IdleDeadline.Sub(now), min(idle, life); got != want {
			t.Errorf("idle %s, want %s", got, want)
		}
		if got := i.AbsoluteDeadline.Sub(now); got != life {
			t.Errorf("absolute %s, want %s", got, life)
		}
	}
	set := func(u *unit, idle, life time.Duration) {
		t.Helper()
		ok(t, errors.Join(u.s.SetIdle(u, idle), u.s.SetLifetime(u, life)))
	}
	opts := &session.SignInOptions{Idle: time.Hour, Lifetime: 2 * time.Hour}
	token := do(t, k, "", func(u *unit) error {
		set(u, time.Minute, 2*time.Minute)
		return u.s.SignIn(u, "alice", opts)
	})
	lifetimes(token, time.Hour, 2*time.Hour)
	token = do(t, k, "", func(u *unit) error {
		ok(t, u.s.SignIn(u, "alice", opts))
		set(u, time.Minute, 2*time.Minute)
		return nil
	})
	lifetimes(token, time.Minute, 2*time.Minute)
	// Without options of its own, a sign-in leaves what was set.
	token = do(t, k, "", func(u *unit) error {
		set(u, time.Minute, 2*time.Minute)
		return u.s.SignIn(u, "alice", nil)
	})
	lifetimes(token, time.Minute, 2*time.Minute)
}
