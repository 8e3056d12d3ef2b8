package sessions

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestEveryCaseEndsWhenAWriteFails has a server that refuses one write. A case
// that waits for what the failed call would have done never ends, and tells
// nobody of the error: the bubble reports it as a deadlock.
func TestEveryCaseEndsWhenAWriteFails(t *testing.T) {
	failed := 0
	for nth := range int64(6) {
		for _, cs := range All() {
			t.Run(fmt.Sprint(cs.Name, "/", nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					space := memory.NewSpace()
					var left atomic.Int64
					left.Store(nth)
					r := &outcome{TB: t}
					r.run(func() {
						cs.run(newC(r, conformance.Harness{Open: func(t testing.TB, name string) driver.ModelExpirySupport {
							b, err := memory.New(space, name, &memory.Options{Labels: []string{"principal", "sid", "tenant"}})
							if err != nil {
								t.Fatal(err)
							}
							return drivertest.Refusing{ModelExpirySupport: b, Left: &left}
						}}))
					})
					if r.failed.Load() {
						failed++
					}
				})
			})
		}
	}
	if failed == 0 {
		t.Error("no case has failed: no write was refused")
	}
}

// outcome is the testing.TB of a case that may fail.
type outcome struct {
	testing.TB
	failed   atomic.Bool
	mu       sync.Mutex
	cleanups []func()
}

func (r *outcome) Error(...any)          { r.failed.Store(true) }
func (r *outcome) Errorf(string, ...any) { r.failed.Store(true) }
func (r *outcome) Fail()                 { r.failed.Store(true) }
func (r *outcome) FailNow()              { r.failed.Store(true); runtime.Goexit() }
func (r *outcome) Fatal(...any)          { r.FailNow() }
func (r *outcome) Fatalf(string, ...any) { r.FailNow() }
func (r *outcome) Failed() bool          { return r.failed.Load() }

func (r *outcome) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// run runs the case and its cleanups in a goroutine, which a failure ends.
func (r *outcome) run(do func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			for i := range r.cleanups {
				r.cleanups[len(r.cleanups)-1-i]()
			}
		}()
		do()
	})
	wg.Wait()
}
