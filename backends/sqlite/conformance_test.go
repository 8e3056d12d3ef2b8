package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens a database of its own for each backend. The stores of a case, of
// which the names begin alike, share a file.
func harness(t *testing.T) conformance.Harness {
	t.Helper()
	dir := memoryDir(t)
	const caseName = 13
	file := func(name string) string { return filepath.Join(dir, name[:min(len(name), caseName)]) }
	var wires sync.Map // *Backend to *wire
	of := func(t testing.TB, b driver.ModelExpirySupport) *wire {
		t.Helper()
		w, ok := wires.Load(b)
		if !ok {
			t.Fatal("Open did not return this backend")
		}
		return w.(*wire)
	}
	return conformance.Harness{
		Cases:  516, // all but those on interrupted calls: a call is one transaction
		Server: "in process",
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			db, w := openDB(t, file(name))
			b := newOn(t, db, name, "principal", "state")
			b.watch = drivertest.StandsStill
			wires.Store(b, w)
			return b
		},
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			t.Helper()
			db, _ := openDB(t, file(name))
			return columnsOf(t, db, name, id)
		},
		Left: func(t testing.TB, name string) int {
			t.Helper()
			db, _ := openDB(t, file(name))
			return leftIn(t, db, name)
		},
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) { t.Helper(); of(t, b).lose(errLost) },
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			db, _ := openDB(t, file(name))
			damage(t, db, name, id, data)
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			db, _ := openDB(t, file(name))
			return occupy(t, db, name)
		},
		Stall: func(t testing.TB, b driver.ModelExpirySupport) func() {
			t.Helper()
			released := make(chan struct{})
			of(t, b).set(func(string) error { <-released; return nil }, nil)
			resume := sync.OnceFunc(func() { close(released) })
			t.Cleanup(resume)
			return resume
		},
		// The next statement finds the database locked, once.
		Delay: func(t testing.TB, b driver.ModelExpirySupport, d time.Duration) {
			t.Helper()
			of(t, b).set(lockedFor(1), nil)
			b.(*Backend).watch = drivertest.Jumps(d)
		},
	}
}

// stored are the columns that a read returns, with their types and with what of a
// record each one holds. SQLite has no checksum of its own: what a column holds
// is what the table says.
var stored = map[string]struct {
	kind  string
	loose []string
}{
	"format": {"INTEGER", nil}, "rev": {"BLOB", []string{"revision"}}, "exp": {"INTEGER", []string{"expiry"}},
	"lab": {"TEXT", []string{"labels"}}, "enc": {"BLOB", []string{"encoding"}}, "val": {"BLOB", []string{"value"}},
}

// columnsOf returns the columns of a row that are not NULL, as bytes.
func columnsOf(t testing.TB, db *sql.DB, table, id string) (parts []conformance.Part) {
	t.Helper()
	for column, c := range stored {
		var data []byte
		if err := db.QueryRow("SELECT CAST("+column+" AS BLOB) FROM "+quoted(table)+" WHERE id = ?", []byte(id)).Scan(&data); err != nil {
			t.Fatal(err)
		}
		if data == nil {
			continue
		}
		parts = append(parts, conformance.Part{Name: "column " + column, Bytes: data, Loose: c.loose, Put: func(t testing.TB, data []byte) bool {
			t.Helper()
			if c.kind != "BLOB" && !utf8.Valid(data) {
				return false
			}
			var value any = append([]byte{}, data...)
			switch c.kind {
			case "TEXT":
				value = string(data)
			case "INTEGER":
				n, err := strconv.ParseInt(string(data), 10, 64)
				if err != nil {
					return false
				}
				value = n
			}
			_, err := db.Exec("UPDATE "+quoted(table)+" SET "+column+" = ? WHERE id = ?", value, []byte(id))
			if err != nil && !strings.Contains(err.Error(), "constraint failed") && !strings.Contains(err.Error(), "malformed JSON") {
				t.Fatal(err)
			}
			return err == nil
		}})
	}
	return parts
}

// leftIn counts the tables and indexes of a store, its rows, and what in them is
// an index's entry.
func leftIn(t testing.TB, db *sql.DB, table string) int {
	t.Helper()
	n := count(t, db, "SELECT count(*) FROM sqlite_schema WHERE substr(name, 1, length(?1)) = ?1 AND tbl_name = ?1", table)
	if n == 0 {
		return 0
	}
	return n + count(t, db, "SELECT count(*) + count(exp) + coalesce(sum((SELECT count(*) FROM json_each(lab))), 0) FROM "+quoted(table))
}

// occupy makes a table of another program in the place, or a trigger on the
// store's own table.
func occupy(t testing.TB, db *sql.DB, table string) func(testing.TB) {
	t.Helper()
	if count(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = ?", table) == 0 {
		execute(t, db, "CREATE TABLE "+quoted(table)+" AS SELECT 12 AS total")
		return func(t testing.TB) {
			t.Helper()
			if n := count(t, db, "SELECT max(total) FROM "+quoted(table)); n != 12 {
				t.Fatalf("another program finds %d, want 12", n)
			}
		}
	}
	execute(t, db, "CREATE TRIGGER "+quoted(table+" theirs")+" AFTER INSERT ON "+quoted(table)+" BEGIN SELECT 12; END")
	return func(t testing.TB) {
		t.Helper()
		if n := count(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = ?", table+" theirs"); n != 1 {
			t.Fatalf("%d triggers of another program, want 1", n)
		}
	}
}

