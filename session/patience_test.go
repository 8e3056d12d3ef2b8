package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// ways are the ways in which the end of a context is seen. Each is the first thing
// that is asked of it.
var ways = map[string]func(ctx context.Context) error{
	"Err": func(ctx context.Context) error { return ctx.Err() },
	"Done": func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		default:
			return nil
		}
	},
	"Cause": func(ctx context.Context) error {
		_ = ctx.Err()
		return context.Cause(ctx)
	},
	"a child": func(ctx context.Context) error {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		return child.Err()
	},
}

// A patience ends as a context of package context does.
func TestPatienceEndsAsContextsDo(t *testing.T) {
	type maker = func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	for how, see := range ways {
		for end, do := range map[string]func(ctx context.Context, begin maker) error{
			"not yet": func(ctx context.Context, begin maker) error {
				ctx, cancel := begin(ctx, time.Minute)
				defer cancel()
				return see(ctx)
			},
			"its time": func(ctx context.Context, begin maker) error {
				ctx, cancel := begin(ctx, time.Minute)
				defer cancel()
				<-time.After(time.Minute)
				synctest.Wait()
				return see(ctx)
			},
			"no time": func(ctx context.Context, begin maker) error {
				ctx, cancel := begin(ctx, 0)
				defer cancel()
				return see(ctx)
			},
			"cancel": func(ctx context.Context, begin maker) error {
				ctx, cancel := begin(ctx, time.Minute)
				cancel()
				return see(ctx)
			},
			"cancel after the first look": func(ctx context.Context, begin maker) error {
				ctx, cancel := begin(ctx, time.Minute)
				if err := see(ctx); err != nil {
					return err
				}
				cancel()
				return see(ctx)
			},
			"the parent": func(ctx context.Context, begin maker) error {
				parent, stop := context.WithCancelCause(ctx)
				ctx, cancel := begin(parent, time.Minute)
				defer cancel()
				stop(nil)
				return see(ctx)
			},
			"the parent's time": func(ctx context.Context, begin maker) error {
				parent, stop := context.WithTimeout(ctx, time.Second)
				defer stop()
				ctx, cancel := begin(parent, time.Minute)
				defer cancel()
				if at, _ := ctx.Deadline(); !at.Equal(time.Now().Add(time.Second)) {
					return errors.New("another deadline")
				}
				<-time.After(time.Second)
				synctest.Wait()
				return see(ctx)
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				want, got := do(t.Context(), context.WithTimeout), do(t.Context(), within)
				if !errors.Is(got, want) || (got == nil) != (want == nil) {
					t.Errorf("%s, seen by %s: %v, want %v", end, how, got, want)
				}
			})
		}
	}
}

// A wait ends in time, also that for a context which is made from this one.
func TestPatienceWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := within(t.Context(), time.Minute)
		defer cancel()
		child, stop := context.WithCancel(context.WithValue(ctx, contextKey{}, "x"))
		defer stop()
		began := time.Now()
		<-child.Done()
		if took := time.Since(began); took != time.Minute || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("after %v: %v", took, child.Err())
		}
		if child.Value(contextKey{}) != "x" {
			t.Error("a value is lost")
		}
	})
}
