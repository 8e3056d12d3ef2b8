package disk

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// BetweenProcesses reports whether locks also exclude other processes.
const BetweenProcesses = true

const openNonblock = 0

const (
	lockfileFailImmediately = 1
	lockfileExclusiveLock   = 2
	errLockViolation        = syscall.Errno(33)
	errIOPending            = syscall.Errno(997)
)

var (
	kernel32         = syscall.NewLazyDLL("kernel32.dll")
	procLockFileEx   = kernel32.NewProc("LockFileEx")
	procUnlockFileEx = kernel32.NewProc("UnlockFileEx")
)

// tryLock uses LockFileEx, which belongs to the handle: two handles of one
// process exclude each other.
func tryLock(f *os.File) (bool, error) {
	var at syscall.Overlapped
	r, _, err := procLockFileEx.Call(f.Fd(), lockfileExclusiveLock|lockfileFailImmediately, 0, 1, 0, uintptr(unsafe.Pointer(&at))) //nolint:gosec // an argument of the system call
	if r != 0 {
		return true, nil
	}
	if errors.Is(err, errLockViolation) || errors.Is(err, errIOPending) {
		return false, nil
	}
	return false, &os.PathError{Op: "LockFileEx", Path: f.Name(), Err: err}
}

func unlock(f *os.File) error {
	var at syscall.Overlapped
	if r, _, err := procUnlockFileEx.Call(f.Fd(), 0, 1, 0, uintptr(unsafe.Pointer(&at))); r == 0 { //nolint:gosec // an argument of the system call
		return &os.PathError{Op: "UnlockFileEx", Path: f.Name(), Err: err}
	}
	return nil
}
