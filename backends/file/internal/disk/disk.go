// Package disk is the seam between the file backend and the file system: every
// call that the backend makes goes through these interfaces, so that tests can
// count calls, inject failures at each of them and model power cuts.
package disk

import "errors"

var (
	// ErrEscape is the failure of a path in which a symbolic link leads out.
	ErrEscape = errors.New("a symbolic link leads out of the folder")
	// ErrForeign is the failure of reading what is no regular file, or larger
	// than any that was written.
	ErrForeign = errors.New("no regular file of a lawful size")
)

// System opens folders by their path.
type System interface {
	// MakeAll makes a folder with its parents, each durable in its own parent
	// where sync is set.
	MakeAll(dir string, sync bool) error
	// Open opens an existing folder.
	Open(dir string) (Folder, error)
}

// Folder is an open folder. Names are relative to it, with slashes, and never
// lead out of it. It is safe for concurrent use.
type Folder interface {
	// Folder opens a folder below this one.
	Folder(name string) (Folder, error)
	// Read returns a whole file; ErrForeign where it has more than limit
	// bytes or is no regular file.
	Read(name string, limit int64) ([]byte, error)
	// Names calls yield with names in no order, a part at a time, until it
	// returns false.
	Names(yield func(names []string) bool) error
	// Create makes a file that does not exist yet.
	Create(name string) (File, error)
	// Touch makes an empty file; one that exists is left as it is.
	Touch(name string) error
	// Mkdir makes a folder that does not exist yet.
	Mkdir(name string) error
	// Rename moves a file over whatever file has the new name.
	Rename(from, to string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// RemoveAll removes a folder with all in it; one that is missing is fine.
	RemoveAll(name string) error
	// Sync makes the folder's names durable.
	Sync() error
	// Lock opens a lock file, made where it is missing.
	Lock(name string) (Lock, error)
	// Is reports whether path still names this very folder.
	Is(path string) (bool, error)
	Close() error
}

// File is a new file under way.
type File interface {
	Write(data []byte) (int, error)
	// Sync makes the contents durable.
	Sync() error
	Close() error
}

// Lock is an open lock file. Two of them exclude each other, in one process
// too, as far as the system has locks: see [BetweenProcesses].
type Lock interface {
	// TryLock takes the lock unless somebody has it.
	TryLock() (bool, error)
	Unlock() error
	// Is reports whether path still names this very file.
	Is(path string) (bool, error)
	Close() error
}
