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
	// errStale means that an open folder was deleted or replaced, because the
	// store was deleted. The call starts again.
	errStale = model.NewError(model.ErrUnavailable, "the store's folders kept being deleted during the call", nil)
	// errNoStore means that nothing was stored yet. Its caller decides what
	// that means.
	errNoStore = model.NewError(model.ErrNotFound, "the store has no folder yet", nil)
)

// unavailable returns the error of a failed call to the file system, if nothing
// was applied. What is missing was deleted with the store: the caller has handled
// whatever may be missing without that.
func unavailable(err error) error {
	if isMissing(err) && model.Kind(err) == nil {
		return errStale
	}
	return fileError(model.ErrUnavailable, err)
}

// unknown returns the error of a failed call to the file system, if the write
// may have been applied.
func unknown(err error) error { return fileError(model.ErrUnknown, err) }

// unsynced returns the error of a sync that failed after the write was applied.
// A read cannot decide the outcome: the write is visible, but a power cut may
// undo it.
func unsynced(err error) error {
	if err == nil {
		return nil
	}
	return driver.MarkUndecidable(unknown(err))
}

func fileError(kind, err error) error {
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

// withKind returns the error with another kind.
func withKind(kind, err error) error {
	if err == nil || model.Kind(err) == kind { // ErrUnknown is ErrUnavailable too
		return err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return model.NewError(kind, errno.Error(), errno)
	}
	return model.NewError(kind, reason(err), nil)
}

// reason returns the system's own text for the error, without the path.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, disk.ErrEscape):
		return disk.ErrEscape.Error()
	case errors.Is(err, disk.ErrForeign):
		return disk.ErrForeign.Error()
	case errors.Is(err, disk.ErrNoFolder):
		return disk.ErrNoFolder.Error()
	}
	return "the file system gave no reason"
}

// unreadable returns the error of opening or reading a record's file. It is
// ErrCorrupt if the name belongs to something other than a file.
func unreadable(err error) error {
	if errors.Is(err, disk.ErrEscape) || errors.Is(err, disk.ErrForeign) ||
		errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ELOOP) ||
		errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.EOPNOTSUPP) { // a socket
		return model.NewError(model.ErrCorrupt, reason(err), err)
	}
	// A damaged medium, or a file system's own checksum, fails one file.
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG) {
		return model.NewError(model.ErrUnavailable, "the record's file cannot be read: "+reason(err), fileOnlyError{err})
	}
	return unavailable(err)
}

// fileOnlyError marks an error of one record's file that says nothing about
// others.
type fileOnlyError struct{ error }

func (e fileOnlyError) Unwrap() error { return e.error }

// isUnreadable reports whether the error is of one record only: what walks the
// records goes on.
func isUnreadable(err error) bool {
	var only fileOnlyError
	return errors.Is(err, model.ErrCorrupt) || errors.As(err, &only)
}

func ignoreUnreadable(err error) error {
	if isUnreadable(err) {
		return nil
	}
	return err
}

// changeError returns the error of the rename or removal that carries out a
// write. Most refusals have certainly changed nothing. After an I/O error, or
// an error that is not in the list, the outcome is unknown.
func changeError(err error) error {
	if err == nil {
		return nil
	}
	for _, certain := range refusals {
		if errors.Is(err, certain) {
			return unavailable(err)
		}
	}
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOTEMPTY) {
		return model.NewError(model.ErrCorrupt, "a folder has the name of the record's file", err)
	}
	return unknown(err)
}

// refusals are the errors after which nothing has changed.
var refusals = []error{
	fs.ErrNotExist, fs.ErrPermission, disk.ErrEscape,
	syscall.ENOSPC, syscall.EROFS, syscall.ENOTDIR, syscall.ELOOP, syscall.EINVAL,
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENAMETOOLONG, syscall.EMLINK, syscall.EXDEV,
}

// isMissing reports whether a file or folder does not exist.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// isReadOnly reports whether the process may not write to the store.
func isReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// ignore returns nil instead of an error of that kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}
