package postgres

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// poolConfig returns the settings of a pool on the server of the tests.
func poolConfig(t testing.TB) *pgxpool.Config {
	t.Helper()
	c, err := pgxpool.ParseConfig(containers.Postgres(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 8
	// The pool asks a connection that was idle for a second whether it lives: a
	// request of its own, which would meet the fault of another one.
	c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	return c
}

// connect returns a pool that is closed at the end of the test. Its connections
// are cut first: with a server that has stopped, pgx waits for 15 seconds.
func connect(t testing.TB, c *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	var mu sync.Mutex
	var cuts []func() error
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err == nil {
			mu.Lock()
			cuts = append(cuts, conn.Close)
			mu.Unlock()
		}
		return conn, err
	}
	p, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mu.Lock()
		for _, cut := range cuts {
			_ = cut()
		}
		mu.Unlock()
		p.Close()
	})
	return p
}

// newBackend returns a backend on a table that may not exist.
func newBackend(t testing.TB, db DB, table string, opts *Options) *Backend {
	t.Helper()
	b, err := New(db, table, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openOn returns a backend on a table of its own, which is dropped at the end of
// the test.
func openOn(t testing.TB, db DB, opts *Options) *Backend {
	t.Helper()
	b := newBackend(t, db, drivertest.Name(), opts)
	direct := newBackend(t, connect(t, poolConfig(t)), b.place.table, opts)
	if err := direct.CreateStorage(t.Context()); err != nil {
		t.Fatal(drivertest.Causes(err))
	}
	t.Cleanup(func() {
		if _, err := direct.db.Exec(context.WithoutCancel(t.Context()), "DROP TABLE IF EXISTS "+direct.place.name()+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	return b
}

// open returns a backend on a table of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, connect(t, poolConfig(t)), opts)
}

// exec runs a statement by hand.
func exec(t testing.TB, db DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(context.WithoutCancel(t.Context()), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
