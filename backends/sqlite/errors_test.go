package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestLostCommits checks the kinds of writes that nobody knows of, and whether a
// read may decide the outcome.
func TestLostCommits(t *testing.T) {
	for _, tt := range []struct {
		err         error
		undecidable bool
	}{
		{errors.New("disk I/O error: of app.db (1034)"), true}, // of a sync
		{errors.New("something else of app.db"), false},
	} {
		b, w := fresh(t)
		w.lose(tt.err)
		_, err := b.Write(t.Context(), now, create("a"))
		drivertest.WantKind(t, err, model.ErrUnknown)
		if driver.IsUndecidable(err) != tt.undecidable || strings.Contains(err.Error(), "app.db") {
			t.Errorf("%v: %v, undecidable %v", tt.err, err, driver.IsUndecidable(err))
		}
		drivertest.Get(t, b, "a")
		w.lose(tt.err)
		for _, out := range b.WriteMany(t.Context(), now, []driver.BatchOp{{Write: ptr(create("b"))}, {Write: ptr(create("c"))}}) {
			drivertest.WantKind(t, out.Err, model.ErrUnknown)
		}
		drivertest.Get(t, b, "c")
		w.lose(tt.err)
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now.Add(time.Hour), Limit: 7})
		if drivertest.WantKind(t, err, model.ErrUnknown); swept.Removed != 0 || swept.Unknown != 7 {
			t.Errorf("swept %+v", swept)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestErrorsOfSQLite brings about what SQLite refuses: the error says why, and
// nothing has changed.
func TestErrorsOfSQLite(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, b *Backend)
		want  string
	}{
		"no table":      {func(t *testing.T, b *Backend) { t.Helper(); must(t, b.DeleteStorage(t.Context())) }, "CreateStorage"},
		"no column":     {statement(`DROP TABLE "store"; CREATE TABLE "store" (id BLOB PRIMARY KEY)`), "another program"},
		"another shape": {statement(`DROP TABLE "store"; CREATE VIEW "store" AS SELECT 1 AS id`), "another program"},
		"read-only":     {statement("PRAGMA query_only = 1"), "reading only"},
		"full":          {statement("PRAGMA max_page_count = 1"), "full"},
		"a constraint":  {statement(`CREATE TRIGGER x BEFORE INSERT ON "store" BEGIN SELECT RAISE(ABORT, 'constraint failed: hunter2'); END`), "constraint"},
		"damaged":       {statement("PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'store'; PRAGMA writable_schema = RESET"), "damaged"},
		"closed":        {func(t *testing.T, b *Backend) { t.Helper(); must(t, b.db.Close()) }, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := fresh(t)
			b.db.SetMaxOpenConns(1)
			drivertest.SeedCalls(t, b)
			tt.spoil(t, b)
			w := create("large")
			w.Record.Value = make([]byte, 1<<20)
			_, err := b.Write(t.Context(), now, w)
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if text := err.Error(); !strings.Contains(text, tt.want) || strings.Contains(text, "hunter2") || strings.Contains(text, "SQL logic") {
				t.Errorf("%v (%s), want %q", err, drivertest.Causes(err), tt.want)
			}
			out := b.WriteMany(t.Context(), now, []driver.BatchOp{{Write: &w}, {Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}}})
			if drivertest.WantKind(t, out[0].Err, model.ErrUnavailable); (out[1].Err == nil) != (name == "a constraint") {
				t.Errorf("the other operation: %v", out[1].Err)
			}
		})
	}
}

func statement(text string) func(t *testing.T, b *Backend) {
	return func(t *testing.T, b *Backend) { t.Helper(); execute(t, b.db, text) }
}

// TestAForeignFile has a file of another format, and one in a folder that is
// gone.
func TestAForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	for file, want := range map[string]string{path: "not one of SQLite", filepath.Join(path, "below"): "cannot be opened"} {
		db, _ := openDB(t, file)
		b := newOn(t, db, "store")
		for _, err := range []error{b.CreateStorage(t.Context()), onlyErr(b.Get(t.Context(), now, driver.Get{ID: "id"})), onlyErr(b.Write(t.Context(), now, create("a")))} {
			if drivertest.WantKind(t, err, model.ErrUnavailable); !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

// TestNamesThatSoundLikeErrors has a table with a name that is also what SQLite
// says of a lock: no call waits for that.
func TestNamesThatSoundLikeErrors(t *testing.T) {
	b, _ := fresh(t)
	_, err := newOn(t, b.db, "database is locked").Get(t.Context(), now, driver.Get{ID: "id"})
	if drivertest.WantKind(t, err, model.ErrUnavailable); !strings.Contains(err.Error(), "CreateStorage") {
		t.Error(err)
	}
}

// TestWordsOfOtherDrivers has what other drivers say of a lock.
func TestWordsOfOtherDrivers(t *testing.T) {
	for _, text := range []string{"database is locked", "database table is locked: store", "sqlite3: database is locked", "database schema is locked: main", "database is locked (517)"} {
		b, w := fresh(t)
		first := true
		w.set(func(string) error {
			if first {
				first = false
				return errors.New(text)
			}
			return nil
		}, nil)
		if _, err := b.Write(t.Context(), now, create("a")); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestARunningStatement ends the context of calls whose statement does not return.
func TestARunningStatement(t *testing.T) {
	b, w := fresh(t)
	drivertest.SeedCalls(t, b)
	for _, tt := range []struct {
		call func(ctx context.Context) error
		kind error
	}{
		{func(ctx context.Context) error { return onlyErr(b.Write(ctx, now, create("a"))) }, model.ErrUnknown},
		{func(ctx context.Context) error { return onlyErr(b.Get(ctx, now, driver.Get{ID: "id"})) }, nil},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		w.set(func(string) error { cancel(); <-release; return nil }, nil)
		err := tt.call(ctx)
		close(release)
		if kind := model.Kind(err); !errors.Is(err, context.Canceled) || !errors.Is(kind, tt.kind) {
			t.Errorf("%v, want %v and %v", err, context.Canceled, tt.kind)
		}
	}
	w.set(nil, nil)
	must(t, b.turn.Acquire(t.Context(), 1)) // the late write has ended
	b.turn.Release(1)
	drivertest.Get(t, b, "a")
}

// TestALostTransactionLeavesNoOpenOne has a batch whose rollback fails: its
// connection is closed, and the next call gets another one.
func TestALostTransactionLeavesNoOpenOne(t *testing.T) {
	b, w := fresh(t)
	b.db.SetMaxOpenConns(1)
	w.set(func(verb string) error {
		if verb == "insert" || verb == "rollback" {
			return errLost
		}
		return nil
	}, nil)
	drivertest.WantKind(t, b.WriteMany(t.Context(), now, []driver.BatchOp{{Write: ptr(create("a"))}})[0].Err, model.ErrUnknown)
	w.set(nil, nil)
	drivertest.Gone(t, b, "a")
	drivertest.SeedCalls(t, b)
	other, _ := openDB(t, fileOf(t, b.db))
	drivertest.Get(t, newOn(t, other, "store", "principal", "state"), "id")
}
