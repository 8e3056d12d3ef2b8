//go:build unix

package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// walkStats calls do for everything below a directory.
func walkStats(t *testing.T, dir string, do func(path string, info fs.FileInfo, st *syscall.Stat_t)) {
	t.Helper()
	n := 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n++
			do(path, info, info.Sys().(*syscall.Stat_t))
		}
		return err
	}))
	if n < 10 {
		t.Fatalf("only %d files and folders below %s", n, dir)
	}
}

// use makes every kind of file and folder that a store has.
func use(t *testing.T, dir string, opts *Options) {
	t.Helper()
	b := open(t, dir, "store", opts)
	must(t, b.CreateStorage(t.Context()))
	create(t, b, newRecord("a", "ann", inHour))
	write(t, b, driver.IfPresent, newRecord("a", "bob", inDay))
	must(t, onlyErr(b.Rebuild(t.Context())))
}

// TestRootLeavesNothingOfItsOwn runs a job of root on the directory of another
// user. All that it makes belongs to that user.
func TestRootLeavesNothingOfItsOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	home := memoryDir(t)
	must(t, os.Chown(home, nobodyID, nobodyID+1))
	dir := filepath.Join(home, "made", "by", "New")
	use(t, dir, nil)
	walkStats(t, home, func(path string, _ fs.FileInfo, st *syscall.Stat_t) {
		if st.Uid != nobodyID || st.Gid != nobodyID+1 {
			t.Errorf("%s belongs to %d:%d, want %d:%d", path, st.Uid, st.Gid, nobodyID, nobodyID+1)
		}
	})
}

const nobodyID = 65534 - 1

// TestOptionsModes checks the modes of new files under a strict umask, and that
// folders keep the setgid bit of their parent.
func TestOptionsModes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := memoryDir(t)
	must(t, os.Chmod(dir, 0o770|fs.ModeSetgid))
	use(t, dir, &Options{FileMode: 0o660, DirMode: 0o770})
	walkStats(t, in(dir), func(path string, info fs.FileInfo, _ *syscall.Stat_t) {
		want := fs.FileMode(0o660)
		if info.IsDir() {
			want = 0o770 | fs.ModeDir | fs.ModeSetgid
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode(), want)
		}
	})
	for _, o := range []Options{{FileMode: 0o440}, {DirMode: 0o600}, {FileMode: 0o600 | fs.ModeSetuid}, {DirMode: fs.ModeDir | 0o700}} {
		if _, err := New(dir, "store", &o); model.Kind(err) != model.ErrInvalid {
			t.Errorf("%+v: %v, want %v", o, err, model.ErrInvalid)
		}
	}
}
