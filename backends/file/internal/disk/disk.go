// Package disk is the file backend's access to the file system. Every call goes
// through its interfaces. Tests replace them to count calls, to make each call
// fail and to model power cuts.
package disk

import "errors"

var (
	// ErrEscape is returned for a path with a symbolic link out of the folder.
	ErrEscape = errors.New("a symbolic link leads out of the folder")
	// ErrForeign is returned by a read of something other than a regular file,
	// and of a file that is larger than any record.
	ErrForeign = errors.New("not a regular file, or too large for a record")
	// ErrNoFolder is returned when something else has the name of a folder that
	// is to be opened.
	ErrNoFolder = errors.New("something other than a folder has the folder's name")
)

// System opens folders by their path.
type System interface {
	// MakeAll makes a folder with its parents. With sync, each is durable in
	// its own parent.
	MakeAll(dir string, sync bool) error
	// Open opens an existing folder.
	Open(dir string) (Folder, error)
}

// Folder is an open folder. Names are relative to it, have slashes, and never
// lead out of it. It is safe for concurrent use.
type Folder interface {
	// Folder opens a folder below this one.
	Folder(name string) (Folder, error)
	// Read returns a whole file. It returns ErrForeign if the file has more than
	// limit bytes or is not a regular file.
	Read(name string, limit int64) ([]byte, error)
	// Names calls yield with some names at a time, in no order, until yield
	// returns false.
	Names(yield func(names []string) bool) error
	// Create makes a file that does not exist yet.
	Create(name string) (File, error)
	// Touch makes an empty file. It leaves an existing file as it is.
	Touch(name string) error
	// Mkdir makes a folder that does not exist yet.
	Mkdir(name string) error
	// Rename moves a file and replaces a file that has the new name.
	Rename(from, to string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// Sync makes the folder's names durable.
	Sync() error
	// Lock opens a lock file. It makes the file if it is missing.
	Lock(name string) (Lock, error)
	// Is reports whether path still belongs to this folder.
	Is(path string) (bool, error)
	// Stamp returns the stamp of a folder below this one. It returns
	// errors.ErrUnsupported if the system has none.
	Stamp(name string) (Stamp, error)
	// Whole opens the file system of the folder. It returns errors.ErrUnsupported
	// if a sync of a whole file system does not exist or hides errors.
	Whole() (Whole, error)
	Close() error
}

// Stamp stands for what a folder has in it. It is another one after names were
// added, replaced or removed, for another folder, and after a start of the system. Two
// changes in one tick of the file system's clock may have the same.
type Stamp [40]byte

// Whole is a whole file system.
type Whole interface {
	// Sync makes all files and names durable that were written before it. It returns
	// the errors of all writes since the Whole was opened.
	Sync() error
	Close() error
}

// File is a new file that is being written.
type File interface {
	Write(data []byte) (int, error)
	// Sync makes the contents durable.
	Sync() error
	Close() error
}

// Lock is an open lock file. Two Locks of one file exclude each other, also in
// one process, if the system has locks: see [BetweenProcesses].
type Lock interface {
	// TryLock takes the lock if it is free, and reports whether it did.
	TryLock() (bool, error)
	Unlock() error
	// ReadAt reads from the file. It returns fewer bytes if the file ends.
	ReadAt(data []byte, at int64) (int, error)
	WriteAt(data []byte, at int64) error
	// Sync makes the contents durable.
	Sync() error
	// Is reports whether path still belongs to this file.
	Is(path string) (bool, error)
	Close() error
}
