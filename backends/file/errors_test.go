package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/model"
)

func TestErrors(t *testing.T) {
	tests := []struct {
		errno                      error
		before, rename, readRecord error
	}{
		{syscall.ENOSPC, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable},
		{syscall.EROFS, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable},
		{syscall.EACCES, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable},
		{syscall.EPERM, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable},
		{syscall.ENOTDIR, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable},
		{syscall.EMFILE, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable},
		{syscall.EIO, model.ErrUnavailable, model.ErrUnknown, model.ErrUnavailable},
		{syscall.EFBIG, model.ErrTooLarge, model.ErrUnknown, model.ErrTooLarge},
		{syscall.EISDIR, model.ErrUnavailable, model.ErrCorrupt, model.ErrCorrupt},
		{syscall.ELOOP, model.ErrUnavailable, model.ErrUnavailable, model.ErrCorrupt},
		{disk.ErrEscape, model.ErrUnavailable, model.ErrUnavailable, model.ErrCorrupt},
		{disk.ErrForeign, model.ErrUnavailable, model.ErrUnknown, model.ErrCorrupt},
		{errors.New("secret"), model.ErrUnavailable, model.ErrUnknown, model.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.errno.Error(), func(t *testing.T) {
			path := &fs.PathError{Op: "openat", Path: "secret", Err: tt.errno}
			link := &os.LinkError{Op: "renameat", Old: "secret", New: "secret", Err: tt.errno}
			checkKind(t, "before the rename", unavailable(path), tt.before, path)
			checkKind(t, "after the rename", unknown(path), model.ErrUnknown, path)
			checkKind(t, "the rename", changeError(link), tt.rename, link)
			checkKind(t, "a record's file", unreadable(path), tt.readRecord, path)
		})
	}
	for name, f := range map[string]func(error) error{"unavailable": unavailable, "unknown": unknown, "changeError": changeError} {
		if err := f(nil); err != nil {
			t.Errorf("%s(nil) = %v", name, err)
		}
	}
}

func checkKind(t *testing.T, what string, err, kind, cause error) {
	t.Helper()
	if model.Kind(err) != kind || !errors.Is(err, cause) {
		t.Errorf("%s: %v is of kind %v, want %v and the cause %v", what, err, model.Kind(err), kind, cause)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%s: %v has the path or the cause in its text", what, err)
	}
	n := 0
	for _, s := range []error{model.ErrNotFound, model.ErrExists, model.ErrConflict, model.ErrInvalid, model.ErrTooLarge, model.ErrCorrupt, model.ErrUnsupported, model.ErrUnavailable, model.ErrClosed} {
		if errors.Is(err, s) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s: %v matches %d sentinels, want one", what, err, n)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	inner := model.NewError(model.ErrCorrupt, "x", nil)
	if err := unavailable(fmt.Errorf("wrapped: %w", inner)); model.Kind(err) != model.ErrCorrupt {
		t.Error(err)
	}
}
