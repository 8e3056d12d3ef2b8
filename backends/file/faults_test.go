package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// spy passes every call to the file system on, unless its hook returns an
// error. Paths are relative to the store's directory.
type spy struct {
	disk.System
	mu   sync.Mutex
	hook func(op, path string) error
}

func (s *spy) set(hook func(op, path string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *spy) ask(op, path string) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op, path)
}

func (s *spy) MakeAll(dir string, sync bool) error {
	if err := s.ask("makeall", ""); err != nil {
		return err
	}
	return s.System.MakeAll(dir, sync)
}

func (s *spy) Open(dir string) (disk.Folder, error) {
	if err := s.ask("open", ""); err != nil {
		return nil, err
	}
	f, err := s.System.Open(dir)
	if err != nil {
		return nil, err
	}
	return &spyFolder{f, s, ""}, nil
}

// inner keeps the embedded interface apart from its method Folder.
type inner = disk.Folder

type spyFolder struct {
	inner
	s    *spy
	path string
}

func (f *spyFolder) at(name string) string { return strings.Trim(f.path+"/"+name, "/") }

func (f *spyFolder) Folder(name string) (disk.Folder, error) {
	if err := f.s.ask("open", f.at(name)); err != nil {
		return nil, err
	}
	g, err := f.inner.Folder(name)
	if err != nil {
		return nil, err
	}
	return &spyFolder{g, f.s, f.at(name)}, nil
}

func (f *spyFolder) Read(name string, limit int64) ([]byte, error) {
	if err := f.s.ask("read", f.at(name)); err != nil {
		return nil, err
	}
	return f.inner.Read(name, limit)
}

func (f *spyFolder) Names(yield func([]string) bool) error {
	if err := f.s.ask("names", f.path); err != nil {
		return err
	}
	return f.inner.Names(yield)
}

func (f *spyFolder) Create(name string) (disk.File, error) {
	if err := f.s.ask("create", f.at(name)); err != nil {
		return nil, err
	}
	file, err := f.inner.Create(name)
	if err != nil {
		return nil, err
	}
	return &spyFile{file, f.s, f.at(name)}, nil
}

func (f *spyFolder) Touch(name string) error {
	if err := f.s.ask("touch", f.at(name)); err != nil {
		return err
	}
	return f.inner.Touch(name)
}

func (f *spyFolder) Mkdir(name string) error {
	if err := f.s.ask("mkdir", f.at(name)); err != nil {
		return err
	}
	return f.inner.Mkdir(name)
}

func (f *spyFolder) Rename(from, to string) error {
	if err := f.s.ask("rename", f.at(to)); err != nil {
		return err
	}
	return f.inner.Rename(from, to)
}

