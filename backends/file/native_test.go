package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func open(t testing.TB, dir, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(dir, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// memoryDir is a folder of a test whose point is not the disk: on a file system
// in memory where the system has one in a well-known place.
func memoryDir(t testing.TB) string {
	t.Helper()
	place := memoryPlace()
	if place == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(place, "sojourn-file-") //nolint:usetesting // elsewhere than TempDir
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// files returns all files below a directory.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// entries returns the files below the indexes.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	for _, f := range files(t, dir) {
		if strings.HasPrefix(f, labelsDir) || strings.HasPrefix(f, expiryDir) {
			out = append(out, f)
		}
	}
	return out
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for", "us")
	b := open(t, dir, "store", nil)
	mustWrite(t, b, driver.IfAbsent, newRecord("a", `1`, "ann", inHour))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want && os.PathSeparator == '/' {
			t.Errorf("%s has the mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSymlinks puts a symbolic link that leads out of the store in the place
// of each kind of folder and of a record.
func TestSymlinks(t *testing.T) {
	ctx := context.Background()
	rec := newRecord("a", `1`, "ann", inHour)
	p := placeOf("a")
	e := entriesOf(&p, &rec)
	tests := map[string]struct {
		path  string // replaced by the link
		reads error  // of Get
	}{
		"the store":          {"", model.ErrUnavailable},
		"records":            {recordsDir, model.ErrUnavailable},
		"a shard":            {p.dir(), model.ErrUnavailable},
		"a record":           {p.path(), model.ErrCorrupt},
		"temporary files":    {tmpDir, nil},
		"the locks":          {locksDir, nil},
		"a lock":             {lockName(p.stripe()), nil},
		"the expiries":       {expiryDir, nil},
		"labels":             {labelBase("principal"), nil},
		"a label's value":    {e[0].base + "/" + e[0].sub, nil},
		"a minute's expiry":  {e[1].base + "/" + e[1].sub, nil},
		"an entry of labels": {e[0].base + "/" + e[0].sub + "/" + e[0].name, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			outside, dir := memoryDir(t), memoryDir(t)
			other := newRecord("b", `1`, "", time.Time{})
			donor := open(t, outside, "store", nil)
			mustWrite(t, donor, driver.IfAbsent, rec)
			mustWrite(t, donor, driver.IfAbsent, other)
			before := fmt.Sprint(files(t, outside))

			first := open(t, dir, "store", nil)
			mustWrite(t, first, driver.IfAbsent, rec)
			_ = first.Close()
			path := filepath.Join(dir, "store", filepath.FromSlash(tt.path))
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(outside, "store", filepath.FromSlash(tt.path)), path); err != nil {
				t.Skip("this system makes no symbolic links: " + err.Error())
			}

			b := open(t, dir, "store", nil)
			if _, err := b.Get(ctx, testNow, driver.Get{ID: "a"}); model.Kind(err) != tt.reads {
				t.Errorf("Get: %v, want %v", err, tt.reads)
			}
			next := newRecord("a", `2`, "ann", inDay)
			if _, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfPresent}); err != nil {
				if k := model.Kind(err); k != model.ErrUnavailable && k != model.ErrCorrupt {
					t.Errorf("Update: %v", err)
				}
			}
			_, _ = b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfAny})
			_, _ = b.Touch(ctx, testNow, driver.Touch{ID: "a", Mode: driver.TouchSet, ExpiresAt: inHour})
			_, _ = b.Page(ctx, testNow, driver.Query{Limit: 10})
			_, _ = b.Page(ctx, testNow, driver.Query{Limit: 10, Label: "principal", Value: "ann"})
			_, _ = b.DeleteExpired(ctx, driver.Sweep{Before: inDay.Add(time.Hour), Limit: 10})
			_ = b.Delete(ctx, testNow, driver.Delete{ID: "a", Cond: driver.IfPresent})
			_ = b.CreateStorage(ctx)
			_ = b.DeleteStorage(ctx)
			if after := fmt.Sprint(files(t, outside)); after != before {
				t.Errorf("files outside changed:\n%s\n%s", before, after)
			}
			if got, err := donor.Get(ctx, testNow, driver.Get{ID: "a"}); err != nil || got.Revision != rec.Revision {
				t.Errorf("the record outside: %v, %v", got, err)
			}
		})
	}
}

