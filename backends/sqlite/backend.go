package sqlite

import (
	"database/sql"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a table of an SQLite database. It is safe for
// concurrent use, also by any number of Backends and processes on one file. New
// returns one.
type Backend struct {
	gate  *driverkit.Gate
	db    *sql.DB
	kept  *kept               // statements of reads
	tx    *sql.Tx             // the caller's own; see In
	turn  *semaphore.Weighted // of the one call of this Backend that writes
	table string
	name  string               // the table, for SQL
	watch func() time.Duration // the stopwatch; nil means the system's
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
)

const (
	backendName = "sqlite"
	maxValue    = 64 << 20
	maxName     = 200 // bytes of a table's name
)

// New returns a Backend on the table with that name, which belongs to the store
// alone. The name has 1 to 200 bytes of UTF-8 without NUL and without A-Z, since
// SQLite takes A for a. It does not begin with sqlite_. Close does not close db.
// New does no I/O. Nil options are the defaults. It returns ErrInvalid for a nil
// db, an invalid name or an invalid label.
//
// Any driver of SQLite fits that has SQLite 3.38 or newer.
func New(db *sql.DB, table string, opts *Options) (*Backend, error) {
	labels, err := opts.labels()
	switch {
	case err != nil:
	case db == nil:
		err = model.NewError(model.ErrInvalid, "the *sql.DB is nil: open the file with sql.Open", nil)
	case table == "" || len(table) > maxName || !utf8.ValidString(table) || strings.HasPrefix(table, "sqlite_") ||
		strings.ContainsAny(table, "\x00ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
		err = model.NewError(model.ErrInvalid, "a table's name has 1 to 200 bytes of UTF-8 without NUL and A-Z, and does not begin with sqlite_", nil)
	}
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	d := driver.Description{Backend: backendName, Labels: labels, MaxValue: maxValue}
	statements := &kept{db: db, stmts: map[string]*sql.Stmt{}}
	return &Backend{gate: driverkit.NewGate(d, table), db: db, kept: statements, turn: semaphore.NewWeighted(1), table: strings.Clone(table), name: quoted(table)}, nil
}

// In returns a Backend whose calls are part of the caller's transaction. Others
// see its writes after the commit, and nobody after a rollback. It has the options
// of b, and is closed apart from b.
//
// Its calls wait for nothing but what the database's busy_timeout allows, and a
// context that ends meanwhile does not end them: SQLite would roll the whole
// transaction back. After an error that is not ErrNotFound, ErrExists,
// ErrConflict, ErrInvalid or ErrTooLarge the caller must roll back. A transaction
// that reads first and writes later may be refused, because another one has written
// meanwhile: BEGIN IMMEDIATE, which all drivers can be told to use, excludes that.
func (b *Backend) In(tx *sql.Tx) *Backend {
	in := *b
	in.gate, in.tx = driverkit.NewGate(b.gate.Describe(), b.table), tx
	return &in
}

// DB returns the database. That of a backend that was opened by its URL stays
// the backend's own: Close closes it.
func (b *Backend) DB() *sql.DB { return b.db }

// Describe returns the backend's name, labels and limits. No feature is absent.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close closes the backend, and the database if the backend was opened by its
// URL.
func (b *Backend) Close() error {
	if b.tx == nil {
		b.kept.close()
	}
	return b.gate.Close()
}