func (f *spyFolder) Remove(name string) error {
	if err := f.s.ask("remove", f.at(name)); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

func (f *spyFolder) RemoveAll(name string) error {
	if err := f.s.ask("removeall", f.at(name)); err != nil {
		return err
	}
	return f.inner.RemoveAll(name)
}

func (f *spyFolder) Sync() error {
	if err := f.s.ask("fsync", f.path); err != nil {
		return err
	}
	return f.inner.Sync()
}

func (f *spyFolder) Lock(name string) (disk.Lock, error) {
	if err := f.s.ask("openlock", f.at(name)); err != nil {
		return nil, err
	}
	l, err := f.inner.Lock(name)
	if err != nil {
		return nil, err
	}
	return &spyLock{l, f.s, f.at(name)}, nil
}

func (f *spyFolder) Is(path string) (bool, error) {
	if err := f.s.ask("stat", f.path); err != nil {
		return false, err
	}
	return f.inner.Is(path)
}

type spyFile struct {
	disk.File
	s    *spy
	path string
}

func (f *spyFile) Write(data []byte) (int, error) {
	if err := f.s.ask("write", f.path); err != nil {
		n, _ := f.File.Write(data[:len(data)/2]) // a full disk takes a part
		return n, err
	}
	return f.File.Write(data)
}

func (f *spyFile) Sync() error {
	if err := f.s.ask("fsync", f.path); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *spyFile) Close() error {
	err := f.s.ask("close", f.path)
	return errors.Join(err, f.File.Close())
}

type spyLock struct {
	disk.Lock
	s    *spy
	path string
}

func (l *spyLock) TryLock() (bool, error) {
	if err := l.s.ask("trylock", l.path); err != nil {
		return false, err
	}
	return l.Lock.TryLock()
}

func (l *spyLock) Is(path string) (bool, error) {
	if err := l.s.ask("stat", l.path); err != nil {
		return false, err
	}
	return l.Lock.Is(path)
}

// spied returns a backend with a spy below it.
func spied(t testing.TB, dir string, opts *Options) (*Backend, *spy) {
	t.Helper()
	b, err := New(dir, "store", opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{System: disk.OS{}}
	b.system = s
	t.Cleanup(func() { _ = b.Close() })
	return b, s
}

var (
	testNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	inHour  = testNow.Add(time.Hour)
	inDay   = testNow.Add(24 * time.Hour)
)

func newRecord(id, value, principal string, expires time.Time) model.Record {
	r := model.Record{ID: id, Rev: model.NewRevision(), ExpiresAt: expires, Value: []byte(value), Encoding: "json"}
	if principal != "" {
		r.Labels = map[string]string{defaultLabel: principal}
	}
	return r
}

func mustWrite(t testing.TB, b *Backend, c model.Cond, r model.Record) model.Record {
	t.Helper()
	out, err := b.Write(context.Background(), testNow, expiry.Write{Record: r, Cond: c})
	if err != nil {
		t.Fatalf("write of %q: %v", r.ID, err)
	}
	return out
}

func listed(t testing.TB, b *Backend, principal string) map[string]model.Revision {
	t.Helper()
	q := expiry.Query{Limit: 7}
	if principal != "" {
		q.Label, q.Value = defaultLabel, principal
	}
	out := map[string]model.Revision{}
	for {
		p, err := b.Page(context.Background(), testNow, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			if _, twice := out[r.ID]; twice {
				t.Errorf("%q is listed twice", r.ID)
			}
			out[r.ID] = r.Rev
		}
		if p.Next == "" {
			return out
		}
		q.After = p.Next
	}
}

// TestEveryStepMayFail fails each call to the file system of each operation in
// turn, with several errors, and checks that an error that promises so left
// everything as it was, that the record is whole and found by its label in any
// case, and that the store works on.
func TestEveryStepMayFail(t *testing.T) {
	ctx := context.Background()
	ops := map[string]func(b *Backend, old model.Record) (model.Revision, error){
		"create": func(b *Backend, _ model.Record) (model.Revision, error) {
			r := newRecord("new", `"n"`, "bob", inDay)
			_, err := b.Write(ctx, testNow, expiry.Write{Record: r, Cond: model.Absent})
			return r.Rev, err
		},
		"update": func(b *Backend, old model.Record) (model.Revision, error) {
			r := newRecord(old.ID, `"u"`, "bob", inDay)
			_, err := b.Write(ctx, testNow, expiry.Write{Record: r, Cond: model.Match, Prev: old})
			return r.Rev, err
		},
		"touch": func(b *Backend, old model.Record) (model.Revision, error) {
			_, err := b.Touch(ctx, testNow, expiry.Touch{ID: old.ID, Mode: expiry.Set, ExpiresAt: inDay})
			return old.Rev, err
		},
		"delete": func(b *Backend, old model.Record) (model.Revision, error) {
			return model.Revision{}, b.Delete(ctx, testNow, old.ID, model.Live, model.Record{})
		},
		"sweep": func(b *Backend, old model.Record) (model.Revision, error) {
			_, err := b.DeleteExpired(ctx, inHour, 10, nil)
			return model.Revision{}, err
		},
	}
	for name, op := range ops {
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.EROFS} {
			t.Run(fmt.Sprintf("%s/%d", name, int(errno)), func(t *testing.T) {
				t.Parallel()
				for step := 0; ; step++ {
					if !failStep(t, step, errno, op) {
						if step < 5 {
							t.Fatalf("only %d steps", step)
						}
						return
					}
				}
			})
		}
	}
}

// failStep reports whether there was such a step.
func failStep(t *testing.T, step int, errno syscall.Errno, op func(*Backend, model.Record) (model.Revision, error)) bool {
	t.Helper()
	b, s := spied(t, t.TempDir(), &Options{NoSync: false})
	old := newRecord("old", `"o"`, "ann", inHour)
	mustWrite(t, b, model.Absent, old)
	_ = b.Close()
	b.closed = false // with new folders, so that every step is taken again

	n, where := 0, ""
	s.set(func(op, path string) error {
		n++
		if n != step+1 {
			return nil
		}
		where = op + " " + path
		return errno
	})
	rev, err := op(b, old)
	s.set(nil)
	if where == "" {
		if err != nil {
			t.Fatalf("without a failure: %v", err)
		}
		return false
	}
	if kind := model.KindOf(err); err != nil && kind != model.ErrUnavailable && kind != model.ErrUnknown {
		t.Errorf("%v at %s: %v is of kind %v", errno, where, err, kind)
	}
	certain := err != nil && !errors.Is(err, model.ErrUnknown)
	if left := files(t, filepath.Join(b.path, tmpDir)); certain && len(left) > 0 && !strings.HasPrefix(where, "remove") {
		t.Errorf("%v at %s left %v", errno, where, left)
	}
	if left := entries(t, b.path); certain && len(left) != 2 && !strings.HasPrefix(where, "remove") {
		t.Errorf("%v at %s left the entries %v", errno, where, left)
	}
	checkAfter(t, b, where, old, rev, err)
	return true
}

func checkAfter(t *testing.T, b *Backend, where string, old model.Record, rev model.Revision, err error) {
	t.Helper()
	certain := err != nil && !errors.Is(err, model.ErrUnknown)
	got, getErr := b.Get(context.Background(), testNow, old.ID)
	if getErr != nil && !errors.Is(getErr, model.ErrNotFound) {
		t.Errorf("after %s: %v", where, getErr)
	}
	if certain && (got.Rev != old.Rev || !got.ExpiresAt.Equal(old.ExpiresAt)) {
		t.Errorf("after %s: %v, but the record changed", where, err)
	}
	all := listed(t, b, "")
	byLabel := listed(t, b, "ann")
	for id, r := range listed(t, b, "bob") {
		byLabel[id] = r
	}
	for id, r := range all {
		if byLabel[id] != r {
			t.Errorf("after %s: %q is not found by its label", where, id)
		}
		if r != old.Rev && (r != rev || certain) {
			t.Errorf("after %s: %v, but %q is at a new revision", where, err, id)
		}
	}
	if len(byLabel) != len(all) {
		t.Errorf("after %s: %d records by label, %d in all", where, len(byLabel), len(all))
	}
	mustWrite(t, b, model.Always, newRecord(old.ID, `"again"`, "ann", inHour))
	if n, sweepErr := b.DeleteExpired(context.Background(), inDay.Add(time.Hour), 100, nil); sweepErr != nil || n.Removed == 0 {
		t.Errorf("after %s: a sweep gives %+v, %v", where, n, sweepErr)
	}
	left, pageErr := b.Page(context.Background(), testNow, expiry.Query{Limit: 10})
	if pageErr != nil || len(left.Records)+len(left.Corrupt) != 0 {
		t.Errorf("after %s: the sweep left %d records, %v", where, len(left.Records), pageErr)
	}
}

// state is what a record is like; the zero state is that of none.
type state struct {
	rev, principal string
	minute         int64
}

// checkTruth compares the store to what was acknowledged, and makes what was
// under way and turns out to be applied the truth.
func checkTruth(t *testing.T, b *Backend, round int, truth, pending map[string]state) {
	t.Helper()
	ctx := context.Background()
	for id, s := range pending {
		got, err := b.Get(ctx, testNow, id)
		if rev := revOf(got, err); rev == s.rev && (rev == "" || stateOf(got) == s) {
			truth[id] = s
		}
	}
	byLabel := map[string]map[string]model.Revision{"ann": listed(t, b, "ann"), "bob": listed(t, b, "bob")}
	all := listed(t, b, "")
	live := 0
	for id, want := range truth {
		got, err := b.Get(ctx, testNow, id)
		if err != nil && !errors.Is(err, model.ErrNotFound) {
			t.Errorf("round %d: %q: %v", round, id, err)
		}
		if rev := revOf(got, err); rev != want.rev || rev != "" && stateOf(got) != want {
			t.Errorf("round %d: %q is %+v, %v; acknowledged was %+v", round, id, stateOf(got), err, want)
		}
		if want.rev == "" {
			continue
		}
		live++
		if all[id].String() != want.rev || byLabel[want.principal][id].String() != want.rev {
			t.Errorf("round %d: %q is not listed, or not by its label", round, id)
		}
		if len(got.Value) != valueBytes {
			t.Errorf("round %d: %q has %d bytes", round, id, len(got.Value))
		}
	}
	if len(all) != live || len(byLabel["ann"])+len(byLabel["bob"]) != live {
		t.Errorf("round %d: %d records, %d and %d by label, want %d", round, len(all), len(byLabel["ann"]), len(byLabel["bob"]), live)
	}
}

func revOf(r model.Record, err error) string {
	if err != nil {
		return ""
	}
	return r.Rev.String()
}

func stateOf(r model.Record) state {
	if r.ID == "" {
		return state{}
	}
	return state{r.Rev.String(), r.Labels[defaultLabel], int64(r.ExpiresAt.Sub(testNow) / time.Minute)}
}

const valueBytes = 5000

// plan chooses a call that changes the record of that id, and says what the
// record is like afterwards.
func plan(b *Backend, intN func(int) int, id string) (next model.Record, do func() error, err error) {
	ctx := context.Background()
	cur, err := b.Get(ctx, testNow, id)
	missing := errors.Is(err, model.ErrNotFound)
	if err != nil && !missing {
		return next, nil, err
	}
	at := testNow.Add(time.Duration(1+intN(3)) * time.Minute)
	next = newRecord(id, strings.Repeat("x", valueBytes), []string{"ann", "bob"}[intN(2)], at)
	cond := model.Match
	if missing {
		cond = model.Absent
	}
	do = func() error {
		return onlyErr(b.Write(ctx, testNow, expiry.Write{Record: next, Cond: cond, Prev: cur}))
	}
	switch act := intN(4); {
	case missing:
	case act == 0:
		next = model.Record{}
		do = func() error { return b.Delete(ctx, testNow, id, model.Match, cur) }
	case act == 1:
		next = cur
		next.ExpiresAt = at
		do = func() error {
			return onlyErr(b.Touch(ctx, testNow, expiry.Touch{ID: id, Mode: expiry.Set, ExpiresAt: at}))
		}
	}
	return next, do, nil
}

func onlyErr[T any](_ T, err error) error { return err }

// cutDisk is a file system in memory that forgets, at a power cut, whatever
// was not synced, or a part of it: names with their folder's sync, contents
// with their file's.
type cutDisk struct {
	mu  sync.Mutex
	top *node
}

type node struct {
	dir           bool
	gone          bool // removed; an open folder takes no new names
	now, durable  map[string]*node
	data, written []byte // written: durable
	locked        bool
}

func newDir() *node { return &node{dir: true, now: map[string]*node{}, durable: map[string]*node{}} }

// cut returns the disk after a power cut. Pick decides for each name and file
// that was not synced whether it is as before or as after.
func (n *node) cut(pick func() bool) *node {
	if !n.dir {
		data := n.data
		if !slices.Equal(data, n.written) && pick() {
			data = n.written
		}
		return &node{data: data, written: data}
	}
	out := newDir()
	names := slices.Sorted(maps.Keys(n.now))
	for name := range n.durable {
		if n.now[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		child := n.now[name]
		if child != n.durable[name] && pick() {
			child = n.durable[name]
		}
		if child != nil {
			out.now[name] = child.cut(pick)
			out.durable[name] = out.now[name]
		}
	}
	return out
}

func (d *cutDisk) MakeAll(string, bool) error { return nil }

func (d *cutDisk) Open(string) (disk.Folder, error) { return &cutFolder{d, d.top}, nil }

type cutFolder struct {
	d *cutDisk
	n *node
}

// walk finds the folder that holds the last part of a name.
func (f *cutFolder) walk(name string) (*node, string, error) {
	at := f.n
	for {
		first, rest, more := strings.Cut(name, "/")
		if !more {
			if at.gone {
				return nil, "", fs.ErrNotExist
			}
			return at, first, nil
		}
		if at = at.now[first]; at == nil {
			return nil, "", fs.ErrNotExist
		}
		name = rest
	}
}

// with runs do with the folder and the last part of a name.
func (f *cutFolder) with(name string, do func(at *node, last string) error) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	at, last, err := f.walk(name)
	if err != nil {
		return err
	}
	return do(at, last)
}

func (f *cutFolder) find(name string) (out *node, err error) {
	err = f.with(name, func(at *node, last string) error {
		if out = at.now[last]; out == nil {
			return fs.ErrNotExist
		}
		return nil
	})
	return out, err
}

func (f *cutFolder) make(name string, n *node) error {
	return f.with(name, func(at *node, last string) error {
		if at.now[last] != nil {
			return fs.ErrExist
		}
		at.now[last] = n
		return nil
	})
}

func (f *cutFolder) Folder(name string) (disk.Folder, error) {
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return &cutFolder{f.d, n}, nil
}

func (f *cutFolder) Read(name string, _ int64) ([]byte, error) {
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

func (f *cutFolder) Names(yield func([]string) bool) error {
	f.d.mu.Lock()
	names := slices.Collect(maps.Keys(f.n.now))
	f.d.mu.Unlock()
	yield(names)
	return nil
}

func (f *cutFolder) Create(name string) (disk.File, error) {
	n := &node{}
	return &cutFile{n}, f.make(name, n)
}

func (f *cutFolder) Touch(name string) error {
	if err := f.make(name, &node{}); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (f *cutFolder) Mkdir(name string) error { return f.make(name, newDir()) }

func (f *cutFolder) Rename(from, to string) error {
	return f.with(from, func(a *node, x string) error {
		b, y, err := f.walk(to)
		if err != nil || a.now[x] == nil {
			return fs.ErrNotExist
		}
		b.now[y] = a.now[x]
		delete(a.now, x)
		return nil
	})
}

func (f *cutFolder) Remove(name string) error {
	return f.with(name, func(at *node, last string) error {
		n := at.now[last]
		switch {
		case n == nil:
			return fs.ErrNotExist
		case n.dir && len(n.now) > 0:
			return syscall.ENOTEMPTY
		}
		n.gone = true
		delete(at.now, last)
		return nil
	})
}

func (f *cutFolder) RemoveAll(string) error { return errors.ErrUnsupported }

func (f *cutFolder) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.durable = maps.Clone(f.n.now)
	return nil
}

func (f *cutFolder) Lock(name string) (disk.Lock, error) {
	if err := f.Touch(name); err != nil {
		return nil, err
	}
	n, err := f.find(name)
	return &cutLock{f.d, n}, err
}

func (f *cutFolder) Is(string) (bool, error) { return !f.n.gone, nil }
func (f *cutFolder) Close() error            { return nil }

type cutFile struct{ n *node }

func (f *cutFile) Write(data []byte) (int, error) {
	f.n.data = slices.Concat(f.n.data, data)
	return len(data), nil
}
func (f *cutFile) Sync() error  { f.n.written = f.n.data; return nil }
func (f *cutFile) Close() error { return nil }

type cutLock struct {
	d *cutDisk
	n *node
}

func (l *cutLock) TryLock() (bool, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	ok := !l.n.locked
	l.n.locked = true
	return ok, nil
}

func (l *cutLock) Unlock() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.n.locked = false
	return nil
}
func (l *cutLock) Is(string) (bool, error) { return !l.n.gone, nil }
func (l *cutLock) Close() error            { return nil }

// TestPowerCut cuts the power at a random call to the file system, again and
// again, and checks that every acknowledged write outlasts it, whole and found
// by its label.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		top, truth := newDir(), map[string]state{}
		for life := 0; life < 6 && !t.Failed(); life++ {
			pending := map[string]state{}
			top = liveUntilCut(t, top, r, truth, pending)
			b, _ := spied(t, filepath.FromSlash("/d"), nil)
			b.system = &cutDisk{top: top}
			checkTruth(t, b, life, truth, pending)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// liveUntilCut changes records until the power goes, and returns the disk.
func liveUntilCut(t *testing.T, top *node, r *rand.Rand, truth, pending map[string]state) *node {
	t.Helper()
	b, s := spied(t, filepath.FromSlash("/d"), nil)
	s.System = &cutDisk{top: top}
	steps, odds := 1+r.IntN(400), r.IntN(101)
	var after *node
	s.set(func(string, string) error {
		if steps--; steps > 0 {
			return nil
		}
		if after == nil {
			after = top.cut(func() bool { return r.IntN(100) < odds })
		}
		return errDead
	})
	for after == nil {
		if r.IntN(10) == 0 {
			sweepPlanned(b, truth, pending, &after)
			continue
		}
		id := fmt.Sprint(r.IntN(5))
		next, do, err := plan(b, r.IntN, id)
		if err != nil {
			break
		}
		pending[id] = stateOf(next)
		if err := do(); err == nil && after == nil {
			truth[id] = stateOf(next)
			delete(pending, id)
		} else if after == nil {
			t.Fatalf("%q: %v", id, err)
		}
	}
	return after
}

// sweepPlanned removes what expires in the first minute.
func sweepPlanned(b *Backend, truth, pending map[string]state, after **node) {
	for id, s := range truth {
		if s.minute == 1 {
			pending[id] = state{}
		}
	}
	_, err := b.DeleteExpired(context.Background(), testNow.Add(time.Minute), 100, nil)
	if err == nil && *after == nil {
		maps.Copy(truth, pending)
		clear(pending)
	}
}

// TestAFailedSyncIsNotAcknowledged fails the sync after the change: the record
// looks right, and a power cut may still lose it.
func TestAFailedSyncIsNotAcknowledged(t *testing.T) {
	b, s := spied(t, t.TempDir(), nil)
	store, err := expiry.NewStore[int](b, nil)
	if err != nil {
		t.Fatal(err)
	}
	failNext := func() {
		changed := false
		s.set(func(op, path string) error {
			record := strings.Contains(path, "/"+recordsDir+"/")
			switch {
			case record && (op == "rename" || op == "remove"):
				changed = true
			case changed && record && op == "fsync":
				s.set(nil)
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
	_, err = store.Update(t.Context(), "a", 2, &expiry.WriteOptions{If: it.Version()})
	checkKind(t, "compare-and-set", err, model.ErrUnknown, syscall.EIO)
	if it, err = store.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	failNext()
	checkKind(t, "delete", store.Delete(t.Context(), "a", &expiry.DeleteOptions{If: it.Version()}), model.ErrUnknown, syscall.EIO)
}
