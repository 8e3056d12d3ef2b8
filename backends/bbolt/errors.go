package bbolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var (
	errCommitting = errors.New("the transaction has not ended")
	errNotShared  = model.NewError(model.ErrUnavailable, "the transaction that the call shared with others failed, and the call changed nothing", nil)
	errOtherTx    = model.NewError(model.ErrInvalid, "the transaction of In is nil, has ended or is one of another database", nil)
)

func quoted(s string) string { return strconv.Quote(s) }

// caught runs do and returns a panic as an error.
func caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt panics: %v", p)
		}
	}()
	return do()
}

// unavailable returns the error of a call to bbolt after which nothing has
// changed.
func (b *Backend) unavailable(err error) error {
	why := "bbolt failed"
	switch {
	case err == nil, model.Kind(err) != nil, driverkit.IsContext(err):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen) && errors.Is(b.gate.Enter(context.Background()), model.ErrClosed):
		return model.ErrClosed // meanwhile
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		why = "the database was closed, by the program that opened it"
	case errors.Is(err, bolterrors.ErrDatabaseReadOnly):
		why = "the database is open for reading only"
	case errors.Is(err, bolterrors.ErrTxNotWritable):
		return model.NewError(model.ErrInvalid, "the transaction of In only reads: begin it with Begin(true) or Update", err)
	case errors.Is(err, bolterrors.ErrMaxSizeReached):
		why = "the file has its largest size, Options.MaxSize of bbolt"
	}
	return model.NewError(model.ErrUnavailable, why, err)
}

// beforeWrites are the beginnings of what a commit returns if it cannot make the
// file grow, which it does before it writes. Bbolt keeps only the text of what the
// system said.
var beforeWrites = []string{
	"file resize error: ", "file stat error: ", "file sync error: ", "mlock/munlock error: ", "mmap allocate error: ",
}

// cannotGrow reports whether a commit failed before it wrote, and why. The reason
// names no file.
func cannotGrow(err error) (why string, ok bool) {
	text := err.Error()
	if !slices.ContainsFunc(beforeWrites, func(p string) bool { return strings.HasPrefix(text, p) }) {
		return "", false
	}
	return "the file cannot grow: " + text[strings.LastIndex(text, ": ")+2:], true
}

// commitError returns the error of a commit that failed. The file may have the
// new pages or not: only a failure to make it grow is certain. After a failed
// sync a read cannot tell: what it sees may be lost by a power cut.
func commitError(ctx context.Context, err error) error {
	var path *fs.PathError
	var errno syscall.Errno
	if err == nil {
		return nil
	}
	why, certain := cannotGrow(err)
	switch {
	case errors.Is(err, bolterrors.ErrMaxSizeReached):
		return model.NewError(model.ErrUnavailable, "the file has its largest size, Options.MaxSize of bbolt", err)
	case certain:
		return model.NewError(model.ErrUnavailable, why, err)
	case !errors.As(err, &path) && errors.As(err, &errno):
		return driver.MarkUndecidable(driverkit.WriteError(ctx, err, true, ""))
	}
	return driverkit.WriteError(ctx, err, true, "")
}
