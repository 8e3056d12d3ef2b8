package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// target is what a URL says besides the file.
type target struct {
	table   string
	options Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Name(&t.table, "table", "The table.")
	p.Options(&t.options)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

const (
	// settings are those of each connection that openURL opens. The Backend waits
	// for locks by itself.
	settings = "?_pragma=busy_timeout(0)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate"
	// connections bounds how many there are. One writes at a time.
	connections = 8
)

// dsn returns the name of a file for the driver.
func dsn(path string) string {
	at := url.URL{Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}
	return "file:" + at.EscapedPath() + settings
}

// openURL returns a backend for a URL of the form sqlite:FILE?table=store.
// sqlite:app.db is relative to the working directory, sqlite:/var/lib/app.db and
// sqlite:///var/lib/app.db are absolute. A new file is made with the mode 0600.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	var t target
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	path, err := backends.File(u, "sqlite:FILE?table=store")
	if err != nil {
		return nil, err
	}
	path, err = filepath.Abs(path) // each connection opens it, also after a change of the working directory
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, "the path cannot be made absolute", err)
	}
	// An existing file is not opened: its close would end the locks of this process.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, model.NewError(model.ErrInvalid, "the file cannot be made: check its folder and the permissions", err)
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, "the file cannot be opened", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	b, err := New(db, t.table, &t.options)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	b.gate.Own(db)
	return b, nil
}
