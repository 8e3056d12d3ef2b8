// Package disktest has file systems for the tests of the file backend. Spy counts
// calls and makes them fail. Power is in memory and forgets unsynced changes at a
// power cut.
package disktest

import (
	"errors"
	"strings"
	"sync"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
)

// Spy counts every call and forwards it to the file system, unless its hook
// returns an error. Paths are relative to the store's directory.
type Spy struct {
	disk.System
	NoWhole bool // there is no sync of the whole file system

	mu      sync.Mutex
	hook    func(op, path string) error
	drop    func() bool
	count   Count
	handles int
	held    map[*spyLock]bool
}

// Count has the calls since the last Take.
type Count struct {
	Calls   map[string]int // by kind: open, read, names, create, touch, mkdir, rename, remove, fsync, …
	Entries int            // names read from folders
}

// Set replaces the hook, which runs before each call. A nil hook forwards every
// call.
func (s *Spy) Set(hook func(op, path string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// On sets a hook that runs do before each call of one kind.
func (s *Spy) On(op string, do func(path string)) {
	s.Set(func(called, path string) error {
		if called == op {
			do(path)
		}
		return nil
	})
}

// DropSyncs leaves out each sync for which drop returns true: the sync returns nil
// and does nothing. Drop is called on the goroutine of the sync.
func (s *Spy) DropSyncs(drop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = drop
}

// Take returns the counts and resets them.
func (s *Spy) Take() Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	s.count = Count{}
	return c
}

// Handles returns the number of open folders, files and locks.
func (s *Spy) Handles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handles
}

// Holds reports whether a lock is held whose path is so.
func (s *Spy) Holds(is func(path string) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.held {
		if is(l.path) {
			return true
		}
	}
	return false
}

func (s *Spy) opened(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles += n
}

func (s *Spy) ask(op, path string) error {
	s.mu.Lock()
	hook := s.hook
	if s.count.Calls == nil {
		s.count.Calls = map[string]int{}
	}
	s.count.Calls[op]++
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op, path)
}

func (s *Spy) dropped() bool {
	s.mu.Lock()
	drop := s.drop
	s.mu.Unlock()
	return drop != nil && drop()
}

// MakeAll forwards to the file system.
func (s *Spy) MakeAll(dir string, sync bool) error {
	if err := s.ask("makeall", ""); err != nil {
		return err
	}
	return s.System.MakeAll(dir, sync && !s.dropped())
}

// Open forwards to the file system.
func (s *Spy) Open(dir string) (disk.Folder, error) {
	if err := s.ask("open", ""); err != nil {
		return nil, err
	}
	f, err := s.System.Open(dir)
	if err != nil {
		return nil, err
	}
	s.opened(1)
	return &spyFolder{f, s, ""}, nil
}

// inner gives the embedded interface another name than its method Folder.
type inner = disk.Folder

type spyFolder struct {
	inner
	s    *Spy
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
	f.s.opened(1)
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
	return f.inner.Names(func(part []string) bool {
		f.s.mu.Lock()
		f.s.count.Entries += len(part)
		f.s.mu.Unlock()
		return yield(part)
	})
}

func (f *spyFolder) Create(name string) (disk.File, error) {
	if err := f.s.ask("create", f.at(name)); err != nil {
		return nil, err
	}
	file, err := f.inner.Create(name)
	if err != nil {
		return nil, err
	}
	f.s.opened(1)
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

func (f *spyFolder) Sync() error {
	if err := f.s.ask("fsync", f.path); err != nil || f.s.dropped() {
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
	f.s.opened(1)
	return &spyLock{l, f.s, f.at(name)}, nil
}

func (f *spyFolder) Is(path string) (bool, error) {
	if err := f.s.ask("stat", f.path); err != nil {
		return false, err
	}
	return f.inner.Is(path)
}

func (f *spyFolder) Stamp(name string) (disk.Stamp, error) {
	if err := f.s.ask("stamp", f.at(name)); err != nil {
		return disk.Stamp{}, err
	}
	return f.inner.Stamp(name)
}

func (f *spyFolder) Whole() (disk.Whole, error) {
	if err := f.s.ask("openwhole", f.path); err != nil {
		return nil, err
	}
	if f.s.NoWhole {
		return nil, errors.ErrUnsupported
	}
	w, err := f.inner.Whole()
	if err != nil {
		return nil, err
	}
	f.s.opened(1)
	return &spyWhole{w, f.s, f.path}, nil
}

type spyWhole struct {
	disk.Whole
	s    *Spy
	path string
}

func (w *spyWhole) Sync() error {
	if err := w.s.ask("fsync", w.path); err != nil || w.s.dropped() {
		return err
	}
	return w.Whole.Sync()
}

func (w *spyWhole) Close() error {
	w.s.opened(-1)
	return w.Whole.Close()
}

func (f *spyFolder) Close() error {
	f.s.opened(-1)
	return f.inner.Close()
}

type spyFile struct {
	disk.File
	s    *Spy
	path string
}

func (f *spyFile) Write(data []byte) (int, error) {
	if err := f.s.ask("write", f.path); err != nil {
		n, _ := f.File.Write(data[:len(data)/2]) // a full disk stores a part
		return n, err
	}
	return f.File.Write(data)
}

func (f *spyFile) Sync() error {
	if err := f.s.ask("fsync", f.path); err != nil || f.s.dropped() {
		return err
	}
	return f.File.Sync()
}

func (f *spyFile) Close() error {
	err := f.s.ask("close", f.path)
	f.s.opened(-1)
	return errors.Join(err, f.File.Close())
}

type spyLock struct {
	disk.Lock
	s    *Spy
	path string
}

func (l *spyLock) let() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	delete(l.s.held, l)
}

func (l *spyLock) TryLock() (bool, error) {
	if err := l.s.ask("trylock", l.path); err != nil {
		return false, err
	}
	ok, err := l.Lock.TryLock()
	if ok {
		l.s.mu.Lock()
		defer l.s.mu.Unlock()
		if l.s.held == nil {
			l.s.held = map[*spyLock]bool{}
		}
		l.s.held[l] = true
	}
	return ok, err
}

func (l *spyLock) Unlock() error {
	l.let()
	return l.Lock.Unlock()
}

func (l *spyLock) Is(path string) (bool, error) {
	if err := l.s.ask("stat", l.path); err != nil {
		return false, err
	}
	return l.Lock.Is(path)
}

func (l *spyLock) ReadAt(data []byte, at int64) (int, error) {
	if err := l.s.ask("readat", l.path); err != nil {
		return 0, err
	}
	return l.Lock.ReadAt(data, at)
}

func (l *spyLock) WriteAt(data []byte, at int64) error {
	if err := l.s.ask("writeat", l.path); err != nil {
		return err
	}
	return l.Lock.WriteAt(data, at)
}

func (l *spyLock) Sync() error {
	if err := l.s.ask("fsync", l.path); err != nil || l.s.dropped() {
		return err
	}
	return l.Lock.Sync()
}

func (l *spyLock) Close() error {
	l.s.opened(-1)
	l.let()
	return l.Lock.Close()
}
