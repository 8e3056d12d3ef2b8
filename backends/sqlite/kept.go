package sqlite

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// kept is the database with the statements of reads, which SQLite has parsed
// already: parsing is most of a read's time. database/sql chooses the connection,
// so a wait for one shows only afterwards.
type kept struct {
	db *sql.DB

	mu     sync.Mutex
	stmts  map[string]*sql.Stmt // by their text, of which there are few
	closed bool
}

// QueryContext runs a kept statement.
func (k *kept) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	k.mu.Lock()
	s := k.stmts[query]
	k.mu.Unlock()
	if s == nil {
		var err error
		if s, err = k.keep(ctx, query); err != nil {
			return nil, err
		}
	}
	return s.QueryContext(ctx, args...)
}

// ExecContext runs a statement that is not kept.
func (k *kept) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return k.db.ExecContext(ctx, query, args...)
}

func (k *kept) keep(ctx context.Context, query string) (*sql.Stmt, error) {
	s, err := k.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		_ = s.Close()
		return nil, sql.ErrConnDone
	}
	if earlier := k.stmts[query]; earlier != nil {
		_ = s.Close()
		return earlier, nil
	}
	k.stmts[query] = s
	return s, nil
}

// close lets go of the statements. Running ones end first.
func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.stmts {
		go func() { _ = s.Close() }() // it waits for a connection that does not answer
	}
	k.stmts, k.closed = nil, true
}

// attemptKept reads with kept statements if a connection is free. It is not done if
// the read may have waited for one: it decided as of too early a time then. Nor is
// it if the database is locked.
func attemptKept[T any](ctx context.Context, b *Backend, w *driverkit.Waited, now time.Time, do todo[T]) (out T, done bool, err error) {
	before := b.db.Stats()
	if before.MaxOpenConnections > 0 && before.InUse >= before.MaxOpenConnections {
		return out, false, nil
	}
	began := w.Read()
	out, err = do(ctx, b.kept, w.Now(now))
	took := w.Read() - began
	if took >= noPause || b.db.Stats().WaitCount != before.WaitCount {
		w.Add(took)
		return out, false, nil
	}
	return out, !isLocked(err), err
}
