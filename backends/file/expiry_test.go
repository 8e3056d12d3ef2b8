package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestOnExpireThatDoesNotReturn checks that nothing stays locked or open, and
// that later sweeps find every record.
func TestOnExpireThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			b, s := spied(t, memoryDir(t), &Options{NoSync: true})
			const n = 30
			for i := range n {
				create(t, b, newRecord(fmt.Sprint("id", i), "ann", inHour))
			}
			for seen := range 10 {
				drivertest.Apart(func() {
					left := seen
					_, _ = b.DeleteExpired(t.Context(), driver.Sweep{Before: inHour, Limit: n, OnExpire: func(model.Record) error {
						if left--; left < 0 {
							leave()
						}
						return errors.New("stays")
					}})
				})
			}
			sweeps(t, b, inHour, n)
			must(t, b.Close())
			if open := s.Handles(); open != 0 {
				t.Errorf("%d files are open after Close", open)
			}
		})
	}
}

// TestOnExpireCallsTheBackend checks that OnExpire may call every method.
func TestOnExpireCallsTheBackend(t *testing.T) {
	ctx := t.Context()
	b := open(t, memoryDir(t), "store", &Options{NoSync: true})
	const n = 30
	for i := range n {
		create(t, b, newRecord(fmt.Sprint("id", i), "ann", inHour))
	}
	nested := 0
	outer, err := b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: n, OnExpire: func(r model.Record) error {
		write(t, b, driver.IfAny, newRecord("new-"+r.ID, "bob", inDay))
		must(t, onlyErr(b.Page(ctx, inHour, driver.Query{Limit: 10})))
		must(t, onlyErr(b.Count(ctx, inHour, driver.Query{})))
		got, err := b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 1})
		must(t, err)
		nested += got.Removed
		return nil
	}})
	if err != nil || outer.Removed+nested != n || nested == 0 {
		t.Errorf("%d removed by the sweep and %d by those within it, %v; want %d together", outer.Removed, nested, err, n)
	}
	must(t, b.CreateStorage(ctx))
	sweeps(t, b, inDay, nested+outer.Removed-(n-len(mustList(t, b))))
}

func mustList(t *testing.T, b *Backend) map[string]string {
	t.Helper()
	l, err := list(b, "principal", "bob")
	must(t, err)
	return l
}

// TestStalled has another Backend, as another process would, hold all locks. The
// calls that need no lock are served.
func TestStalled(t *testing.T) {
	b := open(t, memoryDir(t), "store", &Options{NoSync: true})
	drivertest.Stalled(t, b, func() { holdLocks(t, b) },
		"get", "get many", "get of many", "page by label", "count by label", "sweep of nothing", "ping", "create storage", "stat")
}

// TestLockOfAnotherEndsWithTheDeadline holds all locks in another Backend, as
// another process would. Each call that needs a lock ends with its context.
func TestLockOfAnotherEndsWithTheDeadline(t *testing.T) {
	dir := memoryDir(t)
	holder := open(t, dir, "store", &Options{NoSync: true})
	b := open(t, dir, "store", &Options{NoSync: true})
	rec := create(t, holder, newRecord("a", "ann", inHour))
	calls := map[string]func(ctx context.Context) error{
		"create": func(ctx context.Context) error {
			return onlyErr(b.Write(ctx, now, driver.Write{Record: newRecord("b", "", inHour), Cond: driver.IfAbsent}))
		},
		"batch": func(ctx context.Context) error {
			return b.WriteMany(ctx, now, []driver.BatchOp{{Write: &driver.Write{Record: newRecord("c", "", inHour), Cond: driver.IfAny}}})[0].Err
		},
		"touch": func(ctx context.Context) error {
			return onlyErr(b.Touch(ctx, now, driver.Touch{ID: "a", Mode: driver.TouchClear}))
		},
		"delete": func(ctx context.Context) error { return remove(ctx, b, "a") },
		"page":   func(ctx context.Context) error { return onlyErr(b.Page(ctx, now, driver.Query{Limit: 1})) },
		"count":  func(ctx context.Context) error { return onlyErr(b.Count(ctx, now, driver.Query{})) },
		"sweep": func(ctx context.Context) error {
			return onlyErr(b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 1}))
		},
		"Rebuild":       func(ctx context.Context) error { return onlyErr(b.Rebuild(ctx)) },
		"DeleteStorage": b.DeleteStorage,
	}
	must(t, holder.withTree(t.Context(), true, func(held *tree) error {
		return held.withLocksFrom(t.Context(), 0, func() error {
			for name, call := range calls {
				mustWait(t, name, call)
			}
			return nil
		})
	}))
	holds(t, b, rec)
}

