package session_test

import (
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestRequireRecent(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, "")
	is(t, u.s.RequireRecent(u, 0, 0), session.ErrUnauthenticated)
	token := signIn(t, k, "", "alice", &session.SignInOptions{Level: 1})
	check := func(within time.Duration, level int, want error) {
		t.Helper()
		u := begin(t, k, token)
		is(t, u.s.RequireRecent(u, within, level), want)
	}
	check(time.Minute, 1, nil)
	check(0, 2, session.ErrReauthenticate)
	k.Clock.Advance(2 * time.Minute)
	check(time.Minute, 1, session.ErrReauthenticate)
	check(0, 1, nil)
	token = do(t, k, token, func(u *unit) error { return u.s.Elevate(u, 2, 5*time.Minute) })
	check(time.Minute, 2, nil)
	k.Clock.Advance(5 * time.Minute)
	check(0, 2, session.ErrReauthenticate)
	token = do(t, k, token, func(u *unit) error { return u.s.Reauthenticate(u) })
	check(time.Second, 1, nil)
}

func TestLifetimesOfAnOlderPolicyStay(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	end := alive(t, k, token).AbsoluteDeadline
	svc, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Policy: session.Policy{Idle: time.Hour, Absolute: time.Hour}})
	ok(t, err)
	s := svc.Open(token)
	ok(t, s.SetIdle(t.Context(), 2*time.Hour))
	_, err = s.Commit(t.Context())
	ok(t, err)
	if i := alive(t, k, token); !i.AbsoluteDeadline.Equal(end) || !i.IdleDeadline.Equal(k.Clock.Now().Add(2*time.Hour)) {
		t.Fatalf("%+v", i)
	}
}

func TestSignOutThatFailsIsTriedAgain(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	_, err := s.Info(ctx)
	ok(t, err)
	f.b.SetHook(func(sessiontest.Op, string, func() error) error { return model.ErrUnavailable })
	is(t, s.SignOut(ctx), model.ErrUnavailable)
	if !s.Changed() {
		t.Fatal("a row to delete does not count as a change")
	}
	_, err = s.Persist(ctx)
	is(t, err, model.ErrUnavailable)
	f.b.SetHook(nil)
	k, err := s.Commit(ctx)
	ok(t, err)
	if k.Action != session.ActionClear || handle(t, f, token) != "" {
		t.Fatal(k)
	}
}
