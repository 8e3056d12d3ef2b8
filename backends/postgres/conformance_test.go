package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// cases is the number of cases of the suite that run here: all but those on power
// cuts, which are the server's.
const cases = 550

// node is what the harness knows of a backend: its connections and their faults.
type node struct {
	pool  *pgxpool.Pool
	lossy *faultnet.Dialer
	front *faultnet.TCPProxy
}

// harness opens each backend on a pool of its own, behind a proxy that can stall
// and a dialer that can lose an answer.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	server := containers.Postgres(t)
	direct := connect(t, poolConfig(t))
	var nodes sync.Map // *Backend to *node
	of := func(t testing.TB, b driver.ModelExpirySupport) *node {
		t.Helper()
		n, ok := nodes.Load(b)
		if !ok {
			t.Fatal("Open did not return this backend")
		}
		return n.(*node)
	}
	return conformance.Harness{
		Cases: cases,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			n := &node{lossy: &faultnet.Dialer{Skip: prepares}, front: newFront(t)}
			n.pool = connect(t, through(t, poolConfig(t), n.front, n.lossy))
			b := newBackend(t, n.pool, name, &Options{Labels: []string{"principal", "state"}})
			b.watch = drivertest.StandsStill
			nodes.Store(b, n)
			return b
		},
		Server: server.String(),
		Interrupt: drivertest.Interrupt(func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error) {
			t.Helper()
			c := poolConfig(t)
			c.ConnConfig.DialFunc = through.DialContext
			pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), c)
			if err != nil {
				t.Fatal(err)
			}
			b := newBackend(t, pool, name, &Options{Labels: []string{"principal", "state"}})
			b.watch = drivertest.StandsStill
			return b, func() error {
				through.Break(faultnet.Break{Ends: true}) // else pgx says goodbye to the server first
				pool.Close()
				return nil
			}
		}),
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) { t.Helper(); of(t, b).lossy.Lose() },
		Stall: func(t testing.TB, b driver.ModelExpirySupport) func() {
			t.Helper()
			of(t, b).front.Stall()
			return func() {}
		},
		// The next call finds no free connection. It gets one right after it has
		// read the stopwatch, which then shows d.
		Delay: func(t testing.TB, b driver.ModelExpirySupport, d time.Duration) {
			t.Helper()
			pool := of(t, b).pool
			var taken []*pgxpool.Conn
			for range pool.Config().MaxConns {
				c, err := pool.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				taken = append(taken, c)
			}
			var reads atomic.Int64
			b.(*Backend).watch = func() time.Duration {
				if reads.Add(1) == 1 {
					for _, c := range taken {
						c.Release()
					}
					return 0
				}
				return d
			}
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) { return occupy(t, direct, place{table: name}) },
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			return columnsOf(t, direct, place{table: name}, id)
		},
		Left: func(t testing.TB, name string) int { return leftIn(t, direct, place{table: name}) },
		// A newer version of the format. The constraints of the table leave no
		// other way to damage a row.
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			tag, err := direct.Exec(t.Context(), "UPDATE "+place{table: name}.name()+" SET format = 2, val = $2 WHERE id = $1", id, data)
			if err != nil || tag.RowsAffected() != 1 {
				t.Fatal(tag, err)
			}
		},
	}
}

// columns are those that a read returns, with what of a record each one holds.
// PostgreSQL guards them with the checksums of its pages: another value in one
// comes from a statement, and is what the table says.
var columns = map[string][]string{"format": nil, "rev": {"revision"}, "exp": {"expiry"}, "lab": {"labels"}, "enc": {"encoding"}, "val": {"value"}}

// columnsOf returns the columns of a row that are not NULL, as text.
func columnsOf(t testing.TB, db DB, at place, id string) (parts []conformance.Part) {
	t.Helper()
	for column, loose := range columns {
		read, write := column+"::text::bytea", "convert_from($2, 'UTF8')"
		kind := map[string]string{"format": "smallint", "rev": "uuid", "exp": "bigint", "lab": "jsonb", "enc": "text"}[column]
		if write += "::" + kind; column == "val" {
			read, write = column, "$2"
		}
		var data []byte
		if err := query(t.Context(), db, "SELECT "+read+" FROM "+at.name()+" WHERE id = $1", []any{id}, scanOne(&data)); err != nil {
			t.Fatal(err)
		}
		if data == nil {
			continue
		}
		parts = append(parts, conformance.Part{Name: "column " + column, Bytes: data, Loose: loose, Put: func(t testing.TB, data []byte) bool {
			t.Helper()
			_, err := db.Exec(t.Context(), "UPDATE "+at.name()+" SET "+column+" = "+write+" WHERE id = $1", id, data)
			var refused *pgconn.PgError // by the type or by a constraint
			if err != nil && !errors.As(err, &refused) {
				t.Fatal(err)
			}
			return err == nil
		}})
	}
	return parts
}

// leftIn counts the relations of a store, its rows, and what in them is not NULL.
func leftIn(t testing.TB, db DB, at place) (n int) {
	t.Helper()
	err := query(t.Context(), db, "SELECT count(*) FROM pg_class WHERE starts_with(relname, $1)", []any{at.table}, scanOne(&n))
	if err != nil || n == 0 {
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	rows := 0
	if err := query(t.Context(), db, "SELECT count(*) + count(exp) + coalesce(sum((SELECT count(*) FROM jsonb_object_keys(lab))), 0)::bigint FROM "+at.name(), nil, scanOne(&rows)); err != nil {
		t.Fatal(err)
	}
	return n + rows
}

// occupy makes a table of another program in the place, or a view on the store's
// own table.
func occupy(t testing.TB, db DB, at place) func(testing.TB) {
	t.Helper()
	look := at.name()
	var exists bool
	if err := query(t.Context(), db, "SELECT to_regclass($1) IS NOT NULL", []any{at.name()}, scanOne(&exists)); err != nil {
		t.Fatal(err)
	}
	if exists {
		look = place{table: at.table + " report"}.name()
		exec(t, db, "CREATE VIEW "+look+" AS SELECT 12 AS total FROM "+at.name()+" UNION ALL SELECT 12")
	} else {
		exec(t, db, "CREATE TABLE "+look+" AS SELECT 12 AS total")
	}
	t.Cleanup(func() { exec(t, db, "DROP TABLE IF EXISTS "+at.name()+" CASCADE") })
	return func(t testing.TB) {
		t.Helper()
		total := 0
		if err := query(context.WithoutCancel(t.Context()), db, "SELECT max(total) FROM "+look, nil, scanOne(&total)); err != nil || total != 12 {
			t.Fatalf("another program finds %d, %v; want 12", total, err)
		}
	}
}