// TestFailedSyncOfAFolder makes the sync of new folders fail once. Later writes
// sync them until that succeeds, and no longer.
func TestFailedSyncOfAFolder(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	s.NoWhole = true
	must(t, b.CreateStorage(t.Context()))
	parent := labelBase("principal") + "/" + labelSub("ann")[:2]
	s.Set(func(op, path string) error {
		if op == "fsync" && strings.HasSuffix(path, parent) {
			return fs.ErrInvalid
		}
		return nil
	})
	_, err := b.Write(t.Context(), now, driver.Write{Record: newRecord("a", "ann", inHour), Cond: driver.IfAny})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	s.Set(nil)
	var fsyncs []int
	for i := range 4 {
		s.Take()
		create(t, b, newRecord(fmt.Sprint("b", i), "ann", inHour))
		fsyncs = append(fsyncs, s.Take().Calls["fsync"])
	}
	if fsyncs[0] <= fsyncs[1] || fsyncs[1] != 4 || fsyncs[2] != 4 || fsyncs[3] != 4 {
		t.Errorf("creates after the failure take %d fsyncs, want more than 4 and then 4", fsyncs)
	}
}

// TestSweepHoldsNoValues looks at what a sweep keeps of a record between its
// announcement and its removal.
func TestSweepHoldsNoValues(t *testing.T) {
	b := open(t, memoryDir(t), "store", &Options{NoSync: true})
	create(t, b, newRecord("a", "ann", inHour))
	sw := driver.Sweep{Before: inHour, Limit: 1}
	tally, err := b.gate.Sweep(t.Context(), &sw)
	must(t, err)
	s := sweep{b: b, ctx: t.Context(), before: inHour, due: bucketOf(inHour), tally: tally}
	must(t, b.withTree(t.Context(), false, func(tr *tree) error {
		must(t, s.examine(tr, s.due.sub(), placeOf("a")))
		if len(s.wave) != 1 || s.wave[0].seen == nil || s.wave[0].seen.Value != nil {
			t.Errorf("the sweep keeps %+v, want one record without its value", s.wave)
		}
		return s.flush(tr)
	}))
	if swept, err := tally.Result(); swept.Removed != 1 || err != nil {
		t.Errorf("%+v, %v, want 1 removed", swept, err)
	}
}

// TestListingDecidesAfterItsWait has the only record expire while a listing and
// a count wait for a lock.
func TestListingDecidesAfterItsWait(t *testing.T) {
	b := open(t, memoryDir(t), "store", &Options{NoSync: true})
	create(t, b, newRecord("a", "ann", inHour))
	for wait, want := range map[time.Duration]int{inHour.Sub(now) - time.Millisecond: 1, inHour.Sub(now): 0} {
		delay(t, b, wait)
		p, err := b.Page(t.Context(), now, driver.Query{Limit: 10})
		must(t, err)
		b := open(t, b.dir, b.name, &Options{NoSync: true}) // its first count reads the records
		delay(t, b, wait)
		n, err := b.Count(t.Context(), now, driver.Query{})
		must(t, err)
		if len(p.Records) != want || n != want {
			t.Errorf("after %v %d records are listed and %d counted, want %d", wait, len(p.Records), n, want)
		}
	}
}

