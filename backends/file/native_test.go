package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

var (
	now    = drivertest.Now
	inHour = now.Add(time.Hour)
	inDay  = now.Add(24 * time.Hour)
)

func open(t testing.TB, dir, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(dir, name, opts)
	must(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// must ends the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func onlyErr[T any](_ T, err error) error { return err }

// newRecord returns a record with a new revision. An empty principal means no
// labels, and a zero expiry means that it never expires.
func newRecord(id, principal string, expires time.Time) model.Record {
	r := drivertest.Record(id, principal, 0)
	r.ExpiresAt = expires
	return r
}

// write stores a record and returns what Write returns.
func write(t testing.TB, b *Backend, c driver.Condition, r model.Record) model.Record {
	t.Helper()
	out, err := b.Write(context.Background(), now, driver.Write{Record: r, Cond: c})
	if err != nil {
		t.Fatalf("write of %q: %v", r.ID, err)
	}
	return out
}

func create(t testing.TB, b *Backend, r model.Record) model.Record {
	t.Helper()
	return write(t, b, driver.IfAbsent, r)
}

func remove(ctx context.Context, b *Backend, id string) error {
	return b.Delete(ctx, now, driver.Delete{ID: id, Cond: driver.IfPresent})
}

// holds checks that the live record is the one that was written.
func holds(t testing.TB, b *Backend, r model.Record) {
	t.Helper()
	drivertest.Holds(t, b, r.ID, r.Revision, r.ExpiresAt)
}

// sweeps checks how many records a sweep removes.
func sweeps(t testing.TB, b *Backend, before time.Time, want int) {
	t.Helper()
	n, err := b.DeleteExpired(context.Background(), driver.Sweep{Before: before, Limit: 10_000})
	if n != (driver.Swept{Removed: want}) || err != nil {
		t.Errorf("the sweep of what expires at %v: %+v, %v; want %d removed", before, n, err, want)
	}
}

// list returns the revisions of a listing by id.
func list(b *Backend, label, value string) (map[string]string, error) {
	q := driver.Query{Limit: 7, Label: label, Value: value}
	out := map[string]string{}
	for {
		p, err := b.Page(context.Background(), now, q)
		if err == nil && len(p.Corrupt) > 0 {
			err = fmt.Errorf("%q cannot be read", p.Corrupt)
		}
		if err != nil {
			return out, err
		}
		for _, r := range p.Records {
			if _, twice := out[r.ID]; twice {
				return out, fmt.Errorf("%q is listed twice", r.ID)
			}
			out[r.ID] = r.Revision.String()
		}
		if p.Next == "" {
			return out, nil
		}
		q.After = p.Next
	}
}

// lists checks that the records of a principal, or all if it is empty, are
// exactly these.
func lists(t testing.TB, b *Backend, principal string, want ...model.Record) {
	t.Helper()
	label := ""
	if principal != "" {
		label = "principal"
	}
	revisions := map[string]string{}
	for _, r := range want {
		revisions[r.ID] = r.Revision.String()
	}
	if got, err := list(b, label, principal); err != nil || !maps.Equal(got, revisions) {
		t.Errorf("the listing of %q has %v, %v; want %v", principal, got, err, revisions)
	}
}

// memoryDir returns a folder for a test that does not need a real disk. It is
// on a file system in memory if the system has one in a well-known place.
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

// in returns the path of something in the store of a directory.
func in(dir string, slashed ...string) string {
	return filepath.Join(dir, "store", filepath.FromSlash(strings.Join(slashed, "/")))
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o600))
}

// files returns all files below a directory.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	}))
	return out
}

// entries returns the files of the indexes.
func entries(t testing.TB, store string) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, store), func(f string) bool {
		return !strings.HasPrefix(f, labelsDir) && !strings.HasPrefix(f, expiryDir)
	})
}

// noTmp checks that no temporary file is left.
func noTmp(t testing.TB, dir string) {
	t.Helper()
	if left := files(t, in(dir, tmpDir)); len(left) != 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "New")
	create(t, open(t, dir, "store", nil), newRecord("a", "ann", inHour))
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
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
	}))
}

