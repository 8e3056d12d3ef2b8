package driverkit

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

func TestWaited(t *testing.T) {
	now := time.UnixMilli(1_000)
	var at time.Duration
	w := Waited{Watch: func() time.Duration { return at }}
	if got := w.Now(now); !got.Equal(now) {
		t.Errorf("a call that has not waited decides as of %v, want %v", got, now)
	}
	pass := func(d time.Duration, err error) error {
		return w.During(func() error { at += d; return err })
	}
	if err := pass(1500*time.Microsecond, model.ErrClosed); !errors.Is(err, model.ErrClosed) {
		t.Errorf("During returns %v, want the error of the wait", err)
	}
	at += time.Hour // not waited
	if got := w.Now(now); !got.Equal(now.Add(time.Millisecond)) {
		t.Errorf("after 1.5 ms the call decides as of %v, want 1 ms later than %v", got, now)
	}
	w.Watch = func() time.Duration { at += time.Second; return at } // every look takes a second
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.Pause(ended, 9); !errors.Is(err, context.Canceled) {
		t.Errorf("Pause returns %v, want the context's error", err)
	}
	if got, want := w.Now(now), now.Add(1001*time.Millisecond); !got.Equal(want) {
		t.Errorf("after a pause of 1 s the call decides as of %v, want %v", got, want)
	}
	w.Watch = func() time.Duration { return at }
	_ = pass(600*time.Microsecond, nil)
	w.Add(time.Second)
	if got, want := w.Now(now), now.Add(2*time.Second+2*time.Millisecond); !got.Equal(want) {
		t.Errorf("after all waits the call decides as of %v, want %v", got, want)
	}
}

// TestWaitedReadsTheSystemsStopwatch checks that the stopwatch of the zero Waited
// never goes back.
func TestWaitedReadsTheSystemsStopwatch(t *testing.T) {
	var w Waited
	last := w.Read()
	for range 1000 {
		next := w.Read()
		if next < last {
			t.Fatalf("the stopwatch went from %v back to %v", last, next)
		}
		last = next
	}
}
