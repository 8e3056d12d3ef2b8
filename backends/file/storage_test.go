package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestPlaceOfAnotherProgram makes and deletes a store in a folder that another
// program uses. Both refuse, say what was found, and change nothing.
func TestPlaceOfAnotherProgram(t *testing.T) {
	ctx := t.Context()
	for name, tt := range map[string]struct {
		path  string // of the foreign file
		write bool   // the first write refuses too
	}{
		"a file":                         {"report.txt", true},
		"a folder":                       {"data/report.txt", true},
		"a file as the records' folder":  {recordsDir, false},
		"a file among the records":       {recordsDir + "/2024.csv", false},
		"a file among the locks":         {locksDir + "/pid", false},
		"a label of another program":     {labelsDir + "/red/x", false},
		"a folder in the temporary ones": {tmpDir + "/build/x", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
			must(t, os.MkdirAll(in(dir, tt.path, ".."), 0o700))
			writeFile(t, in(dir, tt.path), []byte("x"))
			before := files(t, in(dir))
			b := open(t, dir, "store", nil)
			top, _, _ := strings.Cut(tt.path, "/")
			check := func(what string, err error) {
				t.Helper()
				if drivertest.WantKind(t, err, model.ErrCorrupt); err != nil && !strings.Contains(err.Error(), top) {
					t.Errorf("%s does not say what was found: %v", what, err)
				}
				if after := slices.DeleteFunc(files(t, in(dir)), func(p string) bool { return isLock(p[len(p)-2:]) }); !slices.Equal(after, before) {
					t.Errorf("after %s the files are %v, want %v", what, after, before)
				}
			}
			check("CreateStorage", b.CreateStorage(ctx))
			if tt.write {
				check("a write", onlyErr(b.Write(ctx, now, driver.Write{Record: newRecord("a", "", inHour), Cond: driver.IfAny})))
			}
			check("DeleteStorage", b.DeleteStorage(ctx))
		})
	}
	t.Run("a file as the store's folder", func(t *testing.T) {
		dir := memoryDir(t)
		writeFile(t, in(dir), []byte("x"))
		b := open(t, dir, "store", nil)
		drivertest.WantKind(t, b.CreateStorage(ctx), model.ErrCorrupt)
		drivertest.WantKind(t, b.DeleteStorage(ctx), model.ErrCorrupt)
	})
}

// TestSystemsOwnFiles checks that what systems leave in every folder does not
// keep a store from being made.
func TestSystemsOwnFiles(t *testing.T) {
	dir := memoryDir(t)
	must(t, os.MkdirAll(in(dir, "lost+found"), 0o700))
	writeFile(t, in(dir, ".DS_Store"), nil)
	b := open(t, dir, "store", nil)
	must(t, b.CreateStorage(t.Context()))
	create(t, b, newRecord("a", "ann", inHour))
	must(t, b.CreateStorage(t.Context()))
	must(t, b.DeleteStorage(t.Context()))
	if left := files(t, in(dir)); !slices.Equal(left, []string{".DS_Store"}) {
		t.Errorf("DeleteStorage left %v", left)
	}
}

// TestStorageDeletedByOthers deletes and makes the storage while other Backends
// have it open. They see the new storage and nothing of the old one.
func TestStorageDeletedByOthers(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	a, b := open(t, dir, "store", nil), open(t, dir, "store", nil)
	lister, sweeper := open(t, dir, "store", nil), open(t, dir, "store", nil)
	for range 5 {
		lists(t, b, "ann", create(t, a, newRecord("a", "ann", inHour)))
		must(t, a.DeleteStorage(ctx))
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("DeleteStorage left %v, %v", left, err)
		}
		drivertest.Gone(t, b, "a")
		again := create(t, a, newRecord("a", "ann", inHour))
		holds(t, b, again)
		lists(t, b, "ann", again)
		lists(t, lister, "", again)
		lists(t, lister, "ann", again)
		sweeps(t, sweeper, inHour, 1)
		create(t, a, newRecord("a", "ann", inHour))
		must(t, remove(ctx, b, "a"))
	}
}

