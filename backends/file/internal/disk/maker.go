package disk

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
)

// Maker makes folders, each durable in its parent. Other goroutines see a folder
// before its parent is synced. Until a sync has succeeded the folder is fresh,
// and whoever uses it syncs the parent too. The zero Maker syncs.
type Maker struct {
	NoSync bool

	mu    sync.Mutex
	fresh map[string]making
	fails uint64
}

// making is the state of a path that is fresh.
type making struct {
	calls  int    // those that make it now
	failed uint64 // the number of the last failed sync; zero if none, or repaired
}

// update changes the state of a path and returns the new one. A path that is
// no longer fresh is forgotten.
func (m *Maker) update(path string, change func(*making)) making {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh == nil {
		m.fresh = map[string]making{}
	}
	s := m.fresh[path]
	if change(&s); s == (making{}) {
		delete(m.fresh, path)
	} else {
		m.fresh[path] = s
	}
	return s
}

// unsynced is a path that a call has to sync.
type unsynced struct {
	path  string
	calls int    // 1 if the call made the folder
	seen  uint64 // the failure that the sync repairs, if none has come since
}

func (m *Maker) end(u unsynced, err error) {
	m.update(u.path, func(s *making) {
		s.calls -= u.calls
		switch {
		case err != nil:
			m.fails++
			s.failed = m.fails
		case s.failed == u.seen:
			s.failed = 0
		}
	})
}

// Fresh reports whether one of the folders of sub is fresh. At is the path of
// the folder that sub is relative to.
func (m *Maker) Fresh(at, sub string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.fresh) == 0 {
		return false
	}
	for part := range strings.SplitSeq(sub, "/") {
		at += "/" + part
		if _, ok := m.fresh[at]; ok {
			return true
		}
	}
	return false
}

// Make makes the folders of sub below f. At is the path of f.
func (m *Maker) Make(f Folder, at, sub string) error {
	name, rest, more := strings.Cut(sub, "/")
	if err := m.MakeEach(f, at, name); err != nil || !more {
		return err
	}
	g, err := f.Folder(name)
	if err != nil {
		return err
	}
	defer func() { _ = g.Close() }()
	return m.Make(g, at+"/"+name, rest)
}

// MakeEach makes folders below f with one sync. They stay fresh if the sync
// fails. At is the path of f.
func (m *Maker) MakeEach(f Folder, at string, names ...string) error {
	made, err := m.mkdirs(f, at, names)
	if err == nil && len(made) > 0 && !m.NoSync {
		err = f.Sync()
	}
	for _, u := range made {
		m.end(u, err)
	}
	return err
}

// mkdirs makes folders. It returns those that are not durable yet, also if it
// fails.
func (m *Maker) mkdirs(f Folder, at string, names []string) (made []unsynced, err error) {
	for _, name := range names {
		u := unsynced{path: at + "/" + name, calls: 1}
		u.seen = m.update(u.path, func(s *making) { s.calls++ }).failed
		err := f.Mkdir(name)
		if err == nil {
			made = append(made, u)
			continue
		}
		left := m.update(u.path, func(s *making) { s.calls-- })
		if !errors.Is(err, fs.ErrExist) {
			return made, err
		}
		if left != (making{}) { // others make it, or could not sync it
			made = append(made, unsynced{path: u.path, seen: left.failed})
		}
	}
	return made, nil
}
