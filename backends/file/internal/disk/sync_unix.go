//go:build !windows

package disk

import "os"

// syncFolder makes a folder's names durable.
func syncFolder(dir *os.File) error { return dir.Sync() }