// TestWaitForAGoroutineCounts has a record expire while a touch waits for
// another goroutine of the same Backend.
func TestWaitForAGoroutineCounts(t *testing.T) {
	b := open(t, memoryDir(t), "store", &Options{NoSync: true})
	create(t, b, newRecord("a", "ann", inHour))
	p := placeOf("a")
	stripe := &b.stripes[p.stripe()]
	stripe.held <- struct{}{}
	b.watch = sequence(func() { stripe.release() }, inHour.Sub(now))
	_, err := b.Touch(t.Context(), now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: inDay})
	drivertest.WantKind(t, err, model.ErrNotFound)
}

// TestBatchCountsTheWaitForATurn has the records of a batch expire before its
// last operations begin.
func TestBatchCountsTheWaitForATurn(t *testing.T) {
	b := open(t, memoryDir(t), "store", &Options{NoSync: true})
	var ops []driver.BatchOp
	for i := range batchWriters + 3 {
		r := create(t, b, newRecord(fmt.Sprint("id", i), "ann", inHour))
		ops = append(ops, driver.BatchOp{Delete: &driver.Delete{ID: r.ID, Cond: driver.IfPresent}})
	}
	b.watch = sequence(func() {}, inHour.Sub(now))
	for i, out := range b.WriteMany(t.Context(), now, ops) {
		if i < batchWriters {
			must(t, out.Err)
		} else {
			drivertest.WantKind(t, out.Err, model.ErrNotFound)
		}
	}
}

// sequence returns a stopwatch that shows zero, calls then, and later shows
// next.
func sequence(then func(), next time.Duration) func() time.Duration {
	var reads atomic.Int64
	return func() time.Duration {
		if reads.Add(1) > 1 {
			return next
		}
		then()
		return 0
	}
}

var errDead = errors.New("dead")

// TestLeftovers stops a write at each of its steps, as a kill does. A sweep
// then removes what the write left, with its index entries, and nothing else.
func TestLeftovers(t *testing.T) {
	for step := 1; ; step++ {
		dir := memoryDir(t)
		b, s := spied(t, dir, &Options{NoSync: true})
		old := create(t, b, newRecord("old", "ann", inDay))
		n, dead := 0, false
		s.Set(func(op, path string) error {
			if n++; n == step {
				dead = true
			}
			if dead {
				return errDead
			}
			return nil
		})
		_, err := b.Write(t.Context(), now, driver.Write{Record: newRecord("new", "bob", inHour), Cond: driver.IfAbsent})
		s.Set(nil)
		if !dead {
			return
		}
		if _, getErr := b.Get(t.Context(), now, driver.Get{ID: "new"}); err != nil && !errors.Is(err, model.ErrUnknown) && !errors.Is(getErr, model.ErrNotFound) {
			t.Errorf("step %d: %v, then %v", step, err, getErr)
		}
		listed, err := list(b, "", "")
		delete(listed, "new")
		if len(listed) != 1 || listed["old"] != old.Revision.String() || err != nil {
			t.Errorf("step %d: listed %v, %v", step, listed, err)
		}
		if _, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: inHour.Add(time.Hour), Limit: 10}); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
		noTmp(t, dir)
		if left := entries(t, in(dir)); len(left) != 2 {
			t.Errorf("step %d: the entries %v are left, want 2", step, left)
		}
		holds(t, b, old)
	}
}

// TestSweepSparesWritesInProgress sweeps while another Backend is between its
// temporary file and the rename.
func TestSweepSparesWritesInProgress(t *testing.T) {
	dir := memoryDir(t)
	writer, s := spied(t, dir, nil)
	sweeper := open(t, dir, "store", nil)
	s.On("rename", func(path string) {
		if !strings.Contains(path, "/"+recordsDir+"/") {
			return // of the floors
		}
		sweeps(t, sweeper, inDay, 0)
		lists(t, sweeper, "ann")
		if left := files(t, in(dir, tmpDir)); len(left) != 1 {
			t.Errorf("temporary files: %v, want one", left)
		}
	})
	// The record is not due yet: for a due entry the sweep waits for the writer.
	lists(t, sweeper, "ann", create(t, writer, newRecord("a", "ann", inDay.Add(time.Hour))))
}

