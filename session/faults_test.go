package session_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Five requests of one page move the idle deadline together.
func TestTouchesAtOnceAreOneRenewal(t *testing.T) {
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
	token := signIn(t, k, "", "alice", nil)
	for range 2 { // the second time at another instant
		k.Clock.Advance(10 * time.Minute)
		seen.take()
		var loaded sync.WaitGroup
		loaded.Add(5)
		k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
			if op == sessiontest.OpTouch {
				loaded.Done()
				loaded.Wait()
			}
			return next()
		})
		workers(5, 5, func(int) {
			u := begin(t, k, token)
			if err := read(u); err != nil {
				t.Error(err)
			}
			if _, err := u.s.Commit(u); err != nil {
				t.Error(err)
			}
		})
		k.Backend.SetHook(nil)
		if got := seen.take(session.EventRenewed); len(got) != 1 {
			t.Fatalf("%d events of one renewal", len(got))
		}
	}
}

// A goroutine of the handler hangs in Update. The client still gets the token of
// the sign-in before.
func TestTokenIsGivenBesideAChangeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		u := begin(t, k, "")
		ok(t, u.s.SignIn(u, "alice", nil))
		entered, release := make(chan struct{}), make(chan struct{})
		done := make(chan error)
		go func() {
			done <- note.Update(u, func(*string) error { close(entered); <-release; return nil })
		}()
		<-entered
		c, err := u.s.Commit(u) // gives up after Options.Timeout, in the time of the bubble
		if err == nil || c.Action != session.ActionGive {
			t.Errorf("%v, %v", c, err)
		}
		alive(t, k, c.Token())
		close(release)
		ok(t, <-done)
	})
}

// A cookie lives whole seconds, and Max-Age=0 would delete it.
func TestSessionWithLessThanASecondHasACookie(t *testing.T) {
	k := sessiontest.New(t, nil)
	for left, want := range map[time.Duration]time.Duration{
		time.Millisecond: time.Second, 300 * time.Millisecond: time.Second, time.Second: time.Second, 1001 * time.Millisecond: 2 * time.Second,
	} {
		u := begin(t, k, "")
		ok(t, u.s.SignIn(u, "alice", &session.SignInOptions{NotAfter: k.Clock.Now().Add(left)}))
		c, err := u.s.Commit(u)
		ok(t, err)
		if c.Action != session.ActionGive || c.MaxAge != want {
			t.Errorf("%v left: %v", left, c)
		}
		alive(t, k, c.Token())
	}
}
