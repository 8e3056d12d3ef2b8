package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestStalled makes every call while no statement returns, as on a disk that does
// not answer.
func TestStalled(t *testing.T) {
	b, w := fresh(t)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	drivertest.Stalled(t, b, func() { w.set(func(string) error { <-released; return nil }, nil) })
}

// TestStalledByALock makes every call while another connection has locked the
// database, also against reads. The calls end in time, also if the program lets
// SQLite wait for a minute.
func TestStalledByALock(t *testing.T) {
	for name, timeout := range map[string]string{"no timeout": "0", "a minute": "60000"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(memoryDir(t), "db")
			db, w := openDB(t, path)
			w.dsn = strings.NewReplacer("(wal)", "(delete)", "timeout(0)", "timeout("+timeout+")").Replace(w.dsn)
			b := newOn(t, db, "store", "principal")
			must(t, b.CreateStorage(t.Context()))
			drivertest.Stalled(t, b, func() { lockAll(t, path) })
		})
	}
}

// lockAll locks a file until the end of the test: the rollback journal's lock for
// writing the file excludes readers too.
func lockAll(t *testing.T, path string) {
	t.Helper()
	db, w := openDB(t, path)
	w.dsn = strings.Replace(w.dsn, "(wal)", "(delete)", 1)
	c, err := db.Conn(t.Context())
	must(t, err)
	_, err = c.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	must(t, err)
	t.Cleanup(func() {
		_, err := c.ExecContext(context.Background(), "ROLLBACK")
		must(t, err)
		must(t, c.Close())
	})
}
