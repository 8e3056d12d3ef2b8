//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package disk

import (
	"errors"
	"os"
	"syscall"
)

// BetweenProcesses says that locks exclude other processes too.
const BetweenProcesses = true

// openNonblock keeps an open of a foreign named pipe from waiting for its
// other end, and spares regular files four fcntl calls of the os package.
const openNonblock = syscall.O_NONBLOCK

// tryLock uses flock: it belongs to the open file, so two handles of one
// process exclude each other, and the kernel releases it when a process dies.
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

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
