package bbolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

var now = drivertest.Now

// fresh returns a backend with storage on a file of its own.
func fresh(t testing.TB) *Backend {
	t.Helper()
	db := openDB(t, filepath.Join(memoryDir(t), "db"), &bbolt.Options{NoSync: true})
	b := newOn(t, db, "store", "principal", "state")
	must(t, b.CreateStorage(context.Background()))
	return b
}

func create(id string) driver.Write {
	return driver.Write{Record: drivertest.Record(id, "ann", time.Hour), Cond: driver.IfAbsent}
}

func onlyErr[T any](_ T, err error) error { return err }

// commits returns the number of transactions that were committed so far.
func commits(t testing.TB, db *bbolt.DB) (n int) {
	t.Helper()
	must(t, db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }))
	return n
}

func TestNew(t *testing.T) {
	db := fresh(t).DB()
	_, noDB := New(nil, "x", nil)
	_, noName := New(db, "", nil)
	_, long := New(db, string(make([]byte, 256)), nil)
	_, badLabel := New(db, "x", &Options{Labels: []string{"Bad Name"}})
	drivertest.NewErrors(t, backendName, map[string]error{"no database": noDB, "no name": noName, "long name": long, "bad label": badLabel})
	b, err := New(db, "x", nil)
	must(t, err)
	if got := b.Describe().Labels; len(got) != 1 || got[0] != "principal" {
		t.Errorf("the labels are %v", got)
	}
}

// TestWritersShareACommit has many calls wait for a transaction of the program's
// own: they all commit together.
func TestWritersShareACommit(t *testing.T) {
	b := fresh(t)
	held, err := b.db.Begin(true)
	must(t, err)
	const n = 20
	var calls sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		calls.Go(func() { _, errs[i] = b.Write(t.Context(), now, create(fmt.Sprint("id", i%15))) })
	}
	waitFor(func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.jobs) == n })
	before := commits(t, b.db)
	must(t, held.Rollback())
	calls.Wait()
	exist := 0
	for _, err := range errs {
		if errors.Is(err, model.ErrExists) {
			exist++
		} else {
			must(t, err)
		}
	}
	if got := commits(t, b.db) - before; got != 1 || exist != 5 {
		t.Errorf("%d commits, and %d creates found a record; want 1 and 5", got, exist)
	}
}

// waitFor waits until another goroutine has done something.
func waitFor(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// TestAFaultUndoesTheSharedTransaction has one of the calls fail after its first
// change: no call has changed anything, and no call says that it has.
func TestAFaultUndoesTheSharedTransaction(t *testing.T) {
	b := fresh(t)
	held, err := b.db.Begin(true)
	must(t, err)
	var calls sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		calls.Go(func() {
			if i != 1 {
				_, errs[i] = b.Write(t.Context(), now, create(fmt.Sprint("id", i)))
				return
			}
			_, errs[i] = update(t.Context(), b, func(s *store) (int, error) {
				s.changes++
				panic("a damaged page")
			})
		})
		waitFor(func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.jobs) == i+1 })
	}
	must(t, held.Rollback())
	calls.Wait()
	for i, err := range errs {
		drivertest.WantKind(t, err, model.ErrUnavailable)
		drivertest.Gone(t, b, fmt.Sprint("id", i))
	}
	_, err = b.Write(t.Context(), now, create("id0"))
	must(t, err)
}

// TestACallThatGaveUpChangesNothing ends contexts of calls that wait for the
// program's own transaction.
func TestACallThatGaveUpChangesNothing(t *testing.T) {
	b := fresh(t)
	held, err := b.db.Begin(true)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.Write(ctx, now, create("given up"))
		if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("got %v, want %v alone", err, context.Canceled)
		}
	})
	waitFor(func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.jobs) == 1 })
	cancel()
	calls.Wait()
	b.mu.Lock()
	if n := len(b.jobs); n != 0 {
		t.Errorf("%d calls wait, want none: the one that gave up has left", n)
	}
	b.mu.Unlock()
	must(t, held.Rollback())
	_, err = b.Write(t.Context(), now, create("next"))
	must(t, err)
	drivertest.Gone(t, b, "given up")
}