// TestSweepSparesChangesWithinTheMinute changes an announced record so that its
// index entry stays the same.
func TestSweepSparesChangesWithinTheMinute(t *testing.T) {
	at := now.Truncate(time.Minute).Add(time.Minute)
	for name, change := range map[string]func(*Backend) error{
		"touch": func(b *Backend) error {
			return onlyErr(b.Touch(t.Context(), now, driver.Touch{ID: "a", Mode: driver.TouchExtend, ExpiresAt: at.Add(time.Second)}))
		},
		"update": func(b *Backend) error {
			return onlyErr(b.Write(t.Context(), now, driver.Write{Record: newRecord("a", "bob", at), Cond: driver.IfPresent}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, memoryDir(t), "store", nil)
			create(t, b, newRecord("a", "ann", at))
			n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: at, Limit: 10, OnExpire: func(model.Record) error {
				if err := change(b); err != nil {
					t.Error(err)
				}
				return nil
			}})
			if n.Removed != 0 || err != nil {
				t.Errorf("the sweep: %+v, %v; want none removed", n, err)
			}
			sweeps(t, b, at.Add(time.Second), 1)
		})
	}
}

// TestStraysArePruned checks that a listing removes the entries of records that
// do not bear the label, and no others.
func TestStraysArePruned(t *testing.T) {
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	ann, bob := create(t, b, newRecord("a", "ann", inDay)), create(t, b, newRecord("b", "bob", inDay))
	folder := in(dir, labelBase("principal"), labelSub("ann"))
	for _, id := range []string{"b", "gone"} {
		p := placeOf(id)
		writeFile(t, filepath.Join(folder, p.entry()), nil)
	}
	lists(t, b, "ann", ann)
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("the entries are %v, %v; want one", left, err)
	}
	lists(t, b, "bob", bob)
}

// TestPruneReadsAgain writes a record after a listing has read its entry as a
// stray, and before the listing removes the entry.
func TestPruneReadsAgain(t *testing.T) {
	dir := memoryDir(t)
	writer := open(t, dir, "store", nil)
	lister, s := spied(t, dir, nil)
	first, late := create(t, writer, newRecord("a", "ann", inDay)), newRecord("late", "ann", inDay)
	p := placeOf("late")
	writeFile(t, in(dir, labelBase("principal"), labelSub("ann"), p.entry()), nil)
	done := false
	s.On("trylock", func(string) {
		if !done {
			done = true
			create(t, writer, late)
		}
	})
	must(t, onlyErr(list(lister, "principal", "ann")))
	s.Set(nil)
	if !done {
		t.Error("the listing removed no stray")
	}
	lists(t, lister, "ann", first, late)
}

// TestIndexesEndEmpty checks that the indexes are empty after all records were
// removed.
func TestIndexesEndEmpty(t *testing.T) {
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	for i := range 20 {
		id := fmt.Sprint(i)
		create(t, b, newRecord(id, "ann", inHour))
		write(t, b, driver.IfPresent, newRecord(id, "bob", inDay))
		if i%2 == 0 {
			must(t, remove(t.Context(), b, id))
		}
	}
	sweeps(t, b, inDay.Add(time.Minute), 10)
	sweeps(t, b, inDay.Add(24*time.Hour), 0)
	for _, f := range files(t, in(dir)) {
		if !strings.HasPrefix(f, locksDir) && !strings.HasPrefix(f, redoDir) {
			t.Errorf("%s is left", f)
		}
	}
	for _, empty := range []string{in(dir, labelBase("principal"), "*", "*"), in(dir, expiryDir, "*")} {
		if left, _ := filepath.Glob(empty); len(left) != 0 {
			t.Errorf("the folders %v are left", left)
		}
	}
}

// increment adds one to the number that the value of a record is, under its
