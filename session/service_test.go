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

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestPepperNeedsAKeyring(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, err := session.New(k.Backend, &session.Options{Pepper: true})
	is(t, err, model.ErrInvalid)
}

// Bug: alexedwards/scs#231, alexedwards/scs#229, jellydator/sessionup#8, dapr/components-contrib#4495
func TestCloseCanBeRepeatedAndComeBeforeRun(t *testing.T) {
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
		wg.Wait() // the bubble fails the test if a goroutine is left
		<-d.Done()
		is(t, d.Err(), model.ErrClosed)
		ok(t, k.Service.Run(t.Context()))
		_, err = session.Detach(u)
		is(t, err, model.ErrClosed)
		alive(t, k, token) // the backend is still open

		early := sessiontest.New(t, nil)
		ok(t, early.Service.Close())
		ok(t, early.Service.Close())
		ok(t, early.Service.Run(t.Context()))
	})
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

func TestNewRefusesInvalidOptions(t *testing.T) {
	good, err := memory.New(memory.NewSpace(), "s", nil)
	ok(t, err)
	bare, err := memory.New(memory.NewSpace(), "s", &memory.Options{Labels: []string{"tenant"}})
	ok(t, err)
	for name, tc := range map[string]struct {
		b    expiry.ModelExpirySupport
		opts session.Options
	}{
		"no backend":                    {},
		"no principal label":            {b: bare},
		"no limit at all":               {b: good, opts: session.Options{Policy: session.Policy{Idle: -1, Absolute: -1}}},
		"touch too rare":                {b: good, opts: session.Options{Policy: session.Policy{Idle: time.Minute, TouchEvery: time.Minute}}},
		"overlap as rotation":           {b: good, opts: session.Options{Policy: session.Policy{RotateEvery: time.Second, Overlap: time.Second}}},
		"under a millisecond":           {b: good, opts: session.Options{Policy: session.Policy{Idle: time.Microsecond}}},
		"negative timeout":              {b: good, opts: session.Options{Timeout: -1}},
		"negative sweep":                {b: good, opts: session.Options{Sweep: expiry.SweeperOptions{Interval: -1}}},
		"default overlap over rotation": {b: good, opts: session.Options{Policy: session.Policy{RotateEvery: time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := session.New(tc.b, &tc.opts); !errors.Is(err, model.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
		})
	}
	_, err = session.New(good, nil)
	ok(t, err)
}

func TestRunSweepsUntilToldToStop(t *testing.T) {
	swept := make(chan driver.Swept, 10)
	f := setup(t, session.Options{
		Grace: -1,
		Sweep: expiry.SweeperOptions{
			Interval: time.Millisecond,
			OnSwept: func(n driver.Swept, err error) {
				if err == nil && n.Removed > 0 {
					swept <- n
				}
			},
		},
	})
	create(t, f)
	f.clock.Advance(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.svc.Run(ctx) }()
	if n := <-swept; n.Removed != 1 {
		t.Errorf("removed %d", n.Removed)
	}
	cancel()
	is(t, <-done, context.Canceled)
}

func TestUnsweptServiceWarnsOnce(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		f := setup(t, session.Options{SweptElsewhere: elsewhere})
		for range 250 {
			create(t, f)
		}
		want := 1
		if elsewhere {
			want = 0
		}
		if n := strings.Count(f.log.String(), "not being removed"); n != want {
			t.Errorf("elsewhere %v: warned %d times", elsewhere, n)
		}
	}
}
