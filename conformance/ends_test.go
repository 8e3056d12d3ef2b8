package conformance_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
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
						return refusing{b, &left}
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

// refusing is a backend that refuses the write for which none are left, and no
// later one.
type refusing struct {
	driver.ModelExpirySupport
	left *atomic.Int64
}

func (b refusing) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if b.left.Add(-1) == -1 {
		return model.Record{}, model.ErrUnavailable
	}
	return b.ModelExpirySupport.Write(ctx, now, w)
}
