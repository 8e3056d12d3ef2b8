package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

var now = drivertest.Now

// fresh returns a backend with storage on a file of its own.
func fresh(t testing.TB) (*Backend, *wire) {
	t.Helper()
	db, w := openDB(t, filepath.Join(memoryDir(t), "a ?#%ü.db"))
	b := newOn(t, db, "store", "principal", "state")
	must(t, b.CreateStorage(context.Background()))
	return b, w
}

func create(id string) driver.Write {
	return driver.Write{Record: drivertest.Record(id, "ann", time.Hour), Cond: driver.IfAbsent}
}

func onlyErr[T any](_ T, err error) error { return err }

func TestNew(t *testing.T) {
	b, _ := fresh(t)
	errs := map[string]error{"no database": onlyErr(New(nil, "x", nil)), "bad label": onlyErr(New(b.db, "x", &Options{Labels: []string{"Bad Name"}}))}
	for _, name := range []string{"", "Store", "sqlite_x", "a\x00", "\xff", string(make([]byte, maxName+1))} {
		errs[fmt.Sprintf("name %q", name)] = onlyErr(New(b.db, name, nil))
	}
	drivertest.NewErrors(t, backendName, errs)
	b, err := New(b.db, "x", nil)
	must(t, err)
	if got := b.Describe().Labels; len(got) != 1 || got[0] != "principal" {
		t.Errorf("the labels are %v", got)
	}
}

// TestIn writes records and rows of the program in one transaction: others see
// both after the commit, and none after a rollback.
func TestIn(t *testing.T) {
	for name, commit := range map[string]bool{"commit": true, "rollback": false} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			b, _ := fresh(t)
			execute(t, b.db, "CREATE TABLE orders (total int)")
			drivertest.Seed(t, b, drivertest.Record("gone", "ann", time.Hour))
			tx := begin(t, b.db)
			in := b.In(tx)
			_, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (12)")
			must(t, err)
			everyVerb(t, in)
			drivertest.Get(t, in, "a")
			drivertest.Gone(t, b, "a")
			drivertest.Get(t, b, "gone")
			want := 0
			if commit {
				want = 1
				must(t, tx.Commit())
				drivertest.Get(t, b, "a")
				drivertest.Gone(t, b, "gone")
			} else {
				must(t, tx.Rollback())
				drivertest.Gone(t, b, "a")
				drivertest.Get(t, b, "gone")
			}
			if n := count(t, b.db, "SELECT count(*) FROM orders"); n != want {
				t.Errorf("%d orders, want %d", n, want)
			}
			_, err = in.Write(ctx, now, create("b"))
			drivertest.WantKind(t, err, model.ErrUnavailable)
			must(t, in.Close())
			drivertest.WantKind(t, onlyErr(in.Get(ctx, now, driver.Get{ID: "a"})), model.ErrClosed)
			_, err = b.Write(ctx, now, create("b")) // b is open
			must(t, err)
		})
	}
}

// everyVerb makes calls of each kind, with conditions that fail between them. It
// creates "a" and deletes "gone".
func everyVerb(t *testing.T, in *Backend) {
	t.Helper()
	ctx := t.Context()
	_, err := in.Write(ctx, now, create("a"))
	must(t, err)
	drivertest.WantKind(t, onlyErr(in.Write(ctx, now, create("a"))), model.ErrExists)
	must(t, in.Delete(ctx, now, driver.Delete{ID: "gone", Cond: driver.IfPresent}))
	drivertest.WantKind(t, in.Delete(ctx, now, driver.Delete{ID: "gone", Cond: driver.IfPresent}), model.ErrNotFound)
	must(t, onlyErr(in.Touch(ctx, now, driver.Touch{ID: "a", Mode: driver.TouchClear})))
	drivertest.Seed(t, in, drivertest.Expired("old", "ann"))
	swept, err := in.DeleteExpired(ctx, driver.Sweep{Before: now, Limit: 5, OnExpire: func(model.Record) error {
		return onlyErr(in.Get(ctx, now, driver.Get{ID: "a"}))
	}})
	if err != nil || swept.Removed != 1 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	other := driver.BatchOp{Write: &driver.Write{Record: drivertest.Record("b", "", 0), Cond: driver.IfAny}}
	missing := driver.BatchOp{Delete: &driver.Delete{ID: "gone", Cond: driver.IfPresent}}
	out := in.WriteMany(ctx, now, []driver.BatchOp{missing, other, {Delete: &driver.Delete{ID: "c", Cond: driver.IfPresent}}})
	drivertest.WantKind(t, out[0].Err, model.ErrNotFound)
	must(t, out[1].Err)
	must(t, in.Delete(ctx, now, driver.Delete{ID: "b", Cond: driver.IfPresent}))
	p, err := in.Page(ctx, now, driver.Query{Label: "principal", Value: "ann", Limit: 5})
	if err != nil || len(p.Records) != 1 {
		t.Errorf("%d records, %v", len(p.Records), err)
	}
	must(t, in.CreateStorage(ctx))
}

func begin(t testing.TB, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// TestAnEndedContextLeavesTheTransaction ends the context of a call of In while
// its statement runs. Interrupted, SQLite would roll back the transaction, and the
// program's next statement would commit by itself.
func TestAnEndedContextLeavesTheTransaction(t *testing.T) {
	b, w := fresh(t)
	tx := begin(t, b.db)
	in := b.In(tx)
	ctx, cancel := context.WithCancel(t.Context())
	w.set(func(string) error { cancel(); return nil }, nil)
	_, err := in.Write(ctx, now, create("a"))
	must(t, err)
	_, err = in.Write(ctx, now, create("b"))
	if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Errorf("got %v, want %v alone", err, context.Canceled)
	}
	must(t, tx.Commit())
	drivertest.Get(t, b, "a")
	drivertest.Gone(t, b, "b")
}

