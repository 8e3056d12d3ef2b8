package file

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Backend keeps records as files. It is safe for concurrent use, also by any
// number of Backends and processes on one directory. New returns one.
type Backend struct {
	gate    *driverkit.Gate
	dir     string // the directory, absolute
	name    string
	path    string // of the store's folder
	noSync  bool
	dirMode fs.FileMode // of Options
	system  disk.System

	stripes [stripes]stripe
	maker   disk.Maker
	lazy    disk.Maker           // of folders that are synced with the whole file system
	watch   func() time.Duration // nil, or a test's stopwatch
	// How many locks a sweep holds, how many files a write syncs, and how many locks a
	// count holds, at the same time. Tests that follow each step have one.
	sweepers, syncers, counters int
	savedFrom                   int64 // how many records a count reads at least before it saves
	foldAt                      int64 // the size of a log that is folded

	mu   sync.Mutex // guards tree, its refs, and the closing of the gate
	tree *tree
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
)

const backendName = "file"

// writeSyncs is how many files and folders a write syncs at the same time.
const writeSyncs = 8

// New returns a Backend for the store with that name in the directory. It does
// no I/O: CreateStorage or the first write makes the folders. The name has 1
// to 64 of a-z 0-9 _ - and starts with a letter or digit. Nil options are the
// defaults. It returns ErrInvalid for an invalid directory, name or label.
func New(dir, name string, opts *Options) (*Backend, error) {
	o, err := opts.withDefaults()
	if err == nil {
		err = checkName(name)
	}
	if err == nil {
		dir, err = checkDir(dir)
	}
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	name = strings.Clone(name)
	desc := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: maxValue}
	b := &Backend{
		gate: driverkit.NewGate(desc, name),
		dir:  dir, name: name, path: filepath.Join(dir, name), noSync: o.NoSync, dirMode: o.DirMode,
		system: disk.OS{FileMode: o.FileMode, FolderMode: o.DirMode},
	}
	for i := range b.stripes {
		b.stripes[i].held = make(chan struct{}, 1)
	}
	b.lazy.NoSync = true
	b.maker.NoSync, b.sweepers, b.syncers = o.NoSync, waveLocks, writeSyncs
	b.foldAt, b.counters, b.savedFrom = foldBytes, countReaders, savedFrom
	return b, nil
}

// Describe returns the backend's name, labels and limits. No feature is
// absent.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close closes the store's open folders after the last call that uses them has
// ended. It does not wait for those calls. If the Backend has a log, its last user
// syncs the file system. It returns nil and may be repeated.
func (b *Backend) Close() error {
	b.mu.Lock()
	err := b.gate.Close()
	t := b.tree
	b.mu.Unlock()
	if t != nil {
		b.forget(t)
	}
	return err
}

// tree holds the store's open folders. DeleteStorage, in any process, makes it
// stale. A call that notices this forgets the tree and starts again with a new
// one.
type tree struct {
	b    *Backend
	root disk.Folder
	refs int // guarded by b.mu

	locks   [stripes]disk.Lock // each guarded by its stripe
	counted [stripes]counted
	adopted atomic.Bool // what another process has counted was read before
	logged  logged

	mu    sync.RWMutex
	fixed map[string]disk.Folder // folders that exist as long as the store

	unread chunks
}

// attempts bounds how often a call starts again because folders vanish.
const attempts = 20

// withTree runs do with the store's open folders. With create, it makes them if
// they are missing; otherwise it returns errNoStore. It runs do again, with
// newly opened folders, if the old ones turn out to be stale. It returns the
// context's error or ErrClosed before each attempt.
func (b *Backend) withTree(ctx context.Context, create bool, do func(*tree) error) error {
	err := errStale
	for try := 0; errors.Is(err, errStale) && try < attempts; try++ {
		err = b.tryTree(ctx, create, do)
	}
	return err
}

// tryTree runs do once. Do may call a program's OnExpire, which may panic.
func (b *Backend) tryTree(ctx context.Context, create bool, do func(*tree) error) error {
	t, err := b.acquire(ctx, create)
	if err != nil {
		return err
	}
	defer b.release(t)
	if err = t.ready(ctx); err == nil {
		err = do(t)
	}
	if errors.Is(err, errStale) {
		b.forget(t)
	}
	return err
}

