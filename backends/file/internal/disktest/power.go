package disktest

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
)

// Power is a file system in memory that may forget unsynced changes at a power
// cut. The sync of a folder makes its names durable, and the sync of a file its
// contents. Power keeps or forgets each name and each file independently, so it
// guarantees less than any real file system.
type Power struct {
	// NoWhole has no sync of the whole file system.
	NoWhole bool
	// OneTick has a clock that stands still: changed folders keep their stamps.
	OneTick bool

	mu    sync.Mutex
	top   *node  // its names are complete paths
	clock uint64 // of changes to folders
	cuts  uint64
}

// NewPower returns a Power without folders.
func NewPower() *Power { return &Power{top: newDir()} }

// Cut returns the disk after a power cut. Gone is asked about each unsynced name
// and file: if it returns true, the name or file is as of its last sync. Torn is
// asked about each such file: if it returns true, the file has half of what was
// written since.
func (d *Power) Cut(gone, torn func() bool) *Power {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Power{NoWhole: d.NoWhole, top: d.top.cut(gone, torn), clock: d.clock, cuts: d.cuts + 1}
}

// KeepFolders makes the names of all folders durable, as a file system does that
// keeps the order of changes when anything is synced later.
func (d *Power) KeepFolders() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.top.keepFolders()
}

func (n *node) keepFolders() {
	for name, child := range n.now {
		if child.dir {
			n.durable[name] = child
			child.keepFolders()
		}
	}
}

// Files returns the paths of all files and folders, sorted. The path of a folder ends
// in a slash.
func (d *Power) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.top.files("", func(*node) bool { return true })
}

// Unlocked returns what Files does, without the files whose lock somebody holds.
func (d *Power) Unlocked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.top.files("", func(n *node) bool { return !n.locked })
}

type node struct {
	dir           bool
	gone          bool // removed: the open folder takes no new names
	now, durable  map[string]*node
	data, written []byte // written is durable
	locked        bool
	changed       uint64 // a folder: the clock at the last change
}

func newDir() *node { return &node{dir: true, now: map[string]*node{}, durable: map[string]*node{}} }

func (n *node) cut(gone, torn func() bool) *node {
	if !n.dir {
		data := n.data
		if !slices.Equal(data, n.written) && gone() {
			data = n.written
			if torn() { // after what was synced
				same := 0
				for same < min(len(data), len(n.data)) && data[same] == n.data[same] {
					same++
				}
				half := same + (len(n.data)-same)/2
				data = slices.Clone(n.data[:half])
				if half < len(n.written) { // what stands behind is as it was
					data = append(data, n.written[half:]...)
				}
			}
		}
		return &node{data: data, written: data}
	}
	out := newDir()
	out.changed = n.changed
	names := map[string]bool{}
	for name := range n.now {
		names[name] = true
	}
	for name := range n.durable {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		child := n.now[name]
		if child != n.durable[name] && gone() {
			child = n.durable[name]
		}
		if child != nil {
			out.now[name] = child.cut(gone, torn)
			out.durable[name] = out.now[name]
		}
	}
	return out
}

func (n *node) files(at string, has func(*node) bool) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(n.now)) {
		child := n.now[name]
		if !child.dir {
			if has(child) {
				out = append(out, path.Join(at, name))
			}
			continue
		}
		out = append(out, path.Join(at, name)+"/")
		out = append(out, child.files(path.Join(at, name), has)...)
	}
	return out
}

// MakeAll makes a folder. Its parents need not exist.
func (d *Power) MakeAll(dir string, sync bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir = filepath.ToSlash(dir)
	if d.top.now[dir] == nil {
		d.top.now[dir] = newDir()
	}
	if sync {
		d.top.durable[dir] = d.top.now[dir]
	}
	return nil
}

// Open opens a folder that MakeAll made.
func (d *Power) Open(dir string) (disk.Folder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.top.now[filepath.ToSlash(dir)]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &powerFolder{d, n}, nil
}

type powerFolder struct {
	d *Power
	n *node
}

// change notes that names of a folder have changed.
func (d *Power) change(at *node) {
	if !d.OneTick {
		d.clock++
	}
	at.changed = d.clock
}

// walk returns the folder of the last part of a name, and that part.
func (f *powerFolder) walk(name string) (*node, string, error) {
	at := f.n
	for {
		first, rest, more := strings.Cut(name, "/")
		if at.gone || !at.dir {
			return nil, "", fs.ErrNotExist
		}
		if !more {
			return at, first, nil
		}
		if at = at.now[first]; at == nil {
			return nil, "", fs.ErrNotExist
		}
		name = rest
	}
}

