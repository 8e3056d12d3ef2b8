package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Bug: alkem-io/server#6333, balderdashy/sails#2276
func TestStoreDownPolicies(t *testing.T) {
	mine := errors.New("maintenance")
	for name, tc := range map[string]struct {
		policy session.StoreDown
		want   error // of a read
	}{
		"default":     {nil, model.ErrUnavailable},
		"fail closed": {session.FailClosed, model.ErrUnavailable},
		"anonymous":   {session.Anonymous, nil},
		"a function":  {func(context.Context, error) error { return mine }, mine},
	} {
		t.Run(name, func(t *testing.T) {
			k := sessiontest.New(t, &session.Options{StoreDown: tc.policy})
			token := signIn(t, k, "", "alice", nil)
			view, err := session.Detach(begin(t, k, token))
			ok(t, err)
			defer view.Close()
			k.Backend.Calls()
			k.Backend.SetHook(sessiontest.Down)
			u := begin(t, k, token)
			_, _, err = note.Get(u)
			is(t, err, tc.want)
			if tc.want == nil {
				_, err = u.s.Principal(u)
				is(t, err, session.ErrUnauthenticated)
				is(t, u.s.Degraded(), model.ErrUnavailable)
				ok(t, u.s.Err())
				for _, err := range []error{note.Set(u, "v"), u.s.SignIn(u, "bob", nil), u.s.SignOut(u), u.s.SetIdle(u, time.Hour)} {
					is(t, err, session.ErrReadOnly)
					is(t, err, model.ErrUnavailable)
				}
				is(t, u.s.Err(), session.ErrReadOnly)
			} else {
				is(t, note.Set(u, "v"), tc.want)
			}
			k.Backend.Assert(t, "Get 1", "a store that is down")
			if err := view.Touch(t.Context()); err == nil || view.Err() != nil {
				t.Fatalf("a store that is down ends a view: %v, %v", err, view.Err())
			}
			if _, err := session.Detach(begin(t, k, token)); err == nil || errors.Is(err, session.ErrNotStored) {
				t.Fatal(err)
			}
			k.Backend.Calls()
			u = begin(t, k, "")
			_, _, err = note.Get(u)
			ok(t, err)
			k.Backend.Assert(t, "none", "no token")
			k.Backend.SetHook(nil)
			alive(t, k, token)
		})
	}
}

func TestLoadTimeoutBoundsLoads(t *testing.T) {
	k := sessiontest.New(t, &session.Options{LoadTimeout: time.Millisecond, Timeout: time.Hour, StoreDown: session.Anonymous})
	token := signIn(t, k, "", "alice", nil)
	stuck := &stuckBackend{Backend: k.Backend}
	svc, err := session.New(stuck, &session.Options{LoadTimeout: time.Millisecond, Timeout: time.Hour, StoreDown: session.Anonymous, Clock: k.Clock})
	ok(t, err)
	s := svc.Open(token)
	if i, err := s.Info(t.Context()); err != nil || i.Handle != "" {
		t.Fatal(i, err)
	}
	is(t, s.Degraded(), context.DeadlineExceeded)
	s = svc.Open(token)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Info(gone)
	is(t, err, context.Canceled)
}

// stuckBackend answers when its caller gives up.
type stuckBackend struct{ *sessiontest.Backend }

func (b *stuckBackend) Get(ctx context.Context, _ time.Time, _ driver.Get) (model.Record, error) {
	<-ctx.Done()
	return model.Record{}, ctx.Err()
}

func TestNotBeforeThatFailsFailsTheLoad(t *testing.T) {
	broken := errors.New("directory is down")
	var fail bool
	k := sessiontest.New(t, &session.Options{NotBefore: func(context.Context, string) (time.Time, error) {
		if fail {
			return time.Time{}, broken
		}
		return time.Time{}, nil
	}})
	token := signIn(t, k, "", "alice", nil)
	alive(t, k, token)
	fail = true
	u := begin(t, k, token)
	_, err := u.s.Principal(u)
	is(t, err, broken)
}

func TestHangingStoreIsGivenUpOnce(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	f.b.Calls()
	f.b.SetHook(func(_ sessiontest.Op, _ string, next func() error) error {
		return fmt.Errorf("gave up: %w", context.DeadlineExceeded)
	})
	ctx, s := f.open(t, token)
	for range 3 {
		_, _, err := note.Get(ctx)
		is(t, err, context.DeadlineExceeded)
	}
	is(t, s.Err(), context.DeadlineExceeded)
	if calls := f.b.Calls(); calls != "Get 1" {
		t.Fatal(calls)
	}
}

func TestCallerThatGivesUpDoesNotSpoilTheSession(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err := note.Get(gone)
	is(t, err, context.Canceled)
	ok(t, s.Err())
	if v, _, err := note.Get(ctx); err != nil || v != "v" {
		t.Fatalf("%q, %v", v, err)
	}
}
