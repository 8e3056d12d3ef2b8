package disk

import (
	"errors"
	"io/fs"
	"testing"
)

// anyFolder gives the embedded interface another name than its method Folder.
type anyFolder = Folder

// fakeFolder counts syncs, which fail as long as err is set.
type fakeFolder struct {
	anyFolder
	have  map[string]bool
	syncs int
	err   error
}

func (f *fakeFolder) Mkdir(name string) error {
	if f.have[name] {
		return fs.ErrExist
	}
	f.have[name] = true
	return nil
}

func (f *fakeFolder) Sync() error {
	f.syncs++
	return f.err
}

// TestFailedSyncIsRepairedOnce checks that a folder whose sync failed is synced
// by those who use it until a sync succeeds, and no longer.
func TestFailedSyncIsRepairedOnce(t *testing.T) {
	f := &fakeFolder{have: map[string]bool{}}
	var m Maker
	use := func(want error, fresh bool, names ...string) {
		t.Helper()
		for _, name := range names {
			if _, ok := m.fresh["s/"+name]; ok != m.Fresh("s", name) {
				t.Fatal("two answers")
			}
		}
		if err := m.MakeEach(f, "s", names...); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		for _, name := range names {
			if m.Fresh("s", name) != fresh {
				t.Errorf("%s is fresh: %v, want %v", name, !fresh, fresh)
			}
		}
	}
	f.err = errors.New("disk")
	use(f.err, true, "a", "b")
	use(f.err, true, "a")
	failed := f.syncs
	f.err = nil
	use(nil, false, "a")
	use(nil, false, "b")
	if f.syncs != failed+2 {
		t.Errorf("%d syncs to repair two folders", f.syncs-failed)
	}
	for range 3 {
		use(nil, false, "a", "b")
	}
	if f.syncs != failed+2 || len(m.fresh) != 0 {
		t.Errorf("%d syncs after the repair, %d paths still fresh", f.syncs-failed-2, len(m.fresh))
	}
}