// with runs do with the folder and the last part of a name.
func (f *powerFolder) with(name string, do func(at *node, last string) error) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	at, last, err := f.walk(name)
	if err != nil {
		return err
	}
	return do(at, last)
}

func (f *powerFolder) find(name string) (out *node, err error) {
	err = f.with(name, func(at *node, last string) error {
		if out = at.now[last]; out == nil {
			return fs.ErrNotExist
		}
		return nil
	})
	return out, err
}

func (f *powerFolder) make(name string, n *node) error {
	return f.with(name, func(at *node, last string) error {
		if at.now[last] != nil {
			return fs.ErrExist
		}
		at.now[last] = n
		f.d.change(at)
		f.d.change(n)
		return nil
	})
}

func (f *powerFolder) Folder(name string) (disk.Folder, error) {
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return &powerFolder{f.d, n}, nil
}

func (f *powerFolder) Read(name string, _ int64) ([]byte, error) {
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return slices.Clone(n.data), nil
}

func (f *powerFolder) Names(yield func([]string) bool) error {
	f.d.mu.Lock()
	names := slices.Collect(maps.Keys(f.n.now))
	f.d.mu.Unlock()
	yield(names)
	return nil
}

func (f *powerFolder) Create(name string) (disk.File, error) {
	n := &node{}
	return &powerFile{f.d, n}, f.make(name, n)
}

func (f *powerFolder) Touch(name string) error {
	if err := f.make(name, &node{}); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (f *powerFolder) Mkdir(name string) error { return f.make(name, newDir()) }

func (f *powerFolder) Rename(from, to string) error {
	return f.with(from, func(a *node, x string) error {
		b, y, err := f.walk(to)
		if err != nil || a.now[x] == nil {
			return fs.ErrNotExist
		}
		b.now[y] = a.now[x]
		delete(a.now, x)
		f.d.change(a)
		f.d.change(b)
		return nil
	})
}

func (f *powerFolder) Remove(name string) error {
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
		f.d.change(at)
		return nil
	})
}

func (f *powerFolder) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.durable = maps.Clone(f.n.now)
	return nil
}

func (f *powerFolder) Lock(name string) (disk.Lock, error) {
	if err := f.Touch(name); err != nil {
		return nil, err
	}
	n, err := f.find(name)
	return &powerLock{d: f.d, n: n}, err
}

func (f *powerFolder) Is(string) (bool, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return !f.n.gone, nil
}

func (f *powerFolder) Stamp(name string) (s disk.Stamp, err error) {
	n, err := f.find(name)
	if err != nil {
		return s, err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	binary.LittleEndian.PutUint64(s[:], f.d.cuts+1) // zero stands for none
	binary.LittleEndian.PutUint64(s[8:], n.changed)
	return s, nil
}

func (f *powerFolder) Close() error { return nil }

func (f *powerFolder) Whole() (disk.Whole, error) {
	if f.d.NoWhole {
		return nil, errors.ErrUnsupported
	}
	return &powerWhole{f.d}, nil
}

type powerWhole struct{ d *Power }

func (w *powerWhole) Sync() error {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.d.top.sync()
	return nil
}

func (w *powerWhole) Close() error { return nil }

// sync makes a file or folder durable, with all below it.
func (n *node) sync() {
	n.written = n.data
	n.durable = maps.Clone(n.now)
	for _, child := range n.now {
		child.sync()
	}
}

type powerFile struct {
	d *Power
	n *node
}

func (f *powerFile) Write(data []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.data = slices.Concat(f.n.data, data)
	return len(data), nil
}

func (f *powerFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.written = f.n.data
	return nil
}

func (f *powerFile) Close() error { return nil }

type powerLock struct {
	d    *Power
	n    *node
	held bool
}

func (l *powerLock) TryLock() (bool, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	ok := !l.n.locked
	l.n.locked = true
	l.held = l.held || ok
	return ok, nil
}

func (l *powerLock) Unlock() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if l.held {
		l.n.locked, l.held = false, false
	}
	return nil
}

func (l *powerLock) Is(string) (bool, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return !l.n.gone, nil
}

func (l *powerLock) Close() error { return l.Unlock() }

func (l *powerLock) Sync() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.n.written = l.n.data
	return nil
}

func (l *powerLock) ReadAt(data []byte, at int64) (int, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if at >= int64(len(l.n.data)) {
		return 0, nil
	}
	return copy(data, l.n.data[at:]), nil
}

func (l *powerLock) WriteAt(data []byte, at int64) error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	next := make([]byte, max(len(l.n.data), int(at)+len(data)))
	copy(next, l.n.data)
	copy(next[at:], data)
	l.n.data = next
	return nil
}