// TestDamagedFile checks that only an upsert gets past a damaged record.
func TestDamagedFile(t *testing.T) {
	ctx := context.Background()
	id := strings.Repeat("long", 100)
	rec := newRecord(id, `1`, "ann", inHour)
	whole := driverkit.AppendRecord(nil, &rec)
	newer := append([]byte(nil), whole...)
	newer[len("sojourn")]++
	other := newRecord("other", `1`, "ann", inHour)
	tests := map[string][]byte{
		"empty": {}, "truncated": whole[:len(whole)-1], "foreign": []byte("#!/bin/sh\n"), "newer": newer, "of another id": driverkit.AppendRecord(nil, &other),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
			b := open(t, dir, "store", nil)
			mustWrite(t, b, driver.IfAbsent, rec)
			mustWrite(t, b, driver.IfAbsent, newRecord("good", `1`, "ann", inHour))
			p := placeOf(id)
			path := filepath.Join(dir, "store", filepath.FromSlash(p.path()))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			next := newRecord(id, `2`, "bob", inDay)
			_, getErr := b.Get(ctx, testNow, driver.Get{ID: id})
			_, createErr := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfAbsent})
			_, updateErr := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfPresent})
			_, casErr := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfMatch, Known: rec})
			_, touchErr := b.Touch(ctx, testNow, driver.Touch{ID: id, Mode: driver.TouchClear})
			deleteErr := b.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent})
			swept, sweepErr := b.DeleteExpired(ctx, driver.Sweep{Before: inDay, Limit: 10, OnExpire: func(r model.Record) error {
				if r.ID == "good" {
					return errors.New("stays")
				}
				return nil
			}})
			for what, err := range map[string]error{"get": getErr, "create": createErr, "update": updateErr, "compare-and-set": casErr, "touch": touchErr, "delete": deleteErr} {
				if model.Kind(err) != model.ErrCorrupt {
					t.Errorf("%s: %v", what, err)
				}
			}
			if swept.Removed != 0 || sweepErr != nil {
				t.Errorf("the sweep: %+v, %v", swept, sweepErr)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
				t.Errorf("the file changed: %v", err)
			}
			for _, q := range []driver.Query{{Limit: 10}, {Limit: 10, Label: "principal", Value: "ann"}} {
				page, err := b.Page(ctx, testNow, q)
				if err != nil || len(page.Records) != 1 || fmt.Sprint(page.Corrupt) != fmt.Sprint([]string{p.name}) {
					t.Errorf("a listing: %d records, corrupt %v, %v", len(page.Records), page.Corrupt, err)
				}
			}
			mustWrite(t, b, driver.IfAny, next)
			if got, err := b.Get(ctx, testNow, driver.Get{ID: id}); err != nil || got.Revision != next.Revision {
				t.Errorf("after the upsert: %v, %v", got, err)
			}
			if l := listed(t, b, "ann"); len(l) != 1 {
				t.Errorf("the old label lists %d records", len(l))
			}
		})
	}
}

