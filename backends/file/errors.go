package file

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

var (
	// errStale: an open folder is no longer the one that its path names, since
	// the store was deleted; the call starts again.
	errStale = model.NewError(model.ErrUnavailable, "the store's folders were replaced again and again during the call", nil)
	// errNoStore: nothing was stored yet; the caller gives it a meaning.
	errNoStore = model.NewError(model.ErrNotFound, "the store has no folder yet", nil)
)

// unavailable is the error of a call to the file system after which nothing is
// applied.
func unavailable(err error) error { return failed(model.ErrUnavailable, err) }

// unknown is the error of a call after which the write may be applied.
func unknown(err error) error { return failed(model.ErrUnknown, err) }

// unsynced is the error of a sync after the write was applied: it is visible
// and may not outlast a power cut, so to look at it would prove nothing.
func unsynced(err error) error {
	if err == nil {
		return nil
	}
	return driver.MarkUndecidable(unknown(err))
}

func failed(kind, err error) error {
	switch {
	case err == nil:
		return nil
	case model.Kind(err) != nil:
		return err
	case errors.Is(err, syscall.EFBIG) && !errors.Is(kind, model.ErrUnknown):
		kind = model.ErrTooLarge
	}
	return model.NewError(kind, reason(err), err)
}

// reason is the system's own word, without the path.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, disk.ErrEscape):
		return disk.ErrEscape.Error()
	case errors.Is(err, disk.ErrForeign):
		return disk.ErrForeign.Error()
	}
	return "the file system gave no reason"
}

// unreadable is the error of opening or reading a record's file: ErrCorrupt
// where something else than a file has its name.
func unreadable(err error) error {
	if errors.Is(err, disk.ErrEscape) || errors.Is(err, disk.ErrForeign) ||
		errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ELOOP) {
		return model.NewError(model.ErrCorrupt, reason(err), err)
	}
	return unavailable(err)
}

// moved is the error of the rename or removal that carries out a write. Most
// refusals are certain to have changed nothing; an I/O error or one that is
// not known leaves that open.
func moved(err error) error {
	if err == nil {
		return nil
	}
	for _, certain := range refusals {
		if errors.Is(err, certain) {
			return unavailable(err)
		}
	}
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOTEMPTY) {
		return model.NewError(model.ErrCorrupt, "a folder where the record should be", err)
	}
	return unknown(err)
}

var refusals = []error{
	fs.ErrNotExist, fs.ErrPermission, disk.ErrEscape,
	syscall.ENOSPC, syscall.EROFS, syscall.ENOTDIR, syscall.ELOOP, syscall.EINVAL,
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENAMETOOLONG, syscall.EMLINK, syscall.EXDEV,
}

// errMissing is a file or folder that is not there.
var errMissing = fs.ErrNotExist

func isMissing(err error) bool { return errors.Is(err, errMissing) }
