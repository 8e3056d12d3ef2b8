package bbolt

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// target is what a URL says besides the file.
type target struct {
	bucket  string
	options Options
	file    fileOptions
}

const (
	defaultTimeout = time.Second
	defaultMode    = 0o600
	retryAfter     = 20 * time.Millisecond
)

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Name(&t.bucket, "bucket", "The store's bucket.")
	p.Options(&t.options)
	p.Options(&t.file)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

// openURL returns a backend for a URL of the form bbolt:FILE?bucket=store.
// bbolt:app.db is relative to the working directory, bbolt:/var/lib/app.db and
// bbolt:///var/lib/app.db are absolute. The file is opened here, once in all
// processes.
func openURL(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	t := target{file: fileOptions{Timeout: defaultTimeout, FileMode: defaultMode}}
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	path, err := backends.File(u, "bbolt:FILE?bucket=store")
	if err != nil {
		return nil, err
	}
	if t.file.FileMode&defaultMode != defaultMode {
		return nil, model.NewError(model.ErrInvalid, "file_mode denies the owner reading or writing: give a mode such as 0600 or 0660", nil)
	}
	db, err := openFile(ctx, path, &t.file)
	if err != nil {
		return nil, err
	}
	b, err := New(db, t.bucket, &t.options)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	b.gate.Own(db)
	return b, nil
}

// openFile opens the file, and waits for a process that has it open until the
// timeout or the context ends.
func openFile(ctx context.Context, path string, o *fileOptions) (db *bbolt.DB, err error) {
	for began := time.Now(); ; {
		err = caught(func() (err error) {
			db, err = bbolt.Open(path, o.FileMode, &bbolt.Options{Timeout: time.Nanosecond, NoSync: o.NoSync, FreelistType: bbolt.FreelistMapType})
			return err
		})
		if !errors.Is(err, bolterrors.ErrTimeout) {
			return db, openError(err)
		}
		if time.Since(began) >= o.Timeout {
			return nil, model.NewError(model.ErrUnavailable, held(path), err)
		}
		if end := driverkit.Wait(ctx, min(retryAfter, o.Timeout)); end != nil {
			return nil, driverkit.EndedWhile(end, held(path))
		}
	}
}

// held says who has the file open.
func held(path string) string {
	return "one process alone can open the file, and " + holder(path) + " has it open: open it once, and give the *bbolt.DB to New for each store"
}

func openError(err error) error {
	var path *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return model.NewError(model.ErrInvalid, "the path names a folder, or leads through a missing one or a file: give that of a file, which may be new", err)
	case errors.As(err, &path):
		return model.NewError(model.ErrUnavailable, "the file cannot be opened: "+path.Err.Error(), err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return model.NewError(model.ErrInvalid, "the file is not one of bbolt, or it is damaged", err)
	}
	return model.NewError(model.ErrUnavailable, "the file cannot be opened", err)
}
