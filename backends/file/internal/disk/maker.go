package disk

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
)

// Maker makes folders, each durable in its parent. A folder is seen by others
// before its parent is synced: until that is known to be done it is fresh, and
// who uses it syncs the parent too. The zero Maker syncs.
type Maker struct {
	NoSync bool

	mu    sync.Mutex
	fresh map[string]int // makers by path
}

func (m *Maker) begin(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh == nil {
		m.fresh = map[string]int{}
	}
	m.fresh[path]++
}

// end returns whether others are still at it.
func (m *Maker) end(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh[path]--; m.fresh[path] > 0 {
		return true
	}
	delete(m.fresh, path)
	return false
}

// Fresh reports whether one of the folders of sub, below at, is fresh.
func (m *Maker) Fresh(at, sub string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.fresh) == 0 {
		return false
	}
	for part := range strings.SplitSeq(sub, "/") {
		at += "/" + part
		if m.fresh[at] > 0 {
			return true
		}
	}
	return false
}

// Make makes the folders of sub below f, which is at that path.
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

// MakeEach makes folders below f, which is at that path, with one sync. They
// stay fresh where that fails.
func (m *Maker) MakeEach(f Folder, at string, names ...string) error {
	var made []string
	needed := false
	for _, name := range names {
		path := at + "/" + name
		m.begin(path)
		err := f.Mkdir(name)
		switch {
		case err == nil:
			made = append(made, path)
		case errors.Is(err, fs.ErrExist):
			needed = m.end(path) || needed
		default:
			m.end(path)
			return err // those made so far stay fresh
		}
	}
	if len(made) == 0 && !needed || m.NoSync {
		m.endAll(made)
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	m.endAll(made)
	return nil
}

func (m *Maker) endAll(paths []string) {
	for _, path := range paths {
		m.end(path)
	}
}