// damage makes the row one of a newer format. The constraints of the table leave
// no other way to damage a row.
func damage(t testing.TB, db *sql.DB, table, id string, data []byte) {
	t.Helper()
	res, err := db.Exec("UPDATE "+quoted(table)+" SET format = 2, val = ? WHERE id = ?", append([]byte{}, data...), []byte(id))
	must(t, err)
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("damaged %d rows, %v", n, err)
	}
}

var (
	errLost = errors.New("the answer was lost")
	errBusy = errors.New("database is locked (5) (SQLITE_BUSY)")
)

// lockedFor returns a hook for which the database is locked n times.
func lockedFor(n int64) func(string) error {
	var left atomic.Int64
	left.Store(n)
	return func(string) error {
		if left.Add(-1) >= 0 {
			return errBusy
		}
		return nil
	}
}

// wire sees the statements of a database. Its hooks get the first word of each:
// before runs ahead of it, and after when it has changed something.
type wire struct {
	dsn           string
	driver        sqldriver.Driver
	mu            sync.Mutex
	sent          []string
	before, after func(verb string) error
	seen          func(text string)
}

func (w *wire) set(before, after func(verb string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

// lose makes the next statement that has changed something return an error.
func (w *wire) lose(lost error) {
	var once atomic.Bool
	w.set(nil, func(string) error {
		if once.Swap(true) {
			return nil
		}
		return lost
	})
}

// statements returns the first words of those that were sent since the last time.
func (w *wire) statements() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.sent, " ")
	w.sent = nil
	return out
}

func (w *wire) Connect(context.Context) (sqldriver.Conn, error) {
	c, err := w.driver.Open(w.dsn)
	return &wireConn{Conn: c, w: w}, err
}

func (w *wire) Driver() sqldriver.Driver { return w.driver }

type wireConn struct {
	sqldriver.Conn
	w    *wire
	inTx bool
}

func (c *wireConn) BeginTx(ctx context.Context, o sqldriver.TxOptions) (sqldriver.Tx, error) {
	return c.Conn.(sqldriver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *wireConn) begin(text string) (verb string, err error) {
	verb, _, _ = strings.Cut(strings.ToLower(text), " ")
	c.w.mu.Lock()
	c.w.sent = append(c.w.sent, verb)
	if c.w.seen != nil {
		c.w.seen(text)
	}
	before := c.w.before
	c.w.mu.Unlock()
	if before != nil {
		err = before(verb)
	}
	return verb, err
}

func (c *wireConn) end(verb string, changed int64) error {
	switch verb {
	case "begin", "rollback":
		c.inTx = verb == "begin"
		return nil
	case "commit":
		c.inTx, changed = false, 1
	}
	c.w.mu.Lock()
	after := c.w.after
	c.w.mu.Unlock()
	if after == nil || changed == 0 || c.inTx {
		return nil
	}
	return after(verb)
}

func (c *wireConn) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	verb, err := c.begin(text)
	if err != nil {
		return nil, err
	}
	res, err := c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, text, args)
	if err != nil {
		return nil, err
	}
	n, _ := res.RowsAffected()
	return res, c.end(verb, n)
}

func (c *wireConn) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	verb, err := c.begin(text)
	if err != nil {
		return nil, err
	}
	found, err := c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, text, args)
	if err != nil || verb == "select" {
		return found, err
	}
	return &wireRows{Rows: found, c: c, verb: verb}, nil
}

// Prepare returns a statement that counts as sent when it runs.
func (c *wireConn) Prepare(text string) (sqldriver.Stmt, error) {
	s, err := c.Conn.Prepare(text)
	return &wireStmt{Stmt: s, c: c, text: text}, err
}

type wireStmt struct {
	sqldriver.Stmt
	c    *wireConn
	text string
}

func (s *wireStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	if _, err := s.c.begin(s.text); err != nil {
		return nil, err
	}
	return s.Stmt.(sqldriver.StmtQueryContext).QueryContext(ctx, args)
}

type wireRows struct {
	sqldriver.Rows
	c    *wireConn
	verb string
	n    int64
}

func (r *wireRows) Next(to []sqldriver.Value) error {
	err := r.Rows.Next(to)
	switch {
	case err == nil:
		r.n++
	case errors.Is(err, io.EOF):
		if lost := r.c.end(r.verb, r.n); lost != nil {
			return lost
		}
	}
	return err
}

// openDB opens a file as its URL does, until the end of the test.
func openDB(t testing.TB, path string) (*sql.DB, *wire) {
	t.Helper()
	plain, err := sql.Open("sqlite", "")
	must(t, err)
	w := &wire{driver: plain.Driver(), dsn: dsn(path)}
	must(t, plain.Close())
	db := sql.OpenDB(w)
	db.SetMaxIdleConns(connections)
	t.Cleanup(func() { must(t, db.Close()) })
	return db, w
}

func newOn(t testing.TB, db *sql.DB, table string, labels ...string) *Backend {
	t.Helper()
	b, err := New(db, table, &Options{Labels: labels})
	must(t, err)
	return b
}

// memoryDir returns a folder on a file system in memory, if the system has one
// in a well-known place.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sojourn-sqlite-") //nolint:usetesting // elsewhere than TempDir
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func execute(t testing.TB, db *sql.DB, text string, args ...any) {
	t.Helper()
	_, err := db.Exec(text, args...)
	must(t, err)
}

func count(t testing.TB, db *sql.DB, text string, args ...any) (n int) {
	t.Helper()
	must(t, db.QueryRow(text, args...).Scan(&n))
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
