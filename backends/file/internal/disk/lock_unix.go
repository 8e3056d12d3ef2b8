//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package disk

import (
	"errors"
	"os"
	"syscall"
)

// BetweenProcesses reports whether locks also exclude other processes.
const BetweenProcesses = true

// openNonblock makes the open of a foreign named pipe return at once instead of
// waiting for its other end. For regular files it saves four fcntl calls of the
// os package.
const openNonblock = syscall.O_NONBLOCK

// tryLock uses flock, which belongs to the open file: two handles of one process
// exclude each other, and the kernel releases the lock when the process ends.
func tryLock(f *os.File) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return true, nil
}

func unlock(f *os.File) error { return flock(f, syscall.LOCK_UN) }

func closeLock(f *os.File) error { return f.Close() }

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