// TestForeignFilesAreIgnored puts things that the store did not make into its
// folders: they are not listed, and DeleteStorage leaves what is beside them.
func TestForeignFilesAreIgnored(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	rec := newRecord("a", `1`, "ann", inHour)
	mustWrite(t, b, driver.IfAbsent, rec)
	neighbour := open(t, dir, "store2", nil)
	mustWrite(t, neighbour, driver.IfAbsent, rec)
	p := placeOf("a")
	e := entriesOf(&p, &rec)
	for _, at := range []string{"", recordsDir, p.dir(), tmpDir, expiryDir, e[1].base + "/" + e[1].sub, e[0].base + "/" + e[0].sub} {
		if err := os.WriteFile(filepath.Join(dir, "store", filepath.FromSlash(at), "README"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "store", filepath.FromSlash(p.dir()), "i-folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if l := listed(t, b, ""); len(l) != 1 {
		t.Errorf("%d records", len(l))
	}
	if l := listed(t, b, "ann"); len(l) != 1 {
		t.Errorf("%d records by label", len(l))
	}
	if n, err := b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 10}); n.Removed != 1 || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(files(t, filepath.Join(dir, "store"))); got != "[README]" {
		t.Errorf("DeleteStorage left %s", got)
	}
	if got, err := neighbour.Get(ctx, testNow, driver.Get{ID: "a"}); err != nil || got.Revision != rec.Revision {
		t.Errorf("the neighbour: %v, %v", got, err)
	}
}

// TestFolderInPlaceOfRecord checks that what is no file is ErrCorrupt.
func TestFolderInPlaceOfRecord(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	p := placeOf("a")
	if err := os.Mkdir(filepath.Join(dir, "store", filepath.FromSlash(p.path())), 0o700); err != nil {
		t.Fatal(err)
	}
	_, getErr := b.Get(ctx, testNow, driver.Get{ID: "a"})
	_, createErr := b.Write(ctx, testNow, driver.Write{Record: newRecord("a", `1`, "", time.Time{}), Cond: driver.IfAbsent})
	_, upsertErr := b.Write(ctx, testNow, driver.Write{Record: newRecord("a", `1`, "", time.Time{}), Cond: driver.IfAny})
	for what, err := range map[string]error{"get": getErr, "create": createErr, "upsert": upsertErr} {
		if model.Kind(err) != model.ErrCorrupt {
			t.Errorf("%s: %v", what, err)
		}
	}
	if left := files(t, filepath.Join(dir, "store", tmpDir)); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestLeftovers makes a write stop dead at each of its steps and checks that a
// sweep removes what it left, with its index entries, and nothing else.
func TestLeftovers(t *testing.T) {
	ctx := context.Background()
	for step := 1; ; step++ {
		dir := memoryDir(t)
		b, s := spied(t, dir, &Options{NoSync: true})
		old := newRecord("old", `1`, "ann", inDay)
		mustWrite(t, b, driver.IfAbsent, old)
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
		_, err := b.Write(ctx, testNow, driver.Write{Record: newRecord("new", `1`, "bob", inHour), Cond: driver.IfAbsent})
		s.Set(nil)
		if !dead {
			return
		}
		if _, getErr := b.Get(ctx, testNow, driver.Get{ID: "new"}); err != nil && !errors.Is(err, model.ErrUnknown) && !errors.Is(getErr, model.ErrNotFound) {
			t.Errorf("step %d: %v, then %v", step, err, getErr)
		}
		for id := range listed(t, b, "") {
			if id != "old" && id != "new" {
				t.Errorf("step %d: %q is listed", step, id)
			}
		}
		if _, err := b.DeleteExpired(ctx, driver.Sweep{Before: inHour.Add(time.Hour), Limit: 10}); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
		if left := files(t, filepath.Join(dir, "store", tmpDir)); len(left) != 0 {
			t.Errorf("step %d: left over %v", step, left)
		}
		if left := entries(t, filepath.Join(dir, "store")); len(left) != 2 {
			t.Errorf("step %d: entries %v", step, left)
		}
		if got, err := b.Get(ctx, testNow, driver.Get{ID: "old"}); err != nil || got.Revision != old.Revision {
			t.Errorf("step %d: %v, %v", step, got, err)
		}
	}
}

var errDead = errors.New("dead")

// TestSweepSparesWritesInProgress sweeps while another Backend is between its
// temporary file and the rename.
func TestSweepSparesWritesInProgress(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	writer, s := spied(t, dir, nil)
	sweeper := open(t, dir, "store", nil)
	rec := newRecord("a", `1`, "ann", inHour)
	s.Set(func(op, path string) error {
		if op != "rename" {
			return nil
		}
		if n, err := sweeper.DeleteExpired(ctx, driver.Sweep{Before: inDay, Limit: 10}); err != nil || n.Removed != 0 {
			t.Errorf("the sweep: %+v, %v", n, err)
		}
		page, err := sweeper.Page(ctx, testNow, driver.Query{Limit: 10, Label: "principal", Value: "ann"})
		if err != nil || len(page.Records) != 0 {
			t.Errorf("a listing: %+v, %v", page, err)
		}
		if left := files(t, filepath.Join(dir, "store", tmpDir)); len(left) != 1 {
			t.Errorf("temporary files: %v", left)
		}
		return nil
	})
	// Not due yet: over a due entry the sweep waits for the writer.
	rec.ExpiresAt = inDay.Add(time.Hour)
	mustWrite(t, writer, driver.IfAbsent, rec)
	if l := listed(t, sweeper, "ann"); l["a"] != rec.Revision.String() {
		t.Errorf("listed: %v", l)
	}
}

// TestSweepSparesWhatMovesWithinItsMinute changes an announced record so that
// its index entry stays the same.
func TestSweepSparesWhatMovesWithinItsMinute(t *testing.T) {
	ctx := context.Background()
	at := testNow.Truncate(time.Minute).Add(time.Minute)
	for name, change := range map[string]func(*Backend, model.Record) error{
		"touch": func(b *Backend, r model.Record) error {
			return onlyErr(b.Touch(ctx, testNow, driver.Touch{ID: r.ID, Mode: driver.TouchExtend, ExpiresAt: at.Add(time.Second)}))
		},
		"update": func(b *Backend, r model.Record) error {
			next := newRecord(r.ID, `2`, "bob", at)
			return onlyErr(b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfPresent}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, memoryDir(t), "store", nil)
			mustWrite(t, b, driver.IfAbsent, newRecord("a", `1`, "ann", at))
			n, err := b.DeleteExpired(ctx, driver.Sweep{Before: at, Limit: 10, OnExpire: func(r model.Record) error {
				if err := change(b, r); err != nil {
					t.Error(err)
				}
				return nil
			}})
			if n.Removed != 0 || err != nil {
				t.Errorf("%+v, %v", n, err)
			}
			if n, err := b.DeleteExpired(ctx, driver.Sweep{Before: at.Add(time.Second), Limit: 10}); n.Removed != 1 || err != nil {
				t.Errorf("once it is due: %+v, %v", n, err)
			}
		})
	}
}