// TestSymlinks replaces each kind of folder, and a record, with a symbolic link
// out of the store. No call changes anything behind the link.
func TestSymlinks(t *testing.T) {
	rec := newRecord("id", "ann", inHour)
	p := placeOf("id")
	e := entriesOf(&p, &rec)
	tests := map[string]struct {
		path string // replaced by the link
		get  error  // the kind of Get's error
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
			donor := open(t, outside, "store", nil)
			drivertest.Seed(t, donor, rec, newRecord("b", "", time.Time{}))
			before := files(t, outside)

			first := open(t, dir, "store", nil)
			create(t, first, rec)
			_ = first.Close()
			must(t, os.RemoveAll(in(dir, tt.path)))
			if err := os.Symlink(in(outside, tt.path), in(dir, tt.path)); err != nil {
				t.Skip("this system makes no symbolic links: " + err.Error())
			}

			b := open(t, dir, "store", nil)
			ctx := t.Context()
			_, err := b.Get(ctx, now, driver.Get{ID: "id"})
			drivertest.WantKind(t, err, tt.get)
			err = drivertest.Pick(t, drivertest.Writes(rec), "update relabelled")[0].Do(ctx, b)
			if k := model.Kind(err); err != nil && k != model.ErrUnavailable && k != model.ErrCorrupt {
				t.Errorf("update: %v", err)
			}
			for _, c := range append(drivertest.Reads(), drivertest.Writes(rec)...) {
				_ = c.Do(ctx, b)
			}
			_, _ = b.DeleteExpired(ctx, driver.Sweep{Before: inDay.Add(time.Hour), Limit: 10})
			_ = b.CreateStorage(ctx)
			_ = b.DeleteStorage(ctx)
			if after := files(t, outside); !slices.Equal(after, before) {
				t.Errorf("the files outside are\n%s, want\n%s", after, before)
			}
			holds(t, donor, rec)
		})
	}
}

// TestDamagedFile checks that every call except an upsert returns ErrCorrupt
// for a damaged record and leaves it as it is.
func TestDamagedFile(t *testing.T) {
	id := strings.Repeat("long", 100)
	rec := newRecord(id, "ann", inHour)
	whole := driverkit.AppendRecord(nil, &rec)
	newer := bytes.Clone(whole)
	newer[len("sojourn")]++
	other := newRecord("other", "ann", inHour)
	tests := map[string][]byte{
		"empty": {}, "truncated": whole[:len(whole)-1], "foreign": []byte("#!/bin/sh\n"), "newer": newer, "of another id": driverkit.AppendRecord(nil, &other),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, dir := t.Context(), memoryDir(t)
			b := open(t, dir, "store", nil)
			drivertest.Seed(t, b, rec, newRecord("good", "ann", inHour))
			p := placeOf(id)
			path := in(dir, p.path())
			writeFile(t, path, data)
			next := newRecord(id, "bob", inDay)
			writeIf := func(c driver.Condition) error {
				return onlyErr(b.Write(ctx, now, driver.Write{Record: next, Cond: c, Known: rec}))
			}
			for what, err := range map[string]error{
				"get":    onlyErr(b.Get(ctx, now, driver.Get{ID: id})),
				"create": writeIf(driver.IfAbsent), "update": writeIf(driver.IfPresent), "compare-and-set": writeIf(driver.IfMatch),
				"touch":  onlyErr(b.Touch(ctx, now, driver.Touch{ID: id, Mode: driver.TouchClear})),
				"delete": remove(ctx, b, id),
			} {
				if model.Kind(err) != model.ErrCorrupt {
					t.Errorf("%s: %v, want %v", what, err, model.ErrCorrupt)
				}
			}
			swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: inDay, Limit: 10, OnExpire: func(r model.Record) error {
				if r.ID == "good" {
					return errors.New("stays")
				}
				return nil
			}})
			if swept.Removed != 0 || err != nil {
				t.Errorf("the sweep: %+v, %v", swept, err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
				t.Errorf("the file changed: %v", err)
			}
			for _, q := range []driver.Query{{Limit: 10}, {Limit: 10, Label: "principal", Value: "ann"}} {
				page, err := b.Page(ctx, now, q)
				if err != nil || len(page.Records) != 1 || !slices.Equal(page.Corrupt, []string{p.name}) {
					t.Errorf("a listing: %d records, corrupt %v, %v", len(page.Records), page.Corrupt, err)
				}
			}
			write(t, b, driver.IfAny, next)
			holds(t, b, next)
			if l, err := list(b, "principal", "ann"); len(l) != 1 || err != nil {
				t.Errorf("after the upsert the old label lists %v, %v", l, err)
			}
		})
	}
}

