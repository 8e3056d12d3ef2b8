//go:build !(aix || darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris || windows)

package disk

import "os"

// BetweenProcesses reports whether locks also exclude other processes. It is
// false, because this system has no locks. A Backend excludes only its own
// goroutines, so a store must have only one Backend.
const BetweenProcesses = false

const openNonblock = 0

func tryLock(*os.File) (bool, error) { return true, nil }
func unlock(*os.File) error          { return nil }
func closeLock(f *os.File) error     { return f.Close() }
