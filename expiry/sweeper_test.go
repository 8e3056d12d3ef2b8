package expiry_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// sweeps counts calls and answers from a function.
type sweeps struct {
	calls atomic.Int64
	do    func(call int64) (driver.Swept, error)
}

func (s *sweeps) DeleteExpired(context.Context, *expiry.SweepOptions) (driver.Swept, error) {
	return s.do(s.calls.Add(1))
}

func nothing(int64) (driver.Swept, error) { return driver.Swept{}, nil }

func sweeper(t *testing.T, target expiry.Sweepable, o *expiry.SweeperOptions) *expiry.Sweeper {
	t.Helper()
	s, err := expiry.NewSweeper(target, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSweeperRunsAtItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &sweeps{do: nothing}
		s := sweeper(t, target, &expiry.SweeperOptions{Interval: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Minute) // of the bubble's clock
		defer cancel()
		if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		if n := target.calls.Load(); n < 67 || n > 201 {
			t.Errorf("%d sweeps in 100 minutes", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSweeperGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		target := &sweeps{do: func(call int64) (driver.Swept, error) {
			if call == 1 {
				return driver.Swept{}, down
			}
			return driver.Swept{Removed: 1}, nil
		}}
		var got []error
		s := sweeper(t, target, &expiry.SweeperOptions{OnSwept: func(_ driver.Swept, err error) { got = append(got, err) }})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		if len(got) < 2 || !errors.Is(got[0], down) || got[1] != nil {
			t.Errorf("sweeps ended with %v", got)
		}
		if s.Total().Removed != len(got)-1 {
			t.Errorf("total %+v after %d sweeps", s.Total(), len(got))
		}
	})
}

func TestSweeperCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &sweeps{do: nothing}
		s := sweeper(t, target, nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := s.Run(t.Context()); err != nil {
					t.Errorf("Run returned %v after Close", err)
				}
			})
		}
		synctest.Wait()
		for range 100 {
			wg.Go(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := s.Run(t.Context()); err != nil {
			t.Errorf("Run after Close: %v", err)
		}
	})
}

func TestSweeperMayBeClosedInItsCallbacks(t *testing.T) {
	for _, where := range []string{"OnSwept", "OnExpire"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *expiry.Sweeper
				closes := func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
				o := &expiry.SweeperOptions{OnSwept: func(driver.Swept, error) { closes() }}
				if where == "OnExpire" {
					o = &expiry.SweeperOptions{OnExpire: func(model.Record) error { closes(); return nil }}
				}
				s = sweeper(t, announces{}, o)
				if err := s.Run(t.Context()); err != nil {
					t.Errorf("Run returned %v", err)
				}
				closes()
			})
		})
	}
}

// announces calls OnExpire once for each sweep.
type announces struct{}

func (announces) DeleteExpired(_ context.Context, o *expiry.SweepOptions) (driver.Swept, error) {
	if o.OnExpire != nil {
		return driver.Swept{}, o.OnExpire(model.Record{ID: "a"})
	}
	return driver.Swept{}, nil
}

func TestSweeperSurvivesCallbacksThatDoNotReturn(t *testing.T) {
	for how, leave := range map[string]func(){"panic": func() { panic("own") }, "Goexit": runtime.Goexit} {
		for where, o := range map[string]*expiry.SweeperOptions{
			"OnSwept":  {OnSwept: func(driver.Swept, error) { leave() }},
			"OnExpire": {OnExpire: func(model.Record) error { leave(); return nil }},
		} {
			t.Run(where+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := sweeper(t, announces{}, o)
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() {
							defer func() { _ = recover() }()
							_ = s.Run(t.Context())
						})
					}
					wg.Wait()
					if err := s.Close(); err != nil { // and does not wait for those that are gone
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestSweeperWaitsForTheLongestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &sweeps{do: nothing}
		s := sweeper(t, target, &expiry.SweeperOptions{Interval: math.MaxInt64})
		ctx, cancel := context.WithTimeout(t.Context(), 10000*time.Hour)
		defer cancel()
		if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		if n := target.calls.Load(); n != 1 {
			t.Errorf("%d sweeps", n)
		}
	})
}

func TestSweeperClosesBeforeItRan(t *testing.T) {
	s := sweeper(t, &sweeps{do: nothing}, nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSweepRepeatsWhileThereIsMore(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answers []driver.Swept
		calls   int64
		removed int
	}{
		{"nothing", []driver.Swept{{}}, 1, 0},
		{"three rounds", []driver.Swept{{Removed: 10, More: true}, {Removed: 10, More: true}, {Removed: 3}}, 3, 23},
		{"more that nobody may remove", []driver.Swept{{Removed: 2, More: true}, {More: true}}, 2, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target := &sweeps{do: func(call int64) (driver.Swept, error) { return tc.answers[call-1], nil }}
			got, err := sweeper(t, target, nil).Sweep(t.Context())
			if err != nil || got.Removed != tc.removed || target.calls.Load() != tc.calls {
				t.Errorf("got %+v, %v after %d calls", got, err, target.calls.Load())
			}
		})
	}
}

func TestSweepersShareTheWork(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	space := memory.NewSpace()
	open := func() *expiry.Store[value] {
		b, err := memory.New(space, "x", nil)
		if err != nil {
			t.Fatal(err)
		}
		return storeOn(t, b, &expiry.StoreOptions{TTL: time.Minute, Grace: -1, Clock: expiry.ClockFunc(func() time.Time { return now })})
	}
	first := open()
	for i := range 1000 {
		if _, err := first.Create(t.Context(), string(rune('a'+i)), value{i}, nil); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	var announced atomic.Int64
	list := make([]*expiry.Sweeper, 8)
	var wg sync.WaitGroup
	for i := range list {
		list[i] = sweeper(t, open(), &expiry.SweeperOptions{Limit: 7, OnExpire: func(model.Record) error { announced.Add(1); return nil }})
		wg.Go(func() {
			if _, err := list[i].Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	total := 0
	for _, s := range list {
		total += s.Total().Removed
	}
	if total != 1000 || announced.Load() < 1000 {
		t.Errorf("%d removals counted and %d announced, want 1000", total, announced.Load())
	}
}

func TestNewSweeperRefuses(t *testing.T) {
	if _, err := expiry.NewSweeper(nil, nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("no target: %v", err)
	}
	for _, o := range []expiry.SweeperOptions{{Interval: -1}, {Limit: -1}} {
		if _, err := expiry.NewSweeper(&sweeps{do: nothing}, &o); !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
