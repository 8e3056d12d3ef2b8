package session_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// workers runs n jobs on w goroutines.
func workers(w, n int, job func(i int)) {
	var wg sync.WaitGroup
	for g := range w {
		wg.Go(func() {
			for i := g; i < n; i += w {
				job(i)
			}
		})
	}
	wg.Wait()
}

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
		// Of one user the sign-in returned before the destroying began; the
		// other's sign-in is under way, and NotBefore was set first.
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
			if err := s.SignIn(t.Context(), late, nil); err != nil {
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
			// Later than any sign-in of this round by the clock, which stands still.
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

// Bug: alexedwards/scs#198, pow-auth/pow#561, tuwukee/jwt_sessions#146
func TestListingAmongAHundredThousandStrangers(t *testing.T) {
	k := sessiontest.New(t, nil)
	const strangers = 100_000
	for i := range strangers {
		if err := k.Service.Open("").SignIn(t.Context(), fmt.Sprint("u", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	mine := []string{signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)}
	k.Backend.Calls()
	n := 0
	for _, err := range k.Service.Sessions(t.Context(), "alice") {
		ok(t, err)
		n++
	}
	k.Backend.Assert(t, "Page 1", "a listing")
	if _, err := k.Service.DestroyOthers(t.Context(), "alice", alive(t, k, mine[0]).Handle); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	k.Backend.Assert(t, "Get 1, Delete 1, Page 2", "a look, and ending the others")
}

// Bug: alexedwards/scs#231, alexedwards/scs#229, jellydator/sessionup#8, dapr/components-contrib#4495
func TestCloseTwiceAtOnceAndBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, &session.Options{Sweep: expiry.SweeperOptions{Interval: time.Second}, WatchEvery: time.Second})
		token := signIn(t, k, "", "alice", nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := k.Service.Run(t.Context()); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
		u := begin(t, k, token)
		d, err := session.Detach(u)
		ok(t, err)
		synctest.Wait()
		for range 4 {
			wg.Go(func() {
				if err := k.Service.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		wg.Wait() // the bubble fails the test where a goroutine is left
		<-d.Done()
		is(t, d.Err(), model.ErrClosed)
		ok(t, k.Service.Run(t.Context()))
		_, err = session.Detach(u)
		is(t, err, model.ErrClosed)
		alive(t, k, token) // the backend is open still

		early := sessiontest.New(t, nil)
		ok(t, early.Service.Close())
		ok(t, early.Service.Close())
		ok(t, early.Service.Run(t.Context()))
	})
}

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
		<-time.After(5 * time.Second) // the time of the bubble
		for _, d := range []*session.Detached{a, b, again, c} {
			open(d)
		}
		// Ended here: at once. Ended elsewhere: with the next look.
		ok(t, k.Service.Destroy(t.Context(), "alice", a.Handle()))
		<-a.Done()
		is(t, a.Err(), session.ErrGone)
		ok(t, other.Destroy(t.Context(), "alice", b.Handle()))
		open(b)
		<-time.After(time.Second + time.Millisecond) // the time of the bubble
		<-b.Done()
		<-again.Done()
		is(t, again.Err(), session.ErrGone)
		// A store that is down ends nothing.
		k.Backend.SetHook(sessiontest.Down)
		<-time.After(5 * time.Second) // the time of the bubble
		open(c)
		is(t, c.Touch(t.Context()), model.ErrUnavailable)
		k.Backend.SetHook(nil)
		cancel()
		<-c.Done()
		is(t, c.Err(), context.Canceled)
		c.Close()
		synctest.Wait()
		k.Backend.Calls()
		<-time.After(time.Minute) // the time of the bubble
		k.Backend.Assert(t, "none", "nothing to look at")
		// Expiry by the clock is an end too.
		d := detach(t.Context(), three)
		k.Clock.Advance(30 * time.Minute)
		<-d.Done()
		is(t, d.Err(), session.ErrGone)
		d.Close()
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

func TestHundredThousandRequestsLeaveMemoryFlat(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 3}, Keyring: ring(t, "a", 1), Pepper: true,
		OnEvent: func(context.Context, session.Event) {}})
	var tokens [50]string
	turn := func(i int) {
		at := i % len(tokens)
		s := k.Service.Open(tokens[at])
		ctx := session.NewContext(t.Context(), s)
		var err error
		switch {
		case tokens[at] == "":
			err = s.SignIn(ctx, fmt.Sprint("user", at), nil)
		case i%7 == 0:
			err = note.Set(ctx, fmt.Sprint(i))
		case i%501 == 0:
			err = s.SignOut(ctx)
		default:
			_, _, err = note.Get(ctx)
		}
		c, cerr := s.Commit(ctx)
		if err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
		switch c.Action {
		case session.ActionGive:
			tokens[at] = c.Token()
		case session.ActionClear:
			tokens[at] = ""
		}
	}
	measure := func() (heap uint64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	for i := range 5_000 {
		turn(i)
	}
	heap, goroutines := measure()
	for i := range 100_000 {
		turn(i)
	}
	heapAfter, goroutinesAfter := measure()
	if grown := int64(heapAfter) - int64(heap); grown > 1<<20 || goroutinesAfter > goroutines {
		t.Fatalf("the heap grew by %d bytes, goroutines from %d to %d", grown, goroutines, goroutinesAfter)
	}
}

func TestImpersonationAsksForWhatItNeeds(t *testing.T) {
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook, Limit: session.Limit{Max: 1, On: session.OnLimitReject}})
	u := begin(t, k, "")
	is(t, u.s.Impersonate(u, "alice", "x"), session.ErrUnauthenticated)
	admin := signIn(t, k, "", "admin", nil)
	victim := signIn(t, k, "", "alice", nil)
	u = begin(t, k, admin)
	for _, tc := range [][2]string{{"", "x"}, {"alice", ""}, {"alice", strings.Repeat("x", 257)}, {"alice", "\xff"}, {"admin", "x"}} {
		is(t, u.s.Impersonate(u, tc[0], tc[1]), model.ErrInvalid)
	}
	is(t, u.s.EndImpersonation(u), session.ErrUnauthenticated)
	k.Clock.Advance(25 * time.Minute)
	k.Backend.Calls()
	acting := do(t, k, admin, func(u *unit) error { return u.s.Impersonate(u, "alice", "ticket 1") })
	alive(t, k, victim) // no room in the limit is taken
	got := seen.take(session.EventImpersonated)
	if len(got) != 1 || got[0].Actor != "admin" || got[0].Principal != "alice" || got[0].Previous == "" {
		t.Fatalf("%+v", got)
	}
	do(t, k, acting, func(u *unit) error {
		_, err := u.s.DestroyOthers(u)
		is(t, err, session.ErrImpersonating)
		return nil
	})
	alive(t, k, victim)
	// The actor's own session has gone idle by its own deadline, were it not kept.
	k.Clock.Advance(20 * time.Minute)
	back := do(t, k, acting, func(u *unit) error { return u.s.EndImpersonation(u) })
	if i := alive(t, k, back); i.Principal != "admin" || i.Actor != "" {
		t.Fatalf("%+v", i)
	}
	if got := seen.take(session.EventImpersonationEnded); len(got) != 1 || got[0].Principal != "admin" {
		t.Fatalf("%+v", got)
	}
}
