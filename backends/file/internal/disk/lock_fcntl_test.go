//go:build unix

package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const lockVariable = "SOJOURN_DISK_TEST_LOCK"

// TestMain tries the lock of a file, if a test has started it as another
// process.
func TestMain(m *testing.M) {
	path := os.Getenv(lockVariable)
	if path == "" {
		os.Exit(m.Run())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		os.Exit(2)
	}
	var l recordLocks
	if got, err := l.tryLock(f); err != nil {
		os.Exit(2)
	} else if got {
		os.Exit(0)
	}
	os.Exit(1)
}

// TestRecordLocks checks the locks of systems without flock, here too: between
// the handles of a process and between processes, also after a close.
func TestRecordLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func(how int) *os.File {
		t.Helper()
		f, err := os.OpenFile(path, how, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var l recordLocks
	takes := func(f *os.File, want bool) {
		t.Helper()
		if got, err := l.tryLock(f); err != nil || got != want {
			t.Errorf("took the lock: %v, %v; want %v", got, err, want)
		}
	}
	otherTakes := func(want bool) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), lockVariable+"="+path)
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code > 1 || (err == nil) != want {
			t.Errorf("another process took the lock: %v, %v; want %v", err == nil, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	a, b, c := open(os.O_RDWR|os.O_CREATE), open(os.O_RDWR), open(os.O_RDONLY)
	takes(a, true)
	takes(a, false)
	takes(b, false)
	otherTakes(false)
	must(l.close(b)) // would release the lock of a
	otherTakes(false)
	must(l.unlock(b))
	takes(c, false)
	must(l.unlock(a))
	otherTakes(true)
	takes(c, true) // may only read, and still excludes writers
	takes(a, false)
	otherTakes(false)
	must(l.close(c))
	otherTakes(true)
	takes(a, true)
	must(l.close(a))
	otherTakes(true)
	if len(l.files) != 0 {
		t.Errorf("%d locks are noted after all were closed", len(l.files))
	}
}
