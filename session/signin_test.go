package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Bug: elastic/kibana#149338, elastic/kibana#151800
func TestThousandSignInsLeaveExactlyTheLimit(t *testing.T) {
	for _, on := range []session.OnLimit{session.OnLimitEvictOldest, session.OnLimitEvictIdlest, session.OnLimitReject} {
		t.Run(on.String(), func(t *testing.T) {
			limit := session.Limit{Max: 5, On: on}
			k := sessiontest.New(t, &session.Options{Limit: limit})
			second, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Limit: limit, SweptElsewhere: true})
			ok(t, err)
			workers(16, 1000, func(i int) {
				if i%10 == 0 {
					k.Clock.Advance(time.Millisecond)
				}
				s := []*session.Service{k.Service, second}[i%2].Open("")
				if err := s.SignIn(t.Context(), "alice", nil); err != nil && !errors.Is(err, session.ErrLimit) {
					t.Errorf("SignIn: %v", err)
				}
			})
			if n, err := k.Service.CountPrincipal(t.Context(), "alice"); err != nil || n != 5 {
				t.Fatal(n, err)
			}
		})
	}
}

func TestSignInRacesDestroyPrincipalAThousandTimes(t *testing.T) {
	var mu sync.Mutex
	since := map[string]time.Time{}
	k := sessiontest.New(t, &session.Options{NotBefore: func(_ context.Context, p string) (time.Time, error) {
		mu.Lock()
		defer mu.Unlock()
		return since[p], nil
	}})
	workers(2, 1000, func(i int) {
		// One user's sign-in returned before the destroy began. The other
		// user's sign-in is under way, and NotBefore was set first.
		early, late := fmt.Sprint("early", i), fmt.Sprint("late", i)
		s := k.Service.Open("")
		if err := s.SignIn(t.Context(), early, nil); err != nil {
			t.Errorf("SignIn: %v", err)
		}
		c, err := s.Commit(t.Context())
		if err != nil {
			t.Errorf("Commit: %v", err)
		}
		tokens := []string{c.Token(), ""}
		var wg sync.WaitGroup
		wg.Go(func() {
			s := k.Service.Open("")
			if err := s.SignIn(t.Context(), late, nil); err != nil && !errors.Is(err, session.ErrNotBefore) {
				t.Errorf("SignIn: %v", err)
			}
			c, err := s.Commit(t.Context())
			if err != nil {
				t.Errorf("Commit: %v", err)
			}
			tokens[1] = c.Token()
		})
		wg.Go(func() {
			mu.Lock()
			// This is later than every sign-in of this round, because the clock
			// stands still.
			since[late] = k.Clock.Now().Add(time.Millisecond)
			mu.Unlock()
			for _, p := range []string{early, late} {
				if _, err := k.Service.DestroyPrincipal(t.Context(), p); err != nil {
					t.Errorf("DestroyPrincipal: %v", err)
				}
			}
		})
		wg.Wait()
		for _, token := range tokens {
			if i, err := k.Service.Open(token).Info(t.Context()); err != nil || i.Handle != "" {
				t.Errorf("survived: %+v, %v", i, err)
			}
		}
	})
}

func TestOptionsOfASignInAreChecked(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, "")
	for _, o := range []session.SignInOptions{
		{Idle: -1}, {Lifetime: -1}, {Idle: time.Microsecond}, {SID: strings.Repeat("x", 257)}, {SID: "\x00"}, {NotAfter: k.Clock.Now()},
	} {
		is(t, u.s.SignIn(u, "alice", &o), model.ErrInvalid)
	}
	is(t, u.s.SetIdle(u, 0), model.ErrInvalid)
	is(t, u.s.SetLifetime(u, -time.Hour), model.ErrInvalid)
	is(t, u.s.Elevate(u, 0, time.Hour), model.ErrInvalid)
	is(t, u.s.Elevate(u, 1, 0), model.ErrInvalid)
	is(t, u.s.Elevate(u, 1, time.Hour), session.ErrUnauthenticated)
	k.Backend.Assert(t, "none", "options that are refused")
	remembered := signIn(t, k, "", "alice", &session.SignInOptions{Idle: 14 * 24 * time.Hour, Lifetime: 30 * 24 * time.Hour})
	if i := alive(t, k, remembered); !i.IdleDeadline.Equal(k.Clock.Now().Add(14*24*time.Hour)) || !i.AbsoluteDeadline.Equal(k.Clock.Now().Add(30*24*time.Hour)) {
		t.Fatalf("%+v", i)
	}
	// A lifetime that is already over ends the session with the write.
	token := signIn(t, k, "", "alice", nil)
	k.Clock.Advance(10 * time.Minute)
	do(t, k, token, func(u *unit) error { return u.s.SetLifetime(u, time.Minute) })
	dead(t, k, token)
	for _, o := range []session.Options{
		{Limit: session.Limit{Max: -1}}, {Limit: session.Limit{On: 9}}, {LoadTimeout: -1}, {WatchEvery: -1},
		{Policy: session.Policy{Impersonation: -1}},
	} {
		_, err := session.New(k.Backend, &o)
		is(t, err, model.ErrInvalid)
	}
}

