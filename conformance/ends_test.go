package conformance_test

import (
	"fmt"
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
	for _, nth := range []int64{0, 3} {
		for _, cs := range conformance.Cases() {
			t.Run(fmt.Sprint(cs.Name, "/", nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					space := memory.NewSpace()
					var left atomic.Int64
					left.Store(nth)
					if conformance.Check(t.Context(), conformance.Harness{Open: func(t testing.TB, name string) driver.ModelExpirySupport {
						b, err := memory.New(space, name, &memory.Options{Labels: []string{"principal", "sid", "tenant"}})
						if err != nil {
							t.Fatal(err)
						}
						return drivertest.Refusing{ModelExpirySupport: b, Left: &left}
					}}, cs.Name) != nil {
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
