package session_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestDetachedViewsEndAndLeaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, &session.Options{WatchEvery: time.Second})
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock})
		ok(t, err)
		detach := func(ctx context.Context, token string) *session.Detached {
			t.Helper()
			s := k.Service.Open(token)
			d, err := session.Detach(session.NewContext(ctx, s))
			ok(t, err)
			return d
		}
		open := func(d *session.Detached) {
			t.Helper()
			select {
			case <-d.Done():
				t.Fatal("ended:", d.Err())
			default:
			}
		}
		one, two, three := signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil), signIn(t, k, "", "bob", nil)
		ctx, cancel := context.WithCancel(t.Context())
		a, b, again := detach(t.Context(), one), detach(t.Context(), two), detach(t.Context(), two)
		c := detach(ctx, three)
		// Between two reads of the watch, in the time of the bubble.
		<-time.After(4500 * time.Millisecond)
		for _, d := range []*session.Detached{a, b, again, c} {
			open(d)
		}
		// A session that this service ends is gone immediately. One that
		// another ends is gone with the next read.
		ok(t, k.Service.Destroy(t.Context(), "alice", a.Handle()))
		<-a.Done()
		is(t, a.Err(), session.ErrGone)
		ok(t, other.Destroy(t.Context(), "alice", b.Handle()))
		open(b)
		<-time.After(time.Second + time.Millisecond) // in the time of the bubble
		<-b.Done()
		<-again.Done()
		is(t, again.Err(), session.ErrGone)
		// A store that is down ends nothing.
		k.Backend.SetHook(sessiontest.Down)
		<-time.After(5 * time.Second) // in the time of the bubble
		open(c)
		is(t, c.Touch(t.Context()), model.ErrUnavailable)
		k.Backend.SetHook(nil)
		cancel()
		<-c.Done()
		is(t, c.Err(), context.Canceled)
		c.Close()
		synctest.Wait()
		k.Backend.Calls()
		<-time.After(time.Minute) // in the time of the bubble
		k.Backend.Assert(t, "none", "nothing to look at")
		// An expiry ends the view too.
		d := detach(t.Context(), three)
		k.Clock.Advance(30 * time.Minute)
		<-d.Done()
		is(t, d.Err(), session.ErrGone)
		d.Close()
	})
}

// A read that hangs costs its batch of views one round, and no other one.
func TestDetachedViewsAreReadInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logs{}
		k := sessiontest.New(t, &session.Options{
			WatchEvery: time.Minute, Timeout: time.Second, Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
		ok(t, err)
		var views []*session.Detached
		for range 1200 {
			s := k.Service.Open("")
			at := session.NewContext(t.Context(), s)
			ok(t, s.SignIn(at, "alice", nil))
			d, err := session.Detach(at)
			ok(t, err)
			views = append(views, d)
		}
		n, err := other.DestroyPrincipal(t.Context(), "alice")
		if err != nil || n != 1200 {
			t.Fatal(n, err)
		}
		k.Backend.SetHook(sessiontest.Before(sessiontest.OpGet, func() { <-time.After(2 * time.Second) }))
		open := func() (n int) {
			for _, d := range views {
				if d.Err() == nil {
					n++
				}
			}
			return n
		}
		<-time.After(time.Minute + 10*time.Second) // in the time of the bubble
		if n := open(); n == 0 || n > 500 {
			t.Fatalf("%d views are open after a batch failed", n)
		}
		if n := strings.Count(log.String(), "could not be read"); n != 1 {
			t.Fatalf("logged %d times: %s", n, log)
		}
		<-time.After(time.Minute) // in the time of the bubble
		if n := open(); n > 0 {
			t.Fatalf("%d views are still open", n)
		}
	})
}

func TestDetachNeedsAStoredSession(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, err := session.Detach(t.Context())
	is(t, err, session.ErrNoSession)
	_, err = session.Detach(begin(t, k, ""))
	is(t, err, session.ErrNotStored)
	token := signIn(t, k, "", "alice", nil)
	d, err := session.Detach(begin(t, k, token))
	ok(t, err)
	refuse := errors.New("no")
	is(t, d.Do(t.Context(), func(ctx context.Context) error {
		ok(t, note.Set(ctx, "dropped"))
		return refuse
	}), refuse)
	for name, verb := range map[string]func(context.Context, *session.Session) error{
		"SignIn":           func(ctx context.Context, s *session.Session) error { return s.SignIn(ctx, "bob", nil) },
		"Rotate":           func(ctx context.Context, s *session.Session) error { return s.Rotate(ctx) },
		"Reauthenticate":   func(ctx context.Context, s *session.Session) error { return s.Reauthenticate(ctx) },
		"Elevate":          func(ctx context.Context, s *session.Session) error { return s.Elevate(ctx, 1, time.Hour) },
		"Impersonate":      func(ctx context.Context, s *session.Session) error { return s.Impersonate(ctx, "bob", "x") },
		"EndImpersonation": func(ctx context.Context, s *session.Session) error { return s.EndImpersonation(ctx) },
	} {
		err := d.Do(t.Context(), func(ctx context.Context) error {
			s, err := session.Require(ctx)
			ok(t, err)
			return verb(ctx, s)
		})
		if !errors.Is(err, session.ErrDetached) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ok(t, d.Do(t.Context(), func(ctx context.Context) error {
		s, err := session.Require(ctx)
		ok(t, err)
		if _, there, err := note.Get(ctx); there || err != nil {
			t.Error("a refused unit of work was stored", err)
		}
		return s.SignOut(ctx)
	}))
	<-d.Done()
	dead(t, k, token)
}

// Views need no token, so Rotate alone leaves them to who has stolen the session.
func TestEndViewsEndsThoseThatAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, &session.Options{WatchEvery: time.Second})
		elsewhere, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true, WatchEvery: time.Second})
		ok(t, err)
		defer func() { _ = elsewhere.Close() }()
		token := signIn(t, k, "", "alice", nil)
		detach := func(svc *session.Service) *session.Detached {
			t.Helper()
			d, err := session.Detach(session.NewContext(t.Context(), svc.Open(token)))
			ok(t, err)
			return d
		}
		here, there, idle := detach(k.Service), detach(elsewhere), detach(elsewhere)
		loaded := session.NewContext(t.Context(), elsewhere.Open(token))
		_, _, err = session.User(loaded)
		ok(t, err)
		k.Backend.Calls()
		token = do(t, k, token, func(u *unit) error { return errors.Join(u.s.EndViews(u), u.s.Rotate(u)) })
		k.Backend.Assert(t, "Get 1, Write 2", "EndViews and Rotate")
		<-here.Done()
		is(t, here.Err(), session.ErrGone)
		is(t, there.Touch(t.Context()), session.ErrGone)
		later := detach(elsewhere)
		thief, err := session.Detach(loaded) // by a request from before
		ok(t, err)
		<-idle.Done() // within WatchEvery, in the time of the bubble
		<-thief.Done()
		ok(t, later.Touch(t.Context()))
		is(t, later.Err(), nil)
		alive(t, k, token)
		u := begin(t, k, "")
		is(t, u.s.EndViews(u), session.ErrNotStored)
		ok(t, k.Service.Close())
	})
}
