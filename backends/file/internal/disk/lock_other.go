//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package disk

import "os"

// BetweenProcesses says that locks exclude other processes too: not here, the
// system has no lock that belongs to an open file. One Backend excludes its own
// goroutines; a store must have no other.
const BetweenProcesses = false

const openNonblock = 0

func tryLock(*os.File) (bool, error) { return true, nil }
func unlock(*os.File) error          { return nil }