// TestForeignFilesAreIgnored puts foreign files into the store's folders. They
// are not listed, and DeleteStorage leaves all of them and says so.
func TestForeignFilesAreIgnored(t *testing.T) {
	dir := memoryDir(t)
	b, neighbour := open(t, dir, "store", nil), open(t, dir, "store2", nil)
	rec := newRecord("a", "ann", inHour)
	create(t, b, rec)
	create(t, neighbour, rec)
	p := placeOf("a")
	e := entriesOf(&p, &rec)
	for _, folder := range []string{"", recordsDir, p.dir(), tmpDir, expiryDir, e[1].base + "/" + e[1].sub, e[0].base + "/" + e[0].sub} {
		writeFile(t, in(dir, folder, "README"), []byte("x"))
	}
	must(t, os.Mkdir(in(dir, p.dir(), "i-folder"), 0o700))
	lists(t, b, "", rec)
	lists(t, b, "ann", rec)
	sweeps(t, b, inHour, 1)
	want := files(t, in(dir))
	want = slices.DeleteFunc(want, func(path string) bool { return !strings.HasSuffix(path, "README") })
	for range 2 {
		err := b.DeleteStorage(t.Context())
		if drivertest.WantKind(t, err, model.ErrCorrupt); !strings.Contains(err.Error(), "README") {
			t.Errorf("the error does not say what was found: %v", err)
		}
		if left := files(t, in(dir)); !slices.Equal(left, want) {
			t.Errorf("DeleteStorage left %s, want %s", left, want)
		}
	}
	if _, err := os.Stat(in(dir, p.dir(), "i-folder")); err != nil {
		t.Error(err)
	}
	holds(t, neighbour, rec)
}

// TestFolderUnderARecordsName checks that such a folder is ErrCorrupt.
func TestFolderUnderARecordsName(t *testing.T) {
	ctx, dir := t.Context(), memoryDir(t)
	b := open(t, dir, "store", nil)
	must(t, b.CreateStorage(ctx))
	p := placeOf("id")
	must(t, os.Mkdir(in(dir, p.path()), 0o700))
	errs := map[string]error{"get": onlyErr(b.Get(ctx, now, driver.Get{ID: "id"}))}
	for _, c := range []driver.Condition{driver.IfAbsent, driver.IfAny} {
		errs["write if "+c.String()] = onlyErr(b.Write(ctx, now, driver.Write{Record: newRecord("id", "", time.Time{}), Cond: c}))
	}
	for what, err := range errs {
		if model.Kind(err) != model.ErrCorrupt {
			t.Errorf("%s: %v, want %v", what, err, model.ErrCorrupt)
		}
	}
	noTmp(t, dir)
}

// revision.
func increment(ctx context.Context, b *Backend, id string) error {
	cur, err := b.Get(ctx, now, driver.Get{ID: id})
	if err != nil {
		return err
	}
	var n int
	if _, err := fmt.Sscan(string(cur.Value), &n); err != nil {
		return err
	}
	return onlyErr(b.Write(ctx, now, driver.Write{Record: counter(id, n+1), Cond: driver.IfMatch, Known: cur}))
}

func counter(id string, n int) model.Record {
	r := newRecord(id, "", inDay)
	r.Value = []byte(fmt.Sprint(n))
	return r
}

