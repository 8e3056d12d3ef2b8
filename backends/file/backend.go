package file

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records as files. It is safe for concurrent use, by any number
// of Backends and processes on one directory. New makes one.
type Backend struct {
	dir    string // the directory, absolute
	name   string
	path   string // of the store's own folder
	opts   Options
	system disk.System

	stripes [stripes]stripe
	maker   disk.Maker

	mu     sync.Mutex
	tree   *tree
	closed bool
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
)

// New returns a Backend for the store of that name in the directory. It does
// no I/O: folders are made by CreateStorage or the first write. The name has 1
// to 64 of a-z 0-9 _ - and starts with a letter or digit; nil options are the
// defaults.
func New(dir, name string, opts *Options) (*Backend, error) {
	o, err := opts.withDefaults()
	if err == nil {
		err = checkName(name)
	}
	if err == nil {
		dir, err = checkDir(dir)
	}
	if err != nil {
		return nil, &model.Error{Op: "New", Backend: backendName, Err: err}
	}
	b := &Backend{dir: dir, name: name, path: filepath.Join(dir, name), opts: o, system: disk.OS{}}
	for i := range b.stripes {
		b.stripes[i].free = make(chan struct{}, 1)
	}
	b.maker.NoSync = o.NoSync
	return b, nil
}

const backendName = "file"

// Describe returns what the backend is: it lacks nothing.
func (b *Backend) Describe() driver.Description {
	return driver.Description{Backend: backendName, Labels: slices.Clone(b.opts.Labels), MaxValue: maxValue}
}

// Close closes the store's open folders, once no call uses them. It returns
// nil, waits for nobody, and may be called again.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	t := b.tree
	b.mu.Unlock()
	if t != nil {
		b.drop(t)
	}
	return nil
}

// ready is the first check of every call.
func (b *Backend) ready(ctx context.Context) error {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return model.ErrClosed
	}
	return ctx.Err()
}

// tree is the store's open folders. DeleteStorage, of any process, makes it
// stale: then a call drops it and starts again with a new one.
type tree struct {
	b    *Backend
	root disk.Folder
	refs int // guarded by b.mu

	locks [stripes]disk.Lock // each guarded by its stripe

	mu    sync.RWMutex
	fixed map[string]disk.Folder // those that are there as long as the store
}

// attempts bounds how often a call starts again because folders vanish.
const attempts = 20

// retry runs do with the store's folders, made if wanted, and again with new
// ones where they turn out stale. Without them it is errNoStore.
func (b *Backend) retry(ctx context.Context, create bool, do func(*tree) error) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	err := errStale
	for try := 0; errors.Is(err, errStale) && try < attempts; try++ {
		var t *tree
		if t, err = b.enter(create); err != nil {
			continue
		}
		if err = do(t); errors.Is(err, errStale) {
			b.drop(t)
		}
		b.leave(t)
	}
	return err
}

// enter returns the open folders, to be given back by leave.
func (b *Backend) enter(create bool) (*tree, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, model.ErrClosed
	}
	if b.tree == nil {
		root, err := b.open(create)
		if isMissing(err) {
			if create {
				return nil, errStale
			}
			return nil, errNoStore
		}
		if err != nil {
			return nil, unavailable(err)
		}
		b.tree = &tree{b: b, root: root, refs: 1, fixed: map[string]disk.Folder{}}
	}
	b.tree.refs++
	return b.tree, nil
}

// leave closes the folders after their last use.
func (b *Backend) leave(t *tree) {
	b.mu.Lock()
	t.refs--
	last := t.refs == 0
	b.mu.Unlock()
	if last {
		t.close()
	}
}

// drop makes later calls open the folders anew.
func (b *Backend) drop(t *tree) {
	b.mu.Lock()
	current := b.tree == t
	if current {
		b.tree = nil
	}
	b.mu.Unlock()
	if current {
		b.leave(t)
	}
}

func (b *Backend) open(create bool) (disk.Folder, error) {
	base, err := b.system.Open(b.dir)
	if create && isMissing(err) {
		if err = b.system.MakeAll(b.dir, !b.opts.NoSync); err == nil {
			base, err = b.system.Open(b.dir)
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = base.Close() }()
	return b.below(base, "", b.name, create)
}

func (t *tree) close() {
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

// whole returns errStale unless the store's folder is still the open one.
func (t *tree) whole() error { return t.same(t.root, "") }

// same returns errStale unless the open folder still has that name.
func (t *tree) same(f disk.Folder, name string) error {
	ok, err := f.Is(filepath.Join(t.b.path, filepath.FromSlash(name)))
	if err == nil && !ok {
		return errStale
	}
	return unavailable(err)
}

// folder returns one of the store's fixed folders, which stays open. Where it
// is missing and not to be made the error is isMissing or errStale. A reader may
// have opened it before it was durable, so a writer asks again.
func (t *tree) folder(name string, create bool) (disk.Folder, error) {
	t.mu.RLock()
	f := t.fixed[name]
	t.mu.RUnlock()
	if f != nil && (!create || !t.b.maker.Fresh(t.b.name, name)) {
		return f, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if f = t.fixed[name]; f == nil {
		f, err = t.b.below(t.root, t.b.name, name, create)
	} else if create && t.b.maker.Fresh(t.b.name, name) {
		err = t.b.maker.Make(t.root, t.b.name, name)
	}
	if isMissing(err) {
		if create {
			return nil, errStale
		}
		if stale := t.whole(); stale != nil {
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

// below opens a folder below f, which is at that path in the directory. With
// create, what is missing is made, and all of it is durable on return.
func (b *Backend) below(f disk.Folder, at, sub string, create bool) (disk.Folder, error) {
	g, err := f.Folder(sub)
	switch {
	case !create || err != nil && !isMissing(err):
		return g, err
	case err == nil && !b.maker.Fresh(at, sub):
		return g, nil
	case err == nil:
		_ = g.Close()
	}
	if err := b.maker.Make(f, at, sub); err != nil {
		return nil, err
	}
	return f.Folder(sub)
}
