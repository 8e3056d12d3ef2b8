//go:build unix

package disk

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// recordLocks makes locks from those of POSIX, which AIX and Solaris have
// instead of flock. Those belong to the process: they do not exclude its own
// handles, and a close of any handle releases them all. So it notes which handle
// has a file's lock, and closes other handles only when the lock is free.
type recordLocks struct {
	mu    sync.Mutex
	files map[fileID]*recordLock
}

type fileID struct{ dev, ino uint64 }

type recordLock struct {
	holder *os.File
	unused []*os.File // to be closed
}

func (l *recordLocks) tryLock(f *os.File) (bool, error) {
	id, err := idOf(f)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files[id] != nil {
		return false, nil
	}
	err = fcntl(f, syscall.F_WRLCK)
	if errors.Is(err, syscall.EBADF) { // a handle that may only read
		err = fcntl(f, syscall.F_RDLCK)
	}
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EAGAIN) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "fcntl", Path: f.Name(), Err: err}
	}
	if l.files == nil {
		l.files = map[fileID]*recordLock{}
	}
	l.files[id] = &recordLock{holder: f}
	return true, nil
}

func (l *recordLocks) unlock(f *os.File) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, lock := range l.files {
		if lock.holder != f {
			continue
		}
		err := fcntl(f, syscall.F_UNLCK)
		delete(l.files, id)
		for _, other := range lock.unused {
			err = errors.Join(err, other.Close())
		}
		return err
	}
	return nil
}

func (l *recordLocks) close(f *os.File) error {
	id, err := idOf(f)
	if err != nil {
		return f.Close()
	}
	if err := l.unlock(f); err != nil {
		return errors.Join(err, f.Close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if lock := l.files[id]; lock != nil {
		lock.unused = append(lock.unused, f)
		return nil
	}
	return f.Close()
}

func fcntl(f *os.File, how int16) error {
	for {
		lock := syscall.Flock_t{Type: how, Whence: io.SeekStart} // all of the file
		if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func idOf(f *os.File) (fileID, error) {
	info, err := f.Stat()
	if err != nil {
		return fileID{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, &os.PathError{Op: "stat", Path: f.Name(), Err: errors.ErrUnsupported}
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, nil //nolint:unconvert // the types differ between systems
}
