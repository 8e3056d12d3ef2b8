package disk

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
)

// Maker makes folders, each durable in its parent. Other goroutines see a folder
// before its parent is synced. Until the sync has succeeded the folder is fresh,
// and whoever uses it syncs the parent too. The zero Maker syncs.
type Maker struct {
	NoSync bool

	mu    sync.Mutex
	fresh map[string]int // the number of calls that make a path
}

func (m *Maker) begin(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh == nil {
		m.fresh = map[string]int{}
	}
	m.fresh[path]++
}

// end reports whether other calls still make the path.
func (m *Maker) end(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh[path]--; m.fresh[path] > 0 {
		return true
	}
	delete(m.fresh, path)
	return false
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
		if m.fresh[at] > 0 {
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
			return err // the folders made so far stay fresh
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