// TestIn writes in the caller's own transaction, which is committed or not.
func TestIn(t *testing.T) {
	b := fresh(t)
	ctx := t.Context()
	errUndo := errors.New("undo")
	for _, end := range []error{errUndo, nil} {
		err := b.db.Update(func(tx *bbolt.Tx) error {
			in := b.In(tx)
			if _, err := in.Write(ctx, now, create("a")); err != nil {
				return err
			}
			_, exists := in.Write(ctx, now, create("a"))
			drivertest.WantKind(t, exists, model.ErrExists)
			drivertest.Seed(t, in, drivertest.Expired("old", "ann"))
			swept, err := in.DeleteExpired(ctx, driver.Sweep{Before: now, Limit: 5, OnExpire: func(model.Record) error {
				return onlyErr(in.Get(ctx, now, driver.Get{ID: "a"}))
			}})
			if err != nil || swept.Removed != 1 {
				t.Errorf("swept %+v, %v", swept, err)
			}
			p, err := in.Page(ctx, now, driver.Query{Label: "principal", Value: "ann", Limit: 5})
			if err != nil || len(p.Records) != 1 {
				t.Errorf("%d records, %v", len(p.Records), err)
			}
			must(t, in.Close())
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
		if end != nil {
			drivertest.Gone(t, b, "a")
		} else {
			drivertest.Get(t, b, "a")
		}
	}
}

// TestMistakenTransactions makes every call in transactions that cannot be right:
// the error names the mistake, and nothing changes.
func TestMistakenTransactions(t *testing.T) {
	b := fresh(t)
	base := drivertest.SeedCalls(t, b)
	begin := func(writable bool, end func(*bbolt.Tx) error) *bbolt.Tx {
		tx, err := b.db.Begin(writable)
		must(t, err)
		must(t, end(tx))
		return tx
	}
	committed, undone := begin(true, (*bbolt.Tx).Commit), begin(true, (*bbolt.Tx).Rollback)
	open := begin(false, func(*bbolt.Tx) error { return nil })
	other := newOn(t, fresh(t).DB(), "other", "principal", "state")
	storage := []drivertest.Call{{Name: "create storage", Do: driver.CreateStorage}, {Name: "delete storage", Do: driver.DeleteStorage}}
	every := append(append(drivertest.Writes(base), drivertest.Reads()...), storage...)
	for name, test := range map[string]struct {
		in    *Backend
		calls []drivertest.Call
		text  string
	}{
		"none":            {b.In(nil), every, "is nil"},
		"committed":       {b.In(committed), every, "has ended"},
		"rolled back":     {b.In(undone), every, "has ended"},
		"of another file": {other.In(open), every, "another database"},
		"for reading":     {b.In(open), append(drivertest.Writes(base), storage[1]), "only reads"},
	} {
		for _, call := range test.calls {
			err := call.Do(t.Context(), test.in)
			if !errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: %s: %s, want %q", name, call.Name, drivertest.Causes(err), test.text)
			}
		}
	}
	drivertest.Holds(t, b.In(open), "id", base.Revision, base.ExpiresAt)
	must(t, open.Rollback())
	drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
}

// TestListingsFollowTheBytesOfIDs lists ids that other orders would mix.
func TestListingsFollowTheBytesOfIDs(t *testing.T) {
	b := fresh(t)
	drivertest.ListsByBytes(t, b)
}

// TestAPageReadsABoundedNumberOfExpiredRecords has more of them than a page
// reads.
func TestAPageReadsABoundedNumberOfExpiredRecords(t *testing.T) {
	b := fresh(t)
	recs := make([]model.Record, extraReads+10)
	for i := range recs {
		recs[i] = drivertest.Expired(fmt.Sprintf("%05d", i), "ann")
	}
	drivertest.Seed(t, b, recs...)
	drivertest.Seed(t, b, drivertest.Record("last", "ann", time.Hour))
	p, err := b.Page(t.Context(), now, driver.Query{Limit: 5})
	if err != nil || len(p.Records) != 0 || p.Next == "" {
		t.Fatalf("%d records, next %q, %v; want an empty page that is not the last", len(p.Records), p.Next, err)
	}
	p, err = b.Page(t.Context(), now, driver.Query{Limit: 5, After: p.Next})
	if err != nil || len(p.Records) != 1 || p.Next != "" {
		t.Fatalf("%d records, next %q, %v; want the last", len(p.Records), p.Next, err)
	}
}