// acquire returns the open folders. The caller gives them back with release.
func (b *Backend) acquire(ctx context.Context, create bool) (*tree, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Close may have come after the call's own check.
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	if b.tree == nil {
		root, err := b.open(create)
		if isMissing(err) && !create {
			return nil, errNoStore
		}
		if err != nil {
			return nil, unavailable(err)
		}
		b.tree = &tree{b: b, root: root, refs: 1, fixed: map[string]disk.Folder{}}
		b.tree.logged.turn = make(chan struct{}, 1)
	}
	b.tree.refs++
	return b.tree, nil
}

// release gives the folders back and closes them after their last use.
func (b *Backend) release(t *tree) {
	b.mu.Lock()
	t.refs--
	last := t.refs == 0
	b.mu.Unlock()
	if last {
		t.close()
	}
}

// forget makes later calls open the folders again.
func (b *Backend) forget(t *tree) {
	b.mu.Lock()
	current := b.tree == t
	if current {
		b.tree = nil
	}
	b.mu.Unlock()
	if current {
		b.release(t)
	}
}

func (b *Backend) open(create bool) (disk.Folder, error) {
	base, err := b.system.Open(b.dir)
	if create && isMissing(err) {
		if err = b.system.MakeAll(b.dir, !b.noSync); err == nil {
			base, err = b.system.Open(b.dir)
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = base.Close() }()
	return b.openBelow(&b.maker, base, "", b.name, create)
}

func (t *tree) close() {
	t.closeLogs()
	for i := range t.locks {
		if l := t.locks[i]; l != nil {
			_ = l.Close()
		}
	}
	for _, f := range t.fixed {
		_ = f.Close()
	}
	_ = t.root.Close()
}

// checkCurrent returns errStale unless the store's path still names the open
// folder.
func (t *tree) checkCurrent() error { return t.checkSame(t.root, "") }

// checkSame returns errStale unless the name still belongs to the open folder.
func (t *tree) checkSame(f disk.Folder, name string) error {
	ok, err := f.Is(filepath.Join(t.b.path, filepath.FromSlash(name)))
	if err == nil && !ok {
		return errStale
	}
	return unavailable(err)
}

// folder returns one of the store's fixed folders, which stays open. If the
// folder is missing and create is false, the error is isMissing or errStale. A
// reader may have opened the folder before it was durable, so a writer checks
// that again.
func (t *tree) folder(name string, create bool) (disk.Folder, error) {
	t.mu.RLock()
	f := t.fixed[name]
	t.mu.RUnlock()
	m := &t.b.maker
	if create && name != redoDir {
		// Only the log must be there after a power cut. It has everything else.
		whole, err := t.openedWhole()
		if err != nil {
			return nil, err
		}
		if whole {
			m = &t.b.lazy
		}
	}
	if f != nil && (!create || !m.Fresh(t.b.name, name)) {
		return f, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if f = t.fixed[name]; f == nil {
		if create && name == locksDir { // every first write makes this one first
			err = t.checkPlace()
		}
		if err == nil {
			f, err = t.b.openBelow(m, t.root, t.b.name, name, create)
		}
	} else if create && m.Fresh(t.b.name, name) {
		err = m.Make(t.root, t.b.name, name)
	}
	if isMissing(err) && !create {
		if stale := t.checkCurrent(); stale != nil {
			return nil, stale
		}
		return nil, err
	}
	if err != nil {
		return nil, unavailable(err)
	}
	t.fixed[name] = f
	return f, nil
}

// checkPlace refuses to make a store in a folder that another program uses.
func (t *tree) checkPlace() error {
	f, err := t.root.Folder(locksDir)
	if err == nil {
		return f.Close()
	}
	if !isMissing(err) {
		return err
	}
	return inspect(t.root, false)
}

// openBelow opens the folder sub below f; at is the path of f in the
// directory. With create, it makes what is missing, and all of it is durable
// when it returns, if the maker syncs.
func (b *Backend) openBelow(m *disk.Maker, f disk.Folder, at, sub string, create bool) (disk.Folder, error) {
	g, err := f.Folder(sub)
	switch {
	case !create || err != nil && !isMissing(err):
		return g, err
	case err == nil && !m.Fresh(at, sub):
		return g, nil
	case err == nil:
		_ = g.Close()
	}
	if err := m.Make(f, at, sub); err != nil {
		return nil, err
	}
	return f.Folder(sub)
}
