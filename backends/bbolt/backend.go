package bbolt

import (
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a bucket of a bbolt database. It is safe for
// concurrent use, also by any number of Backends on one *bbolt.DB. New returns
// one.
type Backend struct {
	gate *driverkit.Gate
	db   *bbolt.DB
	name string
	inTx bool
	tx   *bbolt.Tx // the caller's own; see In

	mu      sync.Mutex
	jobs    []*job // that wait for the writer's turn
	serving bool

	begin  func(writable bool) (*bbolt.Tx, error) // tests replace these
	answer func(error) error                      // of a commit
	watch  func() time.Duration
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
)

const (
	backendName = "bbolt"
	maxValue    = 64 << 20
	maxName     = 255 // bytes of a bucket's name
)

// New returns a Backend for the store in the top-level bucket with that name,
// which has 1 to 255 bytes. It does no I/O: CreateStorage or the first create
// makes the bucket. The caller closes the database, after the Backend. Nil
// options are the defaults. It returns ErrInvalid for a missing database, an
// invalid name or an invalid label.
func New(db *bbolt.DB, name string, opts *Options) (*Backend, error) {
	if opts == nil {
		opts = &Options{}
	}
	labels, err := driverkit.DeclaredLabels(opts.Labels, 0)
	switch {
	case err != nil:
	case db == nil:
		err = model.NewError(model.ErrInvalid, "the *bbolt.DB is nil: open the file with bbolt.Open", nil)
	case name == "" || len(name) > maxName:
		err = model.NewError(model.ErrInvalid, "a bucket's name has 1 to 255 bytes", nil)
	}
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	name = strings.Clone(name)
	gate := driverkit.NewGate(driver.Description{Backend: backendName, Labels: labels, MaxValue: maxValue}, name)
	return &Backend{gate: gate, db: db, name: name, begin: db.Begin, answer: same}, nil
}

// In returns a Backend that reads and writes in the caller's own transaction.
// Its calls are durable if the caller commits, and undone if the caller rolls
// back. They wait for nothing, and a context that ends meanwhile need not end
// them. After an error that is not ErrNotFound, ErrExists, ErrConflict,
// ErrInvalid or ErrTooLarge the caller must roll back. A transaction that is nil,
// has ended, is one of another database, or only reads and is to write is
// ErrInvalid. Only the goroutine of the
// transaction may use it. An OnExpire must use it too, and not the Backend of
// New, which would wait for the transaction.
func (b *Backend) In(tx *bbolt.Tx) *Backend {
	return &Backend{gate: b.gate.Reopen(), db: b.db, name: b.name, inTx: true, tx: tx}
}

// DB returns the database. That of a backend that was opened by its URL stays
// the backend's own: Close closes it.
func (b *Backend) DB() *bbolt.DB { return b.db }

// Describe returns the backend's name, labels and limits. No feature is absent.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close closes the backend, and the file if the backend was opened by its URL.
func (b *Backend) Close() error { return b.gate.Close() }
