//go:build aix || (solaris && !illumos)

package disk

import (
	"os"
	"syscall"
)

// BetweenProcesses reports whether locks also exclude other processes.
const BetweenProcesses = true

const openNonblock = syscall.O_NONBLOCK

var processLocks recordLocks

func tryLock(f *os.File) (bool, error) { return processLocks.tryLock(f) }
func unlock(f *os.File) error          { return processLocks.unlock(f) }
func closeLock(f *os.File) error       { return processLocks.close(f) }
