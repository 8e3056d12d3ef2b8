package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	// endsWithin is how long a call whose context ended waits for a statement that
	// runs already: its certain outcome is worth some milliseconds.
	endsWithin = 50 * time.Millisecond
	// noPause is longer than a process pauses for the processor: a call that gets
	// a connection in less time has not waited.
	noPause = 100 * time.Millisecond
)

var errRunning = errors.New("the statement has not ended")

// conn is a connection or the caller's transaction.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// todo is what a call does on a connection, as of a time. Its memory is its own:
// it may outlive the call.
type todo[T any] func(ctx context.Context, c conn, now time.Time) (T, error)

// run runs do and returns soon after the context's end, whatever the driver does.
// What still runs then ends by itself. Nothing interrupts a statement that has
// begun, so that its outcome is certain, and one call of the Backend writes at a
// time.
func run[T any](ctx context.Context, b *Backend, writes bool, now time.Time, do todo[T]) (T, error) {
	type result struct {
		out T
		err error
	}
	done := make(chan result, 1)
	send := func() {
		out, err := attempt(ctx, b, writes, now, do)
		done <- result{out, failed(ctx, err, writes)}
	}
	if b.tx != nil || ctx.Done() == nil {
		send()
	} else {
		go send()
	}
	var late <-chan time.Time
	for ended := ctx.Done(); ; ended = nil {
		select {
		case r := <-done:
			return r.out, r.err
		case <-ended:
			late = time.After(endsWithin)
		case <-late:
			return *new(T), failed(ctx, errRunning, writes)
		}
	}
}

// attempt runs do, and again as long as the database is locked: it has changed
// nothing then.
func attempt[T any](ctx context.Context, b *Backend, writes bool, now time.Time, do todo[T]) (out T, err error) {
	sent, w := context.WithoutCancel(ctx), driverkit.Waited{Watch: b.watch}
	if b.tx != nil {
		return do(sent, b.tx, now)
	}
	if writes {
		if !b.turn.TryAcquire(1) {
			if err := w.During(func() error { return b.turn.Acquire(ctx, 1) }); err != nil {
				return out, err
			}
		}
		defer b.turn.Release(1)
	}
	if !writes {
		if out, done, err := attemptKept(sent, b, &w, now, do); done {
			return out, err
		}
	}
	for n := 0; ; n++ {
		stats, began := b.db.Stats(), w.Read()
		c, err := b.db.Conn(ctx)
		if took := w.Read() - began; took >= noPause || stats.MaxOpenConnections > 0 && stats.InUse >= stats.MaxOpenConnections {
			w.Add(took)
		}
		if err == nil {
			out, err = do(sent, c, w.Now(now))
			_ = c.Close() // gives it back
		}
		if !isLocked(err) {
			return out, err
		}
		if end := w.Pause(ctx, n); end != nil {
			return out, driverkit.EndedWhile(end, locked)
		}
	}
}

// inTx runs do in a transaction that has the lock for writing. That of the caller
// is one already.
func (b *Backend) inTx(ctx context.Context, c conn, do func() error) error {
	own, ok := c.(*sql.Conn)
	if !ok {
		return do()
	}
	_, err := c.ExecContext(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	if err = do(); err == nil {
		if _, err = c.ExecContext(ctx, "COMMIT"); err == nil {
			return nil
		}
	}
	if _, failed := c.ExecContext(ctx, "ROLLBACK"); failed != nil {
		_ = own.Raw(func(any) error { return sqldriver.ErrBadConn }) // closes it, whatever its state
	}
	return err
}

// stmt is a statement and its arguments.
type stmt struct {
	text string
	args []any
}

func (s *stmt) add(text string, args ...any) {
	s.text += text
	s.args = append(s.args, args...)
}

// rows runs a statement and calls each for its rows until that returns false. A
// write is only done when it returns nil.
func rows(ctx context.Context, c conn, s stmt, each func(id string, rec model.Record, err error) (more bool)) error {
	found, err := c.QueryContext(ctx, s.text, s.args...)
	if err != nil {
		return err
	}
	defer func() { _ = found.Close() }()
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.format, &r.rev, &r.exp, &r.lab, &r.enc, &r.val); err != nil {
			return err
		}
		rec, err := r.decode()
		if !each(string(r.id), rec, err) {
			return found.Close()
		}
	}
	return found.Err()
}