// TestInDoesNotWait has a transaction that read first, and another connection that
// writes: SQLite refuses the write, which no wait would change.
func TestInDoesNotWait(t *testing.T) {
	b, _ := fresh(t)
	tx, err := b.db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true}) // BEGIN DEFERRED
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	in := b.In(tx)
	drivertest.Gone(t, in, "a")
	drivertest.Seed(t, b, drivertest.Record("a", "", 0))
	_, err = in.Write(t.Context(), now, create("b"))
	drivertest.WantKind(t, err, model.ErrUnavailable)
}

// TestARecordThatChangesMeanwhile has another connection change the record between
// the statement of a write and the read that asks why it changed nothing.
func TestARecordThatChangesMeanwhile(t *testing.T) {
	old := drivertest.Record("id", "ann", time.Hour)
	known := drivertest.Record("id", "ann", time.Hour)
	update := driver.Write{Record: drivertest.Record("id", "ann", time.Hour), Cond: driver.IfMatch, Known: known}
	for _, always := range []bool{false, true} {
		b, w := fresh(t)
		drivertest.Seed(t, b, old)
		other, _ := openDB(t, fileOf(t, b.db))
		changes := 0
		w.set(func(verb string) error {
			if rev := old.Revision; verb == "select" || always {
				if changes++; verb == "select" {
					rev = known.Revision
				}
				execute(t, other, `UPDATE "store" SET rev = ?`, rev[:])
			}
			return nil
		}, nil)
		got, err := b.Write(t.Context(), now, update)
		if always {
			if drivertest.WantKind(t, err, model.ErrUnavailable); changes != 2*attempts {
				t.Errorf("%d changes, want %d", changes, 2*attempts)
			}
			continue
		}
		if must(t, err); got.Revision != update.Record.Revision || changes != 1 {
			t.Errorf("stored %v after %d changes", got.Revision, changes)
		}
	}
}

func fileOf(t testing.TB, db *sql.DB) (path string) {
	t.Helper()
	must(t, db.QueryRow("SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path))
	return path
}

// TestListingsFollowTheBytesOfIDs lists ids that other orders would mix.
func TestListingsFollowTheBytesOfIDs(t *testing.T) {
	b, _ := fresh(t)
	drivertest.ListsByBytes(t, b)
}

// TestAPageReadsABoundedNumberOfExpiredRecords has more of them than a page
// reads.
func TestAPageReadsABoundedNumberOfExpiredRecords(t *testing.T) {
	b, _ := fresh(t)
	recs := []model.Record{drivertest.Record("last", "ann", time.Hour)}
	for i := range extraReads + 10 {
		recs = append(recs, drivertest.Expired(fmt.Sprintf("%05d", i), "ann"))
	}
	drivertest.Seed(t, b, recs...)
	p, err := b.Page(t.Context(), now, driver.Query{Limit: 5})
	if err != nil || len(p.Records) != 0 || p.Next == "" {
		t.Fatalf("%d records, next %q, %v; want an empty page that is not the last", len(p.Records), p.Next, err)
	}
	p, err = b.Page(t.Context(), now, driver.Query{Limit: 5, After: p.Next})
	if err != nil || len(p.Records) != 1 || p.Next != "" {
		t.Fatalf("%d records, next %q, %v; want the last", len(p.Records), p.Next, err)
	}
}

// TestMain counts in a file, if the environment says so: it is the other process
// of TestTwoProcesses.
func TestMain(m *testing.M) {
	path := os.Getenv("SOJOURN_TEST_COUNT")
	if path == "" {
		os.Exit(m.Run())
	}
	fmt.Println("counts")
	if err := increment(context.Background(), path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

const increments = 200

// increment adds to a counter, one by one.
func increment(ctx context.Context, path string) error {
	b, err := backends.Open(ctx, urlOf(path))
	if err != nil {
		return err
	}
	store, err := expiry.NewStore[int](b, nil)
	if err != nil {
		return err
	}
	for range increments {
		for {
			_, err := store.Mutate(ctx, "count", func(n *int) error { *n++; return nil }, nil)
			if err == nil {
				break
			}
			if !errors.Is(err, model.ErrConflict) { // the other process wins again and again
				return err
			}
		}
	}
	return store.Close()
}

// TestTwoProcesses has two processes write one record: nothing is lost.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(memoryDir(t), "app.db")
	b, err := backends.Open(t.Context(), urlOf(path))
	must(t, err)
	store, err := expiry.NewStore[int](b, nil)
	must(t, err)
	must(t, store.CreateStorage(t.Context()))
	must(t, onlyErr(store.Create(t.Context(), "count", 0, nil)))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "SOJOURN_TEST_COUNT="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	must(t, increment(t.Context(), path))
	text := make([]byte, 1000)
	n, _ := out.Read(text)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, text[:n])
	}
	item, err := store.Get(t.Context(), "count")
	if err != nil || item.Value != 2*increments {
		t.Errorf("counted %d, %v; want %d", item.Value, err, 2*increments)
	}
	must(t, store.Close())
}
