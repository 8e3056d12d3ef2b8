//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package disk

import "os"

// BetweenProcesses reports whether locks also exclude other processes. It is
// false, because this system has no lock that belongs to an open file. A Backend
// excludes only its own goroutines, so a store must have only one Backend.
const BetweenProcesses = false

const openNonblock = 0

func tryLock(*os.File) (bool, error) { return true, nil }
func unlock(*os.File) error          { return nil }