// TestTwoBackendsRace lets two Backends create and compare-and-set the same
// record. Each has its own open files, as two processes have.
func TestTwoBackendsRace(t *testing.T) {
	dir := t.TempDir()
	var created, written atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 {
		b := open(t, dir, "store", &Options{NoSync: i == 0})
		for range 8 {
			wg.Go(func() {
				_, err := b.Write(t.Context(), now, driver.Write{Record: counter("a", 0), Cond: driver.IfAbsent})
				if err == nil {
					created.Add(1)
				} else if !errors.Is(err, model.ErrExists) {
					t.Error(err)
				}
				for done := 0; done < 10; {
					err := increment(t.Context(), b, "a")
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
	got := drivertest.Get(t, open(t, dir, "store", nil), "a")
	if created.Load() != 1 || string(got.Value) != fmt.Sprint(written.Load()) || written.Load() != 160 {
		t.Errorf("%d creates, %d writes, counter %s; want 1, 160 and 160", created.Load(), written.Load(), got.Value)
	}
}

// TestFolderSeenBeforeItIsDurable writes a record into a label's folder that
// another write has made but not yet synced. The write also syncs the folder's
// parent.
func TestFolderSeenBeforeItIsDurable(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	s.NoWhole = true
	must(t, b.CreateStorage(t.Context()))
	parent := "store/" + labelBase("principal") + "/" + labelSub("ann")[:2]
	nested, synced := false, map[string]bool{}
	s.On("fsync", func(path string) {
		if nested {
			synced[path] = true
		} else if path == parent {
			nested = true
			create(t, b, newRecord("b", "ann", time.Time{}))
			nested = false
			if !synced[parent] {
				t.Errorf("synced %v, want %s too", synced, parent)
			}
		}
	})
	create(t, b, newRecord("a", "ann", time.Time{}))
	if len(synced) == 0 {
		t.Error("no folder was made")
	}
}

// TestCrossVet vets the package with its tests for each system that it has code
// for, and package disk for one without locks. The first run compiles the
// standard library for each system.
func TestCrossVet(t *testing.T) {
	for system, pkgs := range map[string]string{
		"windows/amd64": "./...", "darwin/arm64": "./...", "freebsd/amd64": "./...",
		"solaris/amd64": "./internal/disk", "aix/ppc64": "./internal/disk", "js/wasm": "./internal/disk",
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

const (
	powerSeeds = 250
	dropSeeds  = 1000 // a missing sync must show within these
)

// TestPowerCut cuts the power at random calls to the file system of any
// operation. Every acknowledged write survives the cut, complete and found by
// its labels. Then the test leaves out each sync of the backend's code in turn: a
// power cut must show that it is missing.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for mode, seeds := range []uint64{withLog: powerSeeds, withoutLog: powerSeeds / 4, moved: powerSeeds / 4} {
		mode := powerMode(mode)
		if disktest.Race {
			t.Logf("mode %d: with the race detector %d seeds, else %d", mode, seeds/5, seeds)
			seeds /= 5
		}
		sites := map[string]int{}
		for seed := range seeds {
			if err := cutRepeatedly(t, mode, seed, "", sites); err != nil {
				t.Fatalf("mode %d: %v", mode, err)
			}
		}
		for site := range sites {
			line, _, _ := strings.Cut(site, " ")
			if mode == moved && seen[line] {
				continue // another mode shows it
			}
			seen[line] = true
			t.Run(fmt.Sprintf("%s, mode %d", site, mode), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(dropSeeds) {
					if err := cutRepeatedly(t, mode, seed, site, map[string]int{}); err != nil {
						t.Logf("found with seed %d", seed)
						return
					}
				}
				t.Error("no power cut shows that this sync is missing")
			})
		}
	}
	for _, line := range syncLines(t) {
		if !seen[line] {
			t.Errorf("%s: no operation reached this sync", line)
		}
	}
}

// syncLines returns the file and line of each sync in the backend's code.
func syncLines(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.go", "internal/disk/maker.go"} {
		names, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				if !strings.HasSuffix(name, "_test.go") && (strings.Contains(line, ".Sync()") || strings.Contains(line, ".MakeAll(")) {
					out = append(out, fmt.Sprintf("%s:%d", filepath.Base(name), i+1))
				}
			}
		}
	}
	return out
}

// TestFailedSyncIsNotAcknowledged makes the sync after the change fail. A read
// returns the change, but a power cut may still undo it, so the error is
// ErrUnknown.
func TestFailedSyncIsNotAcknowledged(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	s.NoWhole = true
	store, err := expiry.NewStore[int](b, nil)
	must(t, err)
	failNext := func() {
		changed := false
		s.Set(func(op, path string) error {
			record := strings.Contains(path, "/"+recordsDir+"/")
			switch {
			case record && (op == "rename" || op == "remove"):
				changed = true
			case changed && record && op == "fsync":
				s.Set(nil)
				return syscall.EIO
			}
			return nil
		})
	}
	failNext()
	_, err = store.Create(t.Context(), "a", 1, nil)
	checkKind(t, "create", err, model.ErrUnknown, syscall.EIO)
	it, err := store.Get(t.Context(), "a")
	if err != nil || it.Value != 1 {
		t.Fatalf("get: %v, %v", it.Value, err)
	}
	failNext()
	_, err = store.Update(t.Context(), "a", 2, &expiry.WriteOptions{IfMatch: it.Known()})
	checkKind(t, "compare-and-set", err, model.ErrUnknown, syscall.EIO)
	it, err = store.Get(t.Context(), "a")
	must(t, err)
	failNext()
	checkKind(t, "delete", store.Delete(t.Context(), "a", &expiry.DeleteOptions{IfMatch: it.Known()}), model.ErrUnknown, syscall.EIO)
}