// TestStraysArePruned checks that a listing removes entries whose records do
// not bear the label, and no others.
func TestStraysArePruned(t *testing.T) {
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	mustWrite(t, b, driver.IfAbsent, newRecord("a", `1`, "ann", inDay))
	mustWrite(t, b, driver.IfAbsent, newRecord("b", `1`, "bob", inDay))
	folder := filepath.Join(dir, "store", filepath.FromSlash(labelBase("principal")), filepath.FromSlash(labelSub("ann")))
	for _, id := range []string{"b", "gone"} {
		p := placeOf(id)
		if err := os.WriteFile(filepath.Join(folder, p.entry()), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if l := listed(t, b, "ann"); len(l) != 1 {
		t.Errorf("listed: %v", l)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("entries: %v, %v", left, err)
	}
	if l := listed(t, b, "bob"); len(l) != 1 {
		t.Errorf("listed: %v", l)
	}
}

// TestPruneLooksAgain writes a record between a listing's look at its entry,
// then a stray, and the removal of the stray.
func TestPruneLooksAgain(t *testing.T) {
	dir := memoryDir(t)
	writer := open(t, dir, "store", nil)
	lister, s := spied(t, dir, nil)
	mustWrite(t, writer, driver.IfAbsent, newRecord("a", `1`, "ann", inDay))
	p := placeOf("late")
	path := filepath.Join(dir, "store", filepath.FromSlash(labelBase("principal")), filepath.FromSlash(labelSub("ann")), p.entry())
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := false
	s.Set(func(op, _ string) error {
		if op == "trylock" && !done {
			done = true
			mustWrite(t, writer, driver.IfAbsent, newRecord("late", `1`, "ann", inDay))
		}
		return nil
	})
	listed(t, lister, "ann")
	s.Set(nil)
	if l := listed(t, lister, "ann"); !done || len(l) != 2 {
		t.Errorf("written: %v, listed: %v", done, l)
	}
}

// TestNothingIsLeft checks that the indexes are empty once all is removed.
func TestNothingIsLeft(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	for i := range 20 {
		id := fmt.Sprint(i)
		mustWrite(t, b, driver.IfAbsent, newRecord(id, `1`, "ann", inHour))
		mustWrite(t, b, driver.IfPresent, newRecord(id, `2`, "bob", inDay))
		if i%2 == 0 {
			if err := b.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := b.DeleteExpired(ctx, driver.Sweep{Before: inDay.Add(time.Minute), Limit: 100}); n != (driver.Swept{Removed: 10}) || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
	if n, err := b.DeleteExpired(ctx, driver.Sweep{Before: inDay.Add(24 * time.Hour), Limit: 100}); n != (driver.Swept{}) || err != nil {
		t.Errorf("on the next day: %+v, %v", n, err)
	}
	for _, f := range files(t, filepath.Join(dir, "store")) {
		if !strings.HasPrefix(f, locksDir) {
			t.Errorf("left: %s", f)
		}
	}
	for _, empty := range []string{filepath.Join(labelBase("principal"), "*", "*"), filepath.Join(expiryDir, "*")} {
		if left, _ := filepath.Glob(filepath.Join(dir, "store", empty)); len(left) != 0 {
			t.Errorf("folders left: %v", left)
		}
	}
}

// TestTwoBackendsRace lets two Backends, each with its own open files as two
// processes have, create and compare-and-set the same record.
func TestTwoBackendsRace(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	var created, written atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 {
		b := open(t, dir, "store", &Options{NoSync: i == 0})
		for range 8 {
			wg.Go(func() {
				_, err := b.Write(ctx, testNow, driver.Write{Record: newRecord("a", "0", "", time.Time{}), Cond: driver.IfAbsent})
				if err == nil {
					created.Add(1)
				} else if !errors.Is(err, model.ErrExists) {
					t.Error(err)
				}
				for done := 0; done < 10; {
					cur, err := b.Get(ctx, testNow, driver.Get{ID: "a"})
					if err != nil {
						t.Error(err)
						return
					}
					var n int
					_, _ = fmt.Sscan(string(cur.Value), &n)
					_, err = b.Write(ctx, testNow, driver.Write{Record: newRecord("a", fmt.Sprint(n+1), "", time.Time{}), Cond: driver.IfMatch, Known: cur})
					if err == nil {
						done++
						written.Add(1)
					} else if !errors.Is(err, model.ErrConflict) {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	got, err := open(t, dir, "store", nil).Get(ctx, testNow, driver.Get{ID: "a"})
	if err != nil || created.Load() != 1 || string(got.Value) != fmt.Sprint(written.Load()) || written.Load() != 160 {
		t.Errorf("%d creates, %d writes, counter %s, %v", created.Load(), written.Load(), got.Value, err)
	}
}

// TestWaitingForALockEndsWithTheContext cancels a writer that waits for a lock
// held in this Backend, and one that waits for another Backend's.
func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	dir := memoryDir(t)
	holder, s := spied(t, dir, nil)
	other := open(t, dir, "store", nil)
	first := newRecord("a", `1`, "", time.Time{})
	s.Set(func(op, path string) error {
		if op != "rename" {
			return nil
		}
		for name, b := range map[string]*Backend{"same": holder, "other": other} {
			ctx, cancel := context.WithCancel(context.Background())
			waits := make(chan struct{})
			ctx = &watched{Context: ctx, asked: sync.OnceFunc(func() { close(waits) })}
			got := make(chan error)
			go func() {
				_, err := b.Write(ctx, testNow, driver.Write{Record: newRecord("a", `2`, "", time.Time{}), Cond: driver.IfAny})
				got <- err
			}()
			<-waits
			cancel()
			if err := <-got; !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
	mustWrite(t, holder, driver.IfAbsent, first)
	s.Set(nil)
	if got, err := other.Get(context.Background(), testNow, driver.Get{ID: "a"}); err != nil || got.Revision != first.Revision {
		t.Errorf("%v, %v", got, err)
	}
}

// mustWait checks that a call waits for a lock.
func mustWait(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := do(&watched{Context: ctx, asked: cancel})
	if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Errorf("%s did not wait: %v", what, err)
	}
}

// sameStripe returns ids of one stripe, each of a shard of its own.
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

// TestLockOfDeletedStorage holds a lock file that DeleteStorage removed while a
// foreign file kept the store's folder: it excludes nobody and must not count.
func TestLockOfDeletedStorage(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	ids := sameStripe(3)
	a, s := spied(t, dir, nil)
	b := open(t, dir, "store", nil)
	mustWrite(t, a, driver.IfAbsent, newRecord(ids[0], `1`, "", time.Time{}))
	if err := os.WriteFile(filepath.Join(dir, "store", "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(ctx, testNow, driver.Delete{ID: ids[1], Cond: driver.IfPresent}); !errors.Is(err, model.ErrNotFound) {
		t.Fatal(err)
	}
	if err := a.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	s.Set(func(op, _ string) error {
		if op == "rename" {
			mustWait(t, "a create of the same id", func(ctx context.Context) error {
				return onlyErr(b.Write(ctx, testNow, driver.Write{Record: newRecord(ids[2], `1`, "", time.Time{}), Cond: driver.IfAbsent}))
			})
		}
		return nil
	})
	mustWrite(t, a, driver.IfAbsent, newRecord(ids[2], `1`, "", time.Time{}))
}

// TestListingExcludesWriters checks that the names of a shard are read under
// its lock: some file systems hide a name while a rename replaces its file.
func TestListingExcludesWriters(t *testing.T) {
	dir := memoryDir(t)
	a, s := spied(t, dir, nil)
	b := open(t, dir, "store", nil)
	rec := newRecord("a", `1`, "", time.Time{})
	mustWrite(t, b, driver.IfAbsent, rec)
	p, read := placeOf("a"), 0
	s.Set(func(op, path string) error {
		if op == "names" && strings.HasSuffix(path, p.dir()) {
			read++
			mustWait(t, "a write", func(ctx context.Context) error {
				return b.Delete(ctx, testNow, driver.Delete{ID: "a", Cond: driver.IfPresent})
			})
		}
		return nil
	})
	if l := listed(t, a, ""); l["a"] != rec.Revision.String() || read != 1 {
		t.Errorf("listed %v by %d readings", l, read)
	}
}

// TestFolderSeenBeforeItIsDurable writes a record into a label's folder that
// another write has made and not yet synced: it syncs the folder's parent too.
func TestFolderSeenBeforeItIsDurable(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	if err := b.CreateStorage(context.Background()); err != nil {
		t.Fatal(err)
	}
	parent := "store/" + labelBase("principal") + "/" + labelSub("ann")[:2]
	nested, synced := false, map[string]bool{}
	s.Set(func(op, path string) error {
		switch {
		case op != "fsync":
		case nested:
			synced[path] = true
		case path == parent:
			nested = true
			mustWrite(t, b, driver.IfAbsent, newRecord("b", `1`, "ann", time.Time{}))
			nested = false
			if !synced[parent] {
				t.Errorf("synced %v", synced)
			}
		}
		return nil
	})
	mustWrite(t, b, driver.IfAbsent, newRecord("a", `1`, "ann", time.Time{}))
	if len(synced) == 0 {
		t.Error("no folder was made")
	}
}

// watched tells when somebody waits for the context's end.
type watched struct {
	context.Context
	asked func()
}

func (w *watched) Done() <-chan struct{} {
	w.asked()
	return w.Context.Done()
}

// TestStorageDeletedByOthers deletes and makes the storage while other
// Backends have it open: they see the new one, and nothing of the old.
func TestStorageDeletedByOthers(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	a, b := open(t, dir, "store", nil), open(t, dir, "store", nil)
	lister, sweeper := open(t, dir, "store", nil), open(t, dir, "store", nil)
	for round := range 5 {
		mustWrite(t, a, driver.IfAbsent, newRecord("a", `1`, "ann", inHour))
		if l := listed(t, b, "ann"); len(l) != 1 {
			t.Errorf("round %d: %v", round, l)
		}
		if err := a.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if _, err := b.Get(ctx, testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrNotFound) {
			t.Errorf("round %d: %v", round, err)
		}
		again := mustWrite(t, a, driver.IfAbsent, newRecord("a", `2`, "ann", inHour))
		if got, err := b.Get(ctx, testNow, driver.Get{ID: "a"}); err != nil || got.Revision != again.Revision {
			t.Errorf("round %d: %v, %v", round, got, err)
		}
		if l := listed(t, b, "ann"); l["a"] != again.Revision.String() {
			t.Errorf("round %d: %v", round, l)
		}
		for _, principal := range []string{"", "ann"} {
			if l := listed(t, lister, principal); l["a"] != again.Revision.String() {
				t.Errorf("round %d: listed by %q: %v", round, principal, l)
			}
		}
		if n, err := sweeper.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 10}); n.Removed != 1 || err != nil {
			t.Errorf("round %d: %+v, %v", round, n, err)
		}
		mustWrite(t, a, driver.IfAbsent, newRecord("a", `2`, "ann", inHour))
		if err := b.Delete(ctx, testNow, driver.Delete{ID: "a", Cond: driver.IfPresent}); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
}

// TestStorageDeletedMeanwhile writes and deletes the storage at once: a write
// that succeeds after the last deletion is there.
func TestStorageDeletedMeanwhile(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	a, b := open(t, dir, "store", &Options{NoSync: true}), open(t, dir, "store", &Options{NoSync: true})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 60 {
				rec := newRecord(fmt.Sprintf("%d-%d", i, n), `1`, "ann", inHour)
				if _, err := b.Write(ctx, testNow, driver.Write{Record: rec, Cond: driver.IfAny}); err != nil {
					t.Errorf("write: %v", err)
				}
				if _, err := b.Get(ctx, testNow, driver.Get{ID: rec.ID}); err != nil && !errors.Is(err, model.ErrNotFound) {
					t.Errorf("get: %v", err)
				}
				if _, err := b.Page(ctx, testNow, driver.Query{Limit: 5}); err != nil {
					t.Errorf("page: %v", err)
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
	last := mustWrite(t, b, driver.IfAny, newRecord("last", `1`, "ann", inHour))
	if got, err := a.Get(ctx, testNow, driver.Get{ID: "last"}); err != nil || got.Revision != last.Revision {
		t.Errorf("%v, %v", got, err)
	}
}

// TestCrossVet vets the package, which compiles it with its tests, for the
// systems that it has code for, and the seam for one without locks. The first
// time compiles the standard library for each.
func TestCrossVet(t *testing.T) {
	for system, pkgs := range map[string]string{
		"windows/amd64": "./...", "darwin/arm64": "./...", "freebsd/amd64": "./...", "js/wasm": "./internal/disk",
	} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			goos, goarch, _ := strings.Cut(system, "/")
			cmd := exec.CommandContext(t.Context(), "go", "vet", pkgs)
			cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// TestRebuild loses the indexes, or parts of them, or has entries in them that
// belong to no record, and has them made again while others write.
func TestRebuild(t *testing.T) {
	ctx := context.Background()
	for name, damage := range map[string]func(t *testing.T, store string){
		"nothing": func(*testing.T, string) {},
		"both lost": func(t *testing.T, store string) {
			t.Helper()
			for _, index := range []string{labelsDir, expiryDir} {
				if err := os.RemoveAll(filepath.Join(store, index)); err != nil {
					t.Fatal(err)
				}
			}
		},
		"records alone restored": func(t *testing.T, store string) {
			t.Helper()
			left, err := os.ReadDir(store)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if e.Name() == recordsDir {
					continue
				}
				if err := os.RemoveAll(filepath.Join(store, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
		},
		"every second entry lost": func(t *testing.T, store string) {
			t.Helper()
			for i, e := range entries(t, store) {
				if i%2 == 0 {
					if err := os.Remove(filepath.Join(store, filepath.FromSlash(e))); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
		"strays": func(t *testing.T, store string) {
			t.Helper()
			for _, id := range []string{"0", "7", "gone"} {
				p := placeOf(id)
				rec := newRecord(id, `1`, "carol", inDay.Add(time.Hour))
				rec.Labels["old"] = "x"
				for _, e := range entriesOf(&p, &rec) {
					folder := filepath.Join(store, filepath.FromSlash(e.base), filepath.FromSlash(e.sub))
					if err := os.MkdirAll(folder, 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(folder, e.name), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
			before := open(t, dir, "store", nil) // goes on with the folders it has opened
			truth := map[string]state{}
			for i := range 40 {
				rec := big(fmt.Sprint(i), []string{"ann", "bob"}[i%2], inHour.Add(time.Duration(i)*time.Minute))
				truth[rec.ID] = stateOf(mustWrite(t, before, driver.IfAbsent, rec))
			}
			store := filepath.Join(dir, "store")
			whole := fmt.Sprint(entries(t, store))
			damage(t, store)
			broken := fmt.Sprint(entries(t, store)) != whole

			b := open(t, dir, "store", nil)
			changes, err := b.Rebuild(ctx)
			if err != nil || (changes > 0) != broken {
				t.Errorf("%d changes, %v", changes, err)
			}
			if got := fmt.Sprint(entries(t, store)); got != whole {
				t.Errorf("entries\n%s, want\n%s", got, whole)
			}
			for _, b := range []*Backend{b, before} {
				if err := audit(b, truth, nil); err != nil {
					t.Error(err)
				}
			}
			if n, err := b.Rebuild(ctx); n != 0 || err != nil {
				t.Errorf("a second time: %d changes, %v", n, err)
			}
			if n, err := before.DeleteExpired(ctx, driver.Sweep{Before: inDay, Limit: 100}); n.Removed != len(truth) || err != nil {
				t.Errorf("the sweep: %+v, %v", n, err)
			}
			if left := entries(t, store); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
	if n, err := open(t, memoryDir(t), "store", nil).Rebuild(ctx); n != 0 || err != nil {
		t.Errorf("of no store: %d, %v", n, err)
	}
}

// TestRebuildWhileOthersWrite rebuilds again and again while other Backends
// write, delete and sweep: every write is found by its label, and at the end
// the indexes have what they must and no more.
func TestRebuildWhileOthersWrite(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	truths := make([]map[string]state, 4)
	var wg sync.WaitGroup
	for who := range truths {
		truths[who] = map[string]state{}
		b := open(t, dir, "store", nil)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(who), 7))
			for range 150 {
				id := fmt.Sprint(who, "-", r.IntN(10))
				next, do, err := plan(b, r.IntN, id)
				if err == nil {
					err = do()
				}
				if err != nil {
					t.Error(err)
					return
				}
				truths[who][id] = stateOf(next)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	b := open(t, dir, "store", nil)
	rounds := 0
	for running := true; running; rounds++ {
		select {
		case <-done:
			running = false
		default:
		}
		if _, err := b.Rebuild(ctx); err != nil {
			t.Error(err)
		}
	}
	if n, err := b.Rebuild(ctx); n != 0 || err != nil {
		t.Errorf("afterwards %d changes, %v", n, err)
	}
	for _, truth := range truths[1:] {
		maps.Copy(truths[0], truth)
	}
	if err := audit(b, truths[0], nil); err != nil {
		t.Error(err)
	}
	t.Logf("%d rounds", rounds)
}
