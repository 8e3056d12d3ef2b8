package session_test

import (
	"errors"
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

// Elevate raises: who proves less than before loses nothing, and has that for its
// own time too.
func TestElevateTakesNoHigherElevationAway(t *testing.T) {
	type step struct {
		level int
		ttl   time.Duration
	}
	for name, tc := range map[string]struct {
		steps []step
		want  []int // the level after each minute, from now on
	}{
		"lower, longer":          {[]step{{3, 2 * time.Minute}, {2, 4 * time.Minute}}, []int{3, 3, 2, 2, 1}},
		"lower, shorter":         {[]step{{3, 4 * time.Minute}, {2, 2 * time.Minute}}, []int{3, 3, 3, 3, 1}},
		"as long":                {[]step{{3, 2 * time.Minute}, {2, 2 * time.Minute}}, []int{3, 3, 1, 1, 1}},
		"higher, shorter":        {[]step{{2, 4 * time.Minute}, {3, 2 * time.Minute}}, []int{3, 3, 2, 2, 1}},
		"higher, longer":         {[]step{{2, 2 * time.Minute}, {3, 4 * time.Minute}}, []int{3, 3, 3, 3, 1}},
		"the same level":         {[]step{{2, 4 * time.Minute}, {2, 2 * time.Minute}}, []int{2, 2, 1, 1, 1}},
		"three levels":           {[]step{{4, time.Minute}, {2, 4 * time.Minute}, {3, 2 * time.Minute}}, []int{4, 3, 2, 2, 1}},
		"one over all":           {[]step{{3, time.Minute}, {2, 2 * time.Minute}, {4, 3 * time.Minute}}, []int{4, 4, 4, 1, 1}},
		"less than the sign-in":  {[]step{{1, 4 * time.Minute}}, []int{1, 1, 1, 1, 1}},
		"between, and the least": {[]step{{5, time.Minute}, {3, 3 * time.Minute}, {4, 2 * time.Minute}, {2, 4 * time.Minute}}, []int{5, 4, 3, 2, 1}},
	} {
		k := sessiontest.New(t, nil)
		token := signIn(t, k, "", "alice", &session.SignInOptions{Level: 1})
		for _, s := range tc.steps {
			token = do(t, k, token, func(u *unit) error { return u.s.Elevate(u, s.level, s.ttl) })
		}
		now := k.Clock.Now()
		if at := info(t, k, token).ProvedAt; !at.Equal(now) {
			t.Errorf("%s: proved at %v, want %v", name, at, now)
		}
		for minute, want := range tc.want {
			if got := info(t, k, token); got.Level != want || want > 1 == got.ElevatedUntil.IsZero() && name != "less than the sign-in" {
				t.Errorf("%s: after %d minutes the level is %d until %v, want %d", name, minute, got.Level, got.ElevatedUntil, want)
			}
			k.Clock.Advance(time.Minute)
		}
	}
}

// A request that comes late is anonymous. It has rotated nothing, and does not say
// that it has.
func TestRotateOfALateRequestIsGone(t *testing.T) {
	for name, change := range map[string]func(u *unit) error{
		"another rotation": func(u *unit) error { return u.s.Rotate(u) },
		"a sign-out":       func(u *unit) error { return u.s.SignOut(u) },
	} {
		k := sessiontest.New(t, nil)
		token := signIn(t, k, "", "alice", nil)
		do(t, k, token, change)
		k.Backend.Calls()
		late := begin(t, k, token)
		if err := late.s.Rotate(late); !errors.Is(err, session.ErrGone) {
			t.Errorf("after %s: %v, want %v", name, err, session.ErrGone)
		}
		k.Backend.Assert(t, "Get 1", "a late Rotate after "+name)
	}
	k := sessiontest.New(t, nil)
	fresh := begin(t, k, "")
	ok(t, fresh.s.Rotate(fresh)) // there is nothing to rotate
}
