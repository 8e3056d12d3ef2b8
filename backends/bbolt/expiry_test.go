package bbolt

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestWaitsCount has two calls wait for the program's own transaction: the first
// for bbolt, the second also behind the first. A wait behind another call always
// counts, and one for bbolt from waitFrom on (rule R100).
func TestWaitsCount(t *testing.T) {
	for _, tt := range []struct {
		waits         time.Duration
		first, second error
	}{
		{0, nil, nil},
		{waitFrom - time.Millisecond, nil, model.ErrNotFound},
		{waitFrom, model.ErrNotFound, model.ErrNotFound},
	} {
		b := fresh(t)
		var watch atomic.Int64
		b.watch = func() time.Duration { return time.Duration(watch.Load()) }
		for _, id := range []string{"first", "second"} {
			drivertest.Seed(t, b, drivertest.Record(id, "", waitFrom/2))
		}
		held, err := b.db.Begin(true)
		must(t, err)
		var begins atomic.Int64
		begin := b.begin
		b.begin = func(writable bool) (*bbolt.Tx, error) {
			begins.Add(1)
			return begin(writable)
		}
		var calls sync.WaitGroup
		errs := map[string]*error{"first": new(error), "second": new(error)}
		for i, id := range []string{"first", "second"} {
			calls.Go(func() {
				_, *errs[id] = b.Touch(t.Context(), now, driver.Touch{ID: id, Mode: driver.TouchClear})
			})
			waitFor(func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return len(b.jobs) == i+1 && begins.Load() == 1
			})
		}
		watch.Store(int64(tt.waits))
		must(t, held.Rollback())
		calls.Wait()
		for id, want := range map[string]error{"first": tt.first, "second": tt.second} {
			if got := *errs[id]; !errors.Is(got, want) {
				t.Errorf("after a wait of %v the %s call returned %v, want %v", tt.waits, id, got, want)
			}
		}
	}
}
