package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/examples/lease"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func Example() {
	ctx := context.Background()
	backend, err := memory.New(nil, "locks", nil) // or that of a server, for several processes
	if err != nil {
		fmt.Println(err)
		return
	}
	locks, err := lease.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := locks.Acquire(ctx, "nightly-report", "node-1", time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = locks.Acquire(ctx, "nightly-report", "node-2", time.Minute)
	fmt.Println("node-2:", err)
	fmt.Println("node-1 extends:", report.Extend(ctx, time.Minute))
	fmt.Println("node-1 releases:", report.Release(ctx))
	_, err = locks.Acquire(ctx, "nightly-report", "node-2", time.Minute)
	fmt.Println("node-2:", err)
	// Output:
	// node-2: lease: somebody else has it
	// node-1 extends: <nil>
	// node-1 releases: <nil>
	// node-2: <nil>
}

func TestLeases(t *testing.T) {
	inMemory, err := memory.New(memory.NewSpace(), "locks", nil)
	if err != nil {
		t.Fatal(err)
	}
	inFiles, err := file.New(t.TempDir(), "locks", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, backend := range map[string]expiry.ModelExpirySupport{"memory": inMemory, "file": inFiles} {
		t.Run(name, func(t *testing.T) {
			clock := sessiontest.NewClock(time.Now())
			locks, err := lease.New(backend, &expiry.StoreOptions{Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			first, err := locks.Acquire(ctx, "job", "a", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if owner, err := locks.Owner(ctx, "job"); owner != "a" || err != nil {
				t.Fatal(owner, err)
			}
			// An extension counts from now, and the end is exact.
			clock.Advance(time.Minute - time.Millisecond)
			if err := first.Extend(ctx, time.Minute); err != nil {
				t.Fatal(err)
			}
			clock.Advance(time.Minute - time.Millisecond)
			if _, err := locks.Acquire(ctx, "job", "b", time.Minute); !errors.Is(err, lease.ErrHeld) {
				t.Fatal(err)
			}
			clock.Advance(time.Millisecond)
			second, err := locks.Acquire(ctx, "job", "b", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			// The first holder reaches no lease but its own.
			if err := first.Extend(ctx, time.Hour); !errors.Is(err, lease.ErrLost) {
				t.Fatal(err)
			}
			if err := first.Release(ctx); !errors.Is(err, lease.ErrLost) {
				t.Fatal(err)
			}
			if err := second.Release(ctx); err != nil {
				t.Fatal(err)
			}
			if err := second.Release(ctx); !errors.Is(err, lease.ErrLost) {
				t.Fatal(err)
			}
			if _, err := locks.Owner(ctx, "job"); !errors.Is(err, expiry.ErrNotFound) {
				t.Fatal(err)
			}
		})
	}
}

func TestOneOfManyGetsALease(t *testing.T) {
	backend, err := memory.New(memory.NewSpace(), "locks", nil)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := lease.New(backend, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var won atomic.Int32
	start := make(chan struct{})
	for i := range 16 {
		wg.Go(func() {
			<-start
			switch _, err := locks.Acquire(t.Context(), "job", fmt.Sprint(i), time.Hour); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, lease.ErrHeld):
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d holders", won.Load())
	}
}