func TestSignInChecksThePrincipal(t *testing.T) {
	f := setup(t, session.Options{})
	for _, id := range []string{"", strings.Repeat("x", 257), "a\x00b", "\xff"} {
		ctx, s := f.open(t, "")
		is(t, s.SignIn(ctx, id, nil), model.ErrInvalid)
		is(t, f.svc.Destroy(ctx, id, "h"), model.ErrInvalid)
		_, err := f.svc.DestroyPrincipal(ctx, id)
		is(t, err, model.ErrInvalid)
	}
	if calls := f.b.Calls(); calls != "none" {
		t.Fatal(calls)
	}
	ctx, _ := f.open(t, "")
	is(t, f.svc.Destroy(ctx, "alice", "../../etc"), model.ErrNotFound)
}

func TestSignInThatTheStoreRefusesChangesNothing(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	_, err := s.Info(ctx)
	ok(t, err)
	writes := 0
	f.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if op == sessiontest.OpWrite {
			if writes++; writes == 2 {
				return model.ErrUnavailable
			}
		}
		return next()
	})
	is(t, s.SignIn(ctx, "alice", nil), model.ErrUnavailable)
	f.b.SetHook(nil)
	_, err = s.Principal(ctx)
	is(t, err, session.ErrUnauthenticated)
	k, err := s.Commit(ctx)
	ok(t, err)
	if k.Action != session.ActionLeave || handle(t, f, token) == "" {
		t.Fatalf("the session before is gone, credential %v", k)
	}
}

func TestNotBeforeOfAnIdentityProvidersSession(t *testing.T) {
	var since time.Time
	k := sessiontest.New(t, &session.Options{NotBeforeSID: func(_ context.Context, sid string) (time.Time, error) {
		if sid != "idp/1" {
			return time.Time{}, nil
		}
		return since, nil
	}})
	one := signIn(t, k, "", "alice", &session.SignInOptions{SID: "idp/1"})
	two := signIn(t, k, "", "alice", &session.SignInOptions{SID: "idp/2"})
	since = k.Clock.Advance(time.Second)
	if why, err := k.Service.Open(one).Why(t.Context()); err != nil || why != session.WhyNotBefore {
		t.Error(why, err)
	}
	dead(t, k, one)
	alive(t, k, two)
	u := begin(t, k, "")
	since = k.Clock.Now().Add(time.Hour)
	is(t, u.s.SignIn(u, "alice", &session.SignInOptions{SID: "idp/1"}), session.ErrNotBefore)
}

// What was set for a signed-in session does not go over to the next sign-in.
func TestSignInDropsTheLifetimesOfTheSessionBefore(t *testing.T) {
	for _, who := range []string{"alice", "bob"} {
		k := sessiontest.New(t, nil)
		fresh := alive(t, k, signIn(t, k, "", who, nil))
		token := signIn(t, k, "", "alice", nil)
		token = do(t, k, token, func(u *unit) error {
			return errors.Join(
				u.s.SetIdle(u, time.Minute), u.s.SetLifetime(u, time.Hour), u.s.SetNotAfter(u, k.Clock.Now().Add(time.Minute)),
				u.s.SignIn(u, who, nil),
			)
		})
		got := alive(t, k, token)
		if !got.IdleDeadline.Equal(fresh.IdleDeadline) || !got.AbsoluteDeadline.Equal(fresh.AbsoluteDeadline) {
			t.Errorf("%s: idle until %v and absolute %v, want %v and %v", who, got.IdleDeadline, got.AbsoluteDeadline, fresh.IdleDeadline, fresh.AbsoluteDeadline)
		}
	}
}

// Of two callers that end a session at once, one has ended it. A writer between
// the read and the marker changes nothing.
func TestOneOfTwoCallersEndsASession(t *testing.T) {
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
	token := signIn(t, k, "", "alice", nil)
	handle := alive(t, k, token).Handle
	k.Backend.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
		do(t, k, token, func(u *unit) error { return note.Set(u, "w") })
		ok(t, k.Service.Destroy(t.Context(), "alice", handle))
	}))
	is(t, k.Service.Destroy(t.Context(), "alice", handle), model.ErrNotFound)
	if got := seen.take(session.EventDestroyed); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
	token = signIn(t, k, "", "alice", nil)
	handle = alive(t, k, token).Handle
	k.Backend.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
		do(t, k, token, func(u *unit) error { return note.Set(u, "w") })
	}))
	ok(t, k.Service.Destroy(t.Context(), "alice", handle))
	dead(t, k, token)
}
