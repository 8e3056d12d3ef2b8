package file

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// watched calls asked when a call begins to wait for the context's end.
type watched struct {
	context.Context
	asked func()
}

func (w *watched) Done() <-chan struct{} {
	w.asked()
	return w.Context.Done()
}

// mustWait checks that a call waits for a lock, and returns the context's error
// alone when the context ends.
func mustWait(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits, got := make(chan struct{}), make(chan error)
	go func() { got <- do(&watched{Context: ctx, asked: sync.OnceFunc(func() { close(waits) })}) }()
	select {
	case <-waits:
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("%s: %v, want %v alone", what, err, context.Canceled)
		}
	case err := <-got:
		t.Errorf("%s did not wait: %v", what, err)
	}
}

// TestWaitForALockEndsWithTheContext cancels a writer that waits for a lock of
// its own Backend, and one that waits for another Backend's.
func TestWaitForALockEndsWithTheContext(t *testing.T) {
	dir := memoryDir(t)
	holder, s := spied(t, dir, nil)
	other := open(t, dir, "store", nil)
	s.On("rename", func(path string) {
		if !strings.Contains(path, "/"+recordsDir+"/") {
			return // of the floors
		}
		for name, b := range map[string]*Backend{"the same Backend": holder, "another Backend": other} {
			mustWait(t, name, func(ctx context.Context) error {
				return onlyErr(b.Write(ctx, now, driver.Write{Record: newRecord("a", "", time.Time{}), Cond: driver.IfAny}))
			})
		}
	})
	first := create(t, holder, newRecord("a", "", time.Time{}))
	s.Set(nil)
	holds(t, other, first)
}

// sameStripe returns n ids of one stripe, each of a different shard.
func sameStripe(n int) []string {
	var out []string
	seen := map[uint8]bool{}
	for i := 0; len(out) < n; i++ {
		p := placeOf(fmt.Sprint(i))
		if p.stripe() == 0 && !seen[p.shard] {
			seen[p.shard] = true
			out = append(out, p.id)
		}
	}
	return out
}

// TestLockOfDeletedStorage has a lock file open that DeleteStorage removed,
// while a foreign file kept the store's folder. The file excludes no other
// writer, so the Backend must not use it.
func TestLockOfDeletedStorage(t *testing.T) {
	dir, ids := memoryDir(t), sameStripe(3)
	a, s := spied(t, dir, nil)
	b := open(t, dir, "store", nil)
	create(t, a, newRecord(ids[0], "", time.Time{}))
	writeFile(t, in(dir, locksDir, "README"), nil)
	drivertest.WantKind(t, remove(t.Context(), b, ids[1]), model.ErrNotFound)
	drivertest.WantKind(t, a.DeleteStorage(t.Context()), model.ErrCorrupt)
	rec := newRecord(ids[2], "", time.Time{})
	s.On("rename", func(path string) {
		if !strings.Contains(path, "/"+recordsDir+"/") {
			return // of the floors
		}
		mustWait(t, "a create of the same id", func(ctx context.Context) error {
			return onlyErr(b.Write(ctx, now, driver.Write{Record: rec, Cond: driver.IfAbsent}))
		})
	})
	create(t, a, rec)
}

// TestListingExcludesWriters checks that a listing reads the names of a shard
// under its lock: some file systems hide a name while a rename replaces its
// file.
func TestListingExcludesWriters(t *testing.T) {
	dir := memoryDir(t)
	a, s := spied(t, dir, nil)
	b := open(t, dir, "store", nil)
	rec := create(t, b, newRecord("a", "", time.Time{}))
	p, reads := placeOf("a"), 0
	s.On("names", func(path string) {
		if strings.HasSuffix(path, p.dir()) {
			reads++
			mustWait(t, "a delete", func(ctx context.Context) error { return remove(ctx, b, "a") })
		}
	})
	if lists(t, a, "", rec); reads != 1 {
		t.Errorf("the listing read the shard %d times, want once", reads)
	}
}
