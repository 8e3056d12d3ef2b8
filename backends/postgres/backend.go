package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// DB is what a Backend needs of its database. *pgxpool.Pool, *pgx.Conn and
// pgx.Tx have it.
//
// A DB with the methods Acquire and Stat of *pgxpool.Pool serves calls at the same
// time. Any other one is a single connection: the Backend makes one call after
// the other on it.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	Begin(ctx context.Context) (pgx.Tx, error)
}

// pool is a DB with many connections.
type pool interface {
	Acquire(ctx context.Context) (*pgxpool.Conn, error)
	Stat() *pgxpool.Stat
}

// Backend keeps records in a table of a PostgreSQL database. It is safe for
// concurrent use. The zero value is not usable; New makes one.
type Backend struct {
	gate  *driverkit.Gate
	db    DB
	pool  pool          // nil for a single connection
	turn  chan struct{} // has room while the single connection is free
	inTx  bool          // calls are part of a transaction of the caller
	place place
	sql   statements
	watch func() time.Duration // the stopwatch; nil means the system's
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Statter            = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
)

const backendName = "postgres"

// New returns a Backend on the table with that name, which belongs to the store
// alone. Close does not close db. New does no I/O. Nil options mean the defaults.
//
// With a pgx.Tx every call is part of that transaction: see In.
//
// It returns ErrInvalid for a nil db, a name that PostgreSQL would refuse or cut
// off, and an invalid option.
func New(db DB, table string, opts *Options) (*Backend, error) {
	o, err := opts.withDefaults(db, table)
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	d := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}
	at := place{schema: o.Schema, table: table}
	b := &Backend{gate: driverkit.NewGate(d, o.Schema, table), place: at, sql: newStatements(at)}
	b.gate.CheckWrites(driverkit.TextEncoding)
	b.use(db)
	return b, nil
}

// In returns a Backend whose calls are part of the transaction, which the caller
// commits or rolls back. Others see its writes after the commit. It has the
// options of b, and is closed apart from b.
//
// No condition that fails is an error of PostgreSQL, so ErrExists, ErrNotFound
// and ErrConflict leave the transaction as it is. ErrUnavailable and ErrUnknown
// end it: only a rollback is possible then. After its end, and for nil, every call
// is ErrInvalid.
func (b *Backend) In(tx pgx.Tx) *Backend {
	in := *b
	in.gate = b.gate.Reopen()
	in.use(tx)
	return &in
}

func (b *Backend) use(db DB) {
	if b.db = db; isNil(db) {
		b.db = nil
	}
	_, b.inTx = db.(pgx.Tx)
	if b.pool, _ = db.(pool); b.pool == nil {
		b.turn = make(chan struct{}, 1)
	}
}

// noPause is longer than a process pauses for the processor: a call that takes an
// idle connection in less time has not waited.
const noPause = 100 * time.Millisecond

// acquire returns a connection, and the function that gives it back. Nothing is
// sent if it fails. What it waits for is added to w.
func (b *Backend) acquire(ctx context.Context, w *driverkit.Waited) (db DB, release func(), err error) {
	if b.db == nil {
		return nil, nil, errNoTx
	}
	if b.pool == nil {
		select {
		case b.turn <- struct{}{}:
		default:
			err = w.During(func() error {
				select {
				case b.turn <- struct{}{}:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		return b.db, func() { <-b.turn }, err
	}
	idle := b.pool.Stat().IdleConns() > 0
	began := w.Read()
	conn, err := b.pool.Acquire(ctx)
	// Another call may take the idle connection first, or it may be broken.
	if took := w.Read() - began; !idle || took >= noPause {
		w.Add(took)
	}
	if err != nil {
		return nil, nil, unsentError(ctx, err)
	}
	return conn, conn.Release, nil
}

// Describe returns the backend's name, labels and largest value. It does no
// I/O.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close makes every other method except Describe return ErrClosed. It closes
// the pool only if the backend was opened from a URL.
func (b *Backend) Close() error { return b.gate.Close() }

// Client returns what New was given, or the *pgxpool.Pool that the backend
// opened from a URL. Close closes the latter.
func (b *Backend) Client() DB { return b.db }

// Ping returns nil if the server answers.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	return b.read(ctx, &driverkit.Waited{}, "SELECT", these(), func(pgx.Rows) error { return nil })
}

// read runs a query and calls each for every row. The arguments are asked for once
// there is a connection, for they may depend on the time of the decision. Its
// error is that of a read.
func (b *Backend) read(ctx context.Context, w *driverkit.Waited, sql string, args func() []any, each func(pgx.Rows) error) error {
	db, release, err := b.acquire(ctx, w)
	if err != nil {
		return err
	}
	defer release()
	if err := query(ctx, db, sql, args(), each); err != nil {
		return readError(ctx, err)
	}
	return nil
}

// these returns arguments that depend on no time.
func these(args ...any) func() []any { return func() []any { return args } }

// query runs a query and calls each for every row. The rows count only if it
// returns nil: the server commits after the last one.
func query(ctx context.Context, db DB, sql string, args []any, each func(pgx.Rows) error) error {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return drain(rows, each)
}

func drain(rows pgx.Rows, each func(pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}
