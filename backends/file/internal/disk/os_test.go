package disk

import (
	"errors"
	"path/filepath"
	"testing"
)

// badSystem counts the syncs of folders. They fail as long as err is set.
type badSystem struct {
	OS
	syncs int
	err   error
}

func (s *badSystem) Open(dir string) (Folder, error) {
	f, err := s.OS.Open(dir)
	return &badFolder{f, s}, err
}

type badFolder struct {
	anyFolder
	s *badSystem
}

func (f *badFolder) Sync() error {
	f.s.syncs++
	return f.s.err
}

// TestMakeAllAfterAFailedSync checks that a directory whose sync failed is not
// taken for durable by the next call.
func TestMakeAllAfterAFailedSync(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := &badSystem{err: errors.New("disk")}
	for range 2 {
		if err := makeAll(s, dir, true); !errors.Is(err, s.err) {
			t.Fatalf("with a failing sync: %v", err)
		}
	}
	s.syncs, s.err = 0, nil
	if err := makeAll(s, dir, true); err != nil || s.syncs != 2 {
		t.Errorf("%v after %d syncs, want one for each of two folders", err, s.syncs)
	}
	if err := makeAll(s, dir, true); err != nil || s.syncs != 2 {
		t.Errorf("%v after %d syncs, want none for folders that are durable", err, s.syncs-2)
	}
}
