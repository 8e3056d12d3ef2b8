package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

const (
	fileMode   fs.FileMode = 0o600
	folderMode fs.FileMode = 0o700
	namesChunk             = 1024
)

// OS is the file system of the operating system. [os.Root] confines every path.
type OS struct{}

var _ System = OS{}

// MakeAll makes a folder and its parents.
func (s OS) MakeAll(dir string, sync bool) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := s.MakeAll(parent, sync); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, folderMode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !sync {
		return nil
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(f), f.Close())
}

// Open opens a folder.
func (OS) Open(dir string) (Folder, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, noFolder(err)
	}
	return &folder{root: r}, nil
}

// identity remembers which file or folder a handle refers to, from the first
// question on.
type identity struct {
	mu   sync.Mutex
	info fs.FileInfo
}

func (i *identity) is(path string, stat func() (fs.FileInfo, error)) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.info == nil {
		info, err := stat()
		if err != nil {
			return false, err
		}
		i.info = info
	}
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(i.info, now), nil
}

type folder struct {
	root *os.Root
	id   identity
}

func (f *folder) Folder(name string) (Folder, error) {
	r, err := f.root.OpenRoot(filepath.FromSlash(name))
	if err != nil {
		return nil, noFolder(escape(err))
	}
	return &folder{root: r}, nil
}

func (f *folder) Read(name string, limit int64) ([]byte, error) {
	file, err := f.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, escape(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrForeign}
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(file, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return data[:n], err
}

// self opens the folder itself, for a read of its names or a sync.
func (f *folder) self() (*os.File, error) {
	return f.root.OpenFile(".", os.O_RDONLY|openNonblock, 0)
}

func (f *folder) Names(yield func([]string) bool) error {
	dir, err := f.self()
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	for {
		names, err := dir.Readdirnames(namesChunk)
		if len(names) > 0 && !yield(names) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *folder) Create(name string) (File, error) {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|openNonblock, fileMode)
	if err != nil {
		return nil, escape(err)
	}
	return file, nil
}

func (f *folder) Touch(name string) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|openNonblock, fileMode)
	if err != nil {
		return escape(err)
	}
	return file.Close()
}

func (f *folder) Mkdir(name string) error { return escape(f.root.Mkdir(name, folderMode)) }

func (f *folder) Rename(from, to string) error {
	return escape(f.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to)))
}

func (f *folder) Remove(name string) error { return escape(f.root.Remove(filepath.FromSlash(name))) }

func (f *folder) Sync() error {
	dir, err := f.self()
	if err != nil {
		return err
	}
	return errors.Join(syncFolder(dir), dir.Close())
}

func (f *folder) Is(path string) (bool, error) {
	return f.id.is(path, func() (fs.FileInfo, error) { return f.root.Stat(".") })
}

func (f *folder) Close() error { return f.root.Close() }

// Lock opens the file read-only if the process may not write. So a process that
// may only read still excludes writers while it lists.
func (f *folder) Lock(name string) (Lock, error) {
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|openNonblock, fileMode)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if ro, roErr := f.root.OpenFile(name, os.O_RDONLY|openNonblock, 0); roErr == nil {
			file, err = ro, nil
		}
	}
	if err != nil {
		return nil, escape(err)
	}
	return &lock{file: file}, nil
}

type lock struct {
	file *os.File
	id   identity
}

func (l *lock) TryLock() (bool, error) { return tryLock(l.file) }
func (l *lock) Unlock() error          { return unlock(l.file) }
func (l *lock) Is(path string) (bool, error) {
	return l.id.is(path, l.file.Stat)
}
func (l *lock) Close() error { return l.file.Close() }

// escapeText is the text of the error that os.Root returns for a path that leaves
// it. The os package does not export the error.
const escapeText = "path escapes from parent"

// noFolderText is the text of the error that os.Root returns for a file in the
// place of the folder.
const noFolderText = "not a directory"

// noFolder replaces the errors for such a file with ErrNoFolder.
func noFolder(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && (errors.Is(err, syscall.ENOTDIR) || path.Err.Error() == noFolderText) {
		return &fs.PathError{Op: path.Op, Path: path.Path, Err: ErrNoFolder}
	}
	return err
}

// escape replaces os.Root's unexported error with ErrEscape.
func escape(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && path.Err.Error() == escapeText {
		return &fs.PathError{Op: path.Op, Path: path.Path, Err: ErrEscape}
	}
	var link *os.LinkError
	if errors.As(err, &link) && link.Err.Error() == escapeText {
		return &fs.PathError{Op: link.Op, Path: link.New, Err: ErrEscape}
	}
	return err
}