// TestStorageDeletedMeanwhile writes while another Backend deletes the storage.
// A write that succeeds after the last deletion is stored.
func TestStorageDeletedMeanwhile(t *testing.T) {
	ctx, dir := t.Context(), memoryDir(t)
	a, b := open(t, dir, "store", &Options{NoSync: true}), open(t, dir, "store", &Options{NoSync: true})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 60 {
				rec := newRecord(fmt.Sprintf("%d-%d", i, n), "ann", inHour)
				for what, err := range map[string]error{
					"write": onlyErr(b.Write(ctx, now, driver.Write{Record: rec, Cond: driver.IfAny})),
					"get":   ignore(onlyErr(b.Get(ctx, now, driver.Get{ID: rec.ID})), model.ErrNotFound),
					"page":  onlyErr(b.Page(ctx, now, driver.Query{Limit: 5})),
				} {
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
			}
		})
	}
	for range 15 {
		if err := a.DeleteStorage(ctx); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	wg.Wait()
	holds(t, a, write(t, b, driver.IfAny, newRecord("last", "ann", inHour)))
}

// callsBesideDelete are calls that another Backend's DeleteStorage overtakes, given
// the record that SeedCalls returned.
func callsBesideDelete(base model.Record) []drivertest.Call {
	return slices.Concat(drivertest.Writes(base), drivertest.Reads(), []drivertest.Call{
		{Name: "create storage", Do: driver.CreateStorage},
		{Name: "delete storage", Do: driver.DeleteStorage},
		{Name: "batch", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
			op := driver.BatchOp{Write: &driver.Write{Record: drivertest.Record("batch", "ann", time.Hour), Cond: driver.IfAny}}
			return driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{op})[0].Err
		}},
	})
}

// TestStorageDeletedAtEachStep lets another Backend delete the storage before each
// step of a call at which that holds no lock. The call succeeds. Only one that needs a
// record may find none.
func TestStorageDeletedAtEachStep(t *testing.T) {
	for i, c := range callsBesideDelete(model.Record{}) {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/used %v", c.Name, used), func(t *testing.T) {
				t.Parallel()
				step := 1
				for deletedAtStep(t, i, used, step) {
					step += max(1, step/5-5) // then fewer and fewer
				}
				if step == 1 {
					t.Error("there is no step without a lock")
				}
			})
		}
	}
}

// deletedAtStep makes call i on a new store, on a Backend that was used or is new. It
// reports whether the call has that many steps without a lock.
func deletedAtStep(t *testing.T, i int, used bool, step int) (reached bool) {
	t.Helper()
	ctx, dir := t.Context(), memoryDir(t)
	other, b := open(t, dir, "store", nil), open(t, dir, "store", nil)
	spy := &disktest.Spy{System: b.system}
	b.system = spy
	b.sweepers, b.syncers, b.counters = 1, 1, 1 // the steps have an order
	seeded := other
	if used {
		seeded = b
	}
	c := callsBesideDelete(drivertest.SeedCalls(t, seeded))[i]
	n := 0
	spy.Set(func(string, string) error {
		if spy.Holds(func(at string) bool { return !isLog(path.Base(at)) }) { // DeleteStorage waits for all other locks
			return nil
		}
		if n++; n == step {
			must(t, other.DeleteStorage(ctx))
		}
		return nil
	})
	makes := slices.Contains([]string{"create", "create labelled", "create over expired", "upsert", "batch", "create storage"}, c.Name)
	if err := c.Do(ctx, b); err != nil && (makes || !errors.Is(err, model.ErrNotFound)) {
		t.Errorf("the storage was deleted before step %d: %s", step, drivertest.Causes(err))
	}
	spy.Set(nil)
	must(t, b.CreateStorage(ctx))
	r := write(t, b, driver.IfAny, newRecord("next", "eve", inHour))
	holds(t, other, r)
	lists(t, other, "eve", r)
	must(t, b.Close())
	if left := spy.Handles(); left != 0 {
		t.Errorf("%d files stay open", left)
	}
	return n >= step
}
