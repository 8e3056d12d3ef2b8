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

// The default modes.
const (
	FileMode   fs.FileMode = 0o600
	FolderMode fs.FileMode = 0o700
)

const namesChunk = 1024

// OS is the file system of the operating system. [os.Root] confines every path.
// What root makes belongs to the owner and group of the folder that it is made
// in.
type OS struct {
	FileMode   fs.FileMode // of new files; zero means FileMode
	FolderMode fs.FileMode // of new folders; zero means FolderMode
}

var _ System = OS{}

// MakeAll makes a folder and its parents. It removes a folder that it could not
// make durable: else the next call would find it and take it for durable.
func (s OS) MakeAll(dir string, sync bool) error { return makeAll(s, dir, sync) }

func makeAll(s System, dir string, sync bool) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeAll(s, parent, sync); err != nil {
			return err
		}
	}
	f, err := s.Open(parent)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	made := f.Mkdir(filepath.Base(dir))
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return made
	}
	if !sync {
		return nil
	}
	if err = f.Sync(); err != nil && made == nil {
		_ = f.Remove(filepath.Base(dir))
	}
	return err
}

// Open opens a folder.
func (s OS) Open(dir string) (Folder, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, noFolder(err)
	}
	return &folder{root: r, making: newMaking(s)}, nil
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
	root   *os.Root
	making *ownership
	id     identity
}

func (f *folder) Folder(name string) (Folder, error) {
	r, err := f.root.OpenRoot(filepath.FromSlash(name))
	if err != nil {
		return nil, noFolder(escape(err))
	}
	return &folder{root: r, making: f.making.below()}, nil
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
	return f.create(name, os.O_WRONLY)
}

// create makes a file that does not exist yet, with the mode and owner of the
// store's files.
func (f *folder) create(name string, access int) (*os.File, error) {
	file, err := f.root.OpenFile(name, access|os.O_CREATE|os.O_EXCL|openNonblock, f.making.file)
	if err != nil {
		return nil, escape(err)
	}
	if err := f.own(file, f.making.file, FileMode); err != nil {
		_ = file.Close()
		_ = f.root.Remove(name)
		return nil, err
	}
	return file, nil
}

// own gives a new file or folder its owner, and its mode if the process's umask
// may have taken a part of that.
func (f *folder) own(file *os.File, mode, plain fs.FileMode) error {
	f.making.inherit(f.root, file)
	if mode == plain {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return file.Chmod(mode | info.Mode()&fs.ModeSetgid) // which a folder has from its parent
}

func (f *folder) Touch(name string) error {
	file, err := f.create(name, os.O_WRONLY)
	if errors.Is(err, fs.ErrExist) {
		return f.mustBeFile(name)
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// mustBeFile opens a file to see that it is there.
func (f *folder) mustBeFile(name string) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|openNonblock, 0)
	if err != nil {
		return escape(err)
	}
	return file.Close()
}

func (f *folder) Mkdir(name string) error {
	if err := f.root.Mkdir(name, f.making.folder); err != nil {
		return escape(err)
	}
	if !f.making.changes() {
		return nil
	}
	dir, err := f.root.OpenFile(name, os.O_RDONLY|openNonblock, 0)
	if err == nil {
		err = errors.Join(f.own(dir, f.making.folder, FolderMode), dir.Close())
	}
	if err != nil {
		_ = f.root.Remove(name)
	}
	return escape(err)
}

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

func (f *folder) Stamp(name string) (Stamp, error) {
	info, err := f.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return Stamp{}, escape(err)
	}
	return stampOf(info)
}

func (f *folder) Close() error { return f.root.Close() }

func (f *folder) Whole() (Whole, error) {
	if !syncsWhole() {
		return nil, errors.ErrUnsupported
	}
	dir, err := f.self()
	if err != nil {
		return nil, err
	}
	ok, err := isWhole(dir)
	if err == nil && !ok {
		err = errors.ErrUnsupported
	}
	if err != nil {
		_ = dir.Close()
		return nil, err
	}
	return &whole{dir: dir}, nil
}

type whole struct{ dir *os.File }

func (w *whole) Sync() error  { return syncWhole(w.dir) }
func (w *whole) Close() error { return w.dir.Close() }

// Lock opens the file read-only if the process may not write. So a process that
// may only read still excludes writers while it lists.
func (f *folder) Lock(name string) (Lock, error) {
	file, err := f.root.OpenFile(name, os.O_RDWR|openNonblock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if file, err = f.create(name, os.O_RDWR); errors.Is(err, fs.ErrExist) {
			file, err = f.root.OpenFile(name, os.O_RDWR|openNonblock, 0)
		}
	}
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
func (l *lock) Close() error { return closeLock(l.file) }
func (l *lock) Sync() error  { return syncData(l.file) }

func (l *lock) ReadAt(data []byte, at int64) (int, error) {
	n, err := l.file.ReadAt(data, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (l *lock) WriteAt(data []byte, at int64) error {
	_, err := l.file.WriteAt(data, at)
	return err
}

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
