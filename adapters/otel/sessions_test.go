package otelsojourn_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	otelsojourn "github.com/sojourn-go/sojourn/adapters/otel"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func newSessions(t *testing.T) (*recorder, *otelsojourn.Sessions) {
	t.Helper()
	r := newRecorder()
	r.opts.Collection = "sessions"
	s, err := otelsojourn.NewSessions(&r.opts)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// counts returns all points of the session metrics: "created sojourn.session.event=created".
func counts(t *testing.T, r *recorder, prefix string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for name, m := range r.metrics(t) {
		for attrs, n := range points(m) {
			out[strings.TrimPrefix(name, prefix)+" "+strings.TrimPrefix(attrs, "db.collection.name=sessions ")] = n
		}
	}
	return out
}

// TestEveryEventIsCounted walks through the kinds, so that a new one cannot be
// forgotten.
func TestEveryEventIsCounted(t *testing.T) {
	r, s := newSessions(t)
	want := map[string]int64{
		"created sojourn.session.event=created": 1, "created sojourn.session.event=signed in": 1, "created sojourn.session.event=impersonated": 1,
		"changes sojourn.session.event=rotated": 1, "changes sojourn.session.event=renewed": 1, "changes sojourn.session.event=reauthenticated": 1,
		"changes sojourn.session.event=elevated": 1, "changes sojourn.session.event=impersonation ended": 1,
		"ended sojourn.session.reason=expired": 1, "ended sojourn.session.reason=why": 1,
		"rejected sojourn.session.reason=why": 1, "conflicts sojourn.session.reason=why": 1, "anomalies sojourn.session.reason=why": 1,
	}
	kinds := 0
	for k := session.EventKind(1); k.String() != "unknown"; k++ {
		s.OnEvent(t.Context(), session.Event{Kind: k, Reason: "why", Handle: secret, Previous: secret, Principal: secret, Actor: secret})
		kinds++
	}
	if got := counts(t, r, "sojourn.session."); !maps.Equal(got, want) || kinds != len(want) {
		t.Errorf("%d kinds are counted as\n%v\nwant\n%v", kinds, got, want)
	}
	s.OnEvent(t.Context(), session.Event{Kind: 200})
	if got := counts(t, r, "sojourn.session."); len(got) != len(want) {
		t.Errorf("an unknown kind is counted: %v", got)
	}
	noSecrets(t, r)
}

// TestAServicesSessions has real sessions: one that signs in and out, a limit, a
// bad token and a sweep.
func TestAServicesSessions(t *testing.T) {
	r, s := newSessions(t)
	sweeps, err := otelsojourn.NewSweeps(&r.opts)
	if err != nil {
		t.Fatal(err)
	}
	clock := sessiontest.NewClock(now)
	svc, err := session.New(wrap(t, newMemory(t), r.opts), &session.Options{
		Clock: clock, OnEvent: s.OnEvent, Observe: sweeps.Observe, Sweep: expiry.SweeperOptions{OnSwept: sweeps.OnSwept},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var tokens []string
	for range 3 {
		one := svc.Open("")
		if err := one.SignIn(ctx, secret, nil); err != nil {
			t.Fatal(err)
		}
		credential, err := one.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, credential.Token())
	}
	if err := svc.Open(tokens[0]).SignOut(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Open("nonsense").Principal(ctx); !errors.Is(err, session.ErrUnauthenticated) {
		t.Fatalf("got %v, want ErrUnauthenticated", err)
	}
	clock.Advance(100 * time.Hour)
	if _, err := svc.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	got := counts(t, r, "sojourn.session.")
	want := map[string]int64{
		"created sojourn.session.event=signed in":            3,
		"ended sojourn.session.reason=sign-out":              1,
		"ended sojourn.session.reason=expired":               2,
		"rejected sojourn.session.reason=a malformed token":  1,
		"sojourn.sweep.duration db.collection.name=sessions": 1,
	}
	maps.DeleteFunc(got, func(name string, _ int64) bool { return strings.HasPrefix(name, "db.client.") })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("counted\n%v\nwant\n%v", got, want)
	}
	noSecrets(t, r)
}

// TestWatch has the count of each interval, and none while it is not known.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newSessions(t)
		ctx, cancel := context.WithCancel(t.Context())
		answers := []struct {
			n   int
			err error
		}{{3, nil}, {0, nil}, {9, errors.New("down")}, {5, nil}}
		var asked atomic.Int32
		ended := make(chan error, 1)
		go func() {
			ended <- s.Watch(ctx, time.Minute, func(context.Context) (int, error) {
				a := answers[asked.Add(1)-1]
				return a.n, a.err
			})
		}()
		live := func() map[string]int64 { return points(r.metrics(t)["sojourn.session.live"]) }
		for i, want := range []map[string]int64{{"db.collection.name=sessions": 3}, {"db.collection.name=sessions": 0}, {}, {"db.collection.name=sessions": 5}} {
			if i > 0 {
				<-time.After(time.Minute) // of the bubble's clock
			}
			synctest.Wait()
			if got := live(); !maps.Equal(got, want) || int(asked.Load()) != i+1 {
				t.Errorf("count %d: the metric has %v after %d counts, want %v", i, got, asked.Load(), want)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || len(live()) != 0 {
			t.Errorf("Watch returns %v and leaves %v, want the context's error and nothing", err, live())
		}
	})
}

// TestWatchWithoutMetrics counts nothing that nobody sees.
func TestWatchWithoutMetrics(t *testing.T) {
	s, err := otelsojourn.NewSessions(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Watch(ctx, time.Minute, func(context.Context) (int, error) { t.Error("counted"); return 0, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	for _, wrong := range []error{s.Watch(ctx, time.Minute, nil), s.Watch(ctx, 0, func(context.Context) (int, error) { return 0, nil })} {
		if !errors.Is(wrong, model.ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", wrong)
		}
	}
}

func TestSweeps(t *testing.T) {
	r := newRecorder()
	r.opts.Collection, r.opts.Clock = "carts", expiry.ClockFunc(func() time.Time { return now })
	s, err := otelsojourn.NewSweeps(&r.opts)
	if err != nil {
		t.Fatal(err)
	}
	s.OnSwept(driver.Swept{Unknown: 2}, model.ErrUnknown)
	if got := points(r.metrics(t)["sojourn.sweep.last_success"]); len(got) != 0 {
		t.Errorf("before a success the metric has %v", got)
	}
	s.OnSwept(driver.Swept{Removed: 40}, nil)
	s.OnSwept(driver.Swept{Removed: 2}, nil)
	s.Observe(t.Context(), expiry.Observation{Op: "Get", ID: secret, Duration: time.Hour})
	s.Observe(t.Context(), expiry.Observation{Op: "DeleteExpired", Duration: 2 * time.Second})
	want := map[string]int64{
		"runs db.collection.name=carts": 2, "runs db.collection.name=carts error.type=unknown": 1,
		"removed db.collection.name=carts": 42, "unknown db.collection.name=carts": 2,
		"duration db.collection.name=carts": 1, "last_success db.collection.name=carts": now.Unix(),
	}
	if got := counts(t, r, "sojourn.sweep."); !maps.Equal(got, want) {
		t.Errorf("measured\n%v\nwant\n%v", got, want)
	}
	if got := sum(t, r.metrics(t)["sojourn.sweep.duration"]); got != 2 {
		t.Errorf("the sweep took %v s, want 2", got)
	}
	noSecrets(t, r)
}

// TestSetLive has the number of a program that counts by itself.
func TestSetLive(t *testing.T) {
	r, s := newSessions(t)
	for n, want := range map[int]map[string]int64{7: {"db.collection.name=sessions": 7}, -1: {}} {
		s.SetLive(n)
		if got := points(r.metrics(t)["sojourn.session.live"]); !maps.Equal(got, want) {
			t.Errorf("after %d the metric has %v, want %v", n, got, want)
		}
	}
}
