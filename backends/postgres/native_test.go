package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// begin returns a transaction that is rolled back at the end of the test, if it
// is not over by then.
func begin(t testing.TB, o pgx.TxOptions) pgx.Tx {
	t.Helper()
	tx, err := connect(t, poolConfig(t)).BeginTx(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// TestInTransaction writes in the caller's transaction: others see it after the
// commit, and never after a rollback.
func TestInTransaction(t *testing.T) {
	for name, end := range map[string]func(pgx.Tx) error{
		"commit":   func(tx pgx.Tx) error { return tx.Commit(t.Context()) },
		"rollback": func(tx pgx.Tx) error { return tx.Rollback(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			drivertest.Seed(t, b, drivertest.Record("old", "ann", time.Hour))
			exec(t, b.db, "CREATE TABLE "+b.place.sibling(b.place.table+" orders")+" (total int)")
			tx := begin(t, pgx.TxOptions{})
			in := b.In(tx)
			exec(t, tx, "INSERT INTO "+b.place.sibling(b.place.table+" orders")+" VALUES (12)")
			r := drivertest.Record("new", "ann", time.Hour)
			if _, err := in.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			if err := in.Delete(t.Context(), drivertest.Now, driver.Delete{ID: "old", Cond: driver.IfPresent}); err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			drivertest.Holds(t, in, "new", r.Revision, r.ExpiresAt)
			drivertest.Gone(t, in, "old")
			drivertest.Gone(t, b, "new")
			drivertest.Get(t, b, "old")
			if err := end(tx); err != nil {
				t.Fatal(err)
			}
			orders, want := 0, 0
			if name == "commit" {
				want = 1
				drivertest.Holds(t, b, "new", r.Revision, r.ExpiresAt)
				drivertest.Gone(t, b, "old")
			} else {
				drivertest.Gone(t, b, "new")
				drivertest.Get(t, b, "old")
			}
			err := query(t.Context(), b.db, "SELECT count(*) FROM "+b.place.sibling(b.place.table+" orders"), nil, scanOne(&orders))
			if err != nil || orders != want {
				t.Errorf("%d orders, %v; want %d", orders, err, want)
			}
			exec(t, b.db, "DROP TABLE "+b.place.sibling(b.place.table+" orders"))
		})
	}
}

// TestEndedTransactions makes every call in a transaction that is over, in an
// ended savepoint, and without a transaction: the error names the mistake.
func TestEndedTransactions(t *testing.T) {
	b := open(t, nil)
	base := drivertest.SeedCalls(t, b)
	committed, undone, outer := begin(t, pgx.TxOptions{}), begin(t, pgx.TxOptions{}), begin(t, pgx.TxOptions{})
	savepoint, err := outer.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(context.Context) error{committed.Commit, undone.Rollback, savepoint.Commit} {
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var none *pgxpool.Tx
	for text, tx := range map[string][]pgx.Tx{"has ended": {committed, undone, savepoint}, "is nil": {nil, none}} {
		for _, tx := range tx {
			in := b.In(tx)
			calls := append(drivertest.Writes(base), drivertest.Reads()...)
			for _, call := range append(calls, drivertest.Call{Name: "many", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
				return firstError(driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{{Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}}}))
			}}, drivertest.Call{Name: "create storage", Do: driver.CreateStorage}, drivertest.Call{Name: "delete storage", Do: driver.DeleteStorage},
				drivertest.Call{Name: "check", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
					_, err := driver.Check(ctx, b)
					return err
				}}) {
				err := call.Do(t.Context(), in)
				if !errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %s, want %q", call.Name, drivertest.Causes(err), text)
				}
			}
		}
	}
	drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
}

// TestRefusalsLeaveTheTransaction has every condition fail in a transaction,
// which goes on.
func TestRefusalsLeaveTheTransaction(t *testing.T) {
	b := open(t, nil)
	base := drivertest.SeedCalls(t, b)
	tx := begin(t, pgx.TxOptions{})
	in := b.In(tx)
	other := model.Record{Revision: model.NewRevision()}
	write := func(id string, c driver.Condition) error {
		_, err := in.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record(id, "bob", time.Hour), Cond: c, Known: other})
		return err
	}
	for i, c := range []struct{ got, want error }{
		{write("id", driver.IfAbsent), model.ErrExists},
		{write("id", driver.IfMatch), model.ErrConflict},
		{write("none", driver.IfPresent), model.ErrNotFound},
		{in.Delete(t.Context(), drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: other}), model.ErrConflict},
		{firstError(in.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAbsent}}})), model.ErrExists},
		{write("fresh", driver.IfAbsent), nil},
		{in.CreateStorage(t.Context()), nil},
		{in.Ping(t.Context()), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Fatalf("call %d: %s, want %v", i, drivertest.Causes(c.got), c.want)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	drivertest.Holds(t, b, "id", base.Revision, base.ExpiresAt)
	drivertest.Get(t, b, "fresh")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	drivertest.Get(t, b, "fresh") // b is open
}

// TestSerializationFailure has a transaction of a higher isolation that meets a
// write of another one: the caller must begin it again.
func TestSerializationFailure(t *testing.T) {
	b := open(t, nil)
	drivertest.SeedCalls(t, b)
	in := b.In(begin(t, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}))
	drivertest.Get(t, in, "id")
	drivertest.Seed(t, b, drivertest.Record("id", "bob", time.Hour))
	_, err := in.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchClear})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	_, err = in.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
}

// awaitLocks returns when n sessions wait for a lock of another one, in a
// statement on the table.
func awaitLocks(t testing.TB, b *Backend, n int) {
	t.Helper()
	for waits := 0; waits < n; {
		err := query(t.Context(), b.db, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event_type = 'Lock' AND query LIKE '%' || $1::text || '%'",
			[]any{b.place.table}, scanOne(&waits))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// touches touches a record in a transaction, which holds it then.
func touches(t testing.TB, b *Backend, tx pgx.Tx, id string) error {
	t.Helper()
	_, err := b.In(tx).Touch(t.Context(), drivertest.Now, driver.Touch{ID: id, Mode: driver.TouchClear})
	return err
}

// TestIsolationOfTheSession has sessions whose transactions are serializable by
// default, and a write that waits while another transaction changes its record.
// The server refuses it, and it is sent again.
func TestIsolationOfTheSession(t *testing.T) {
	c := poolConfig(t)
	c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	b := openOn(t, connect(t, c), nil)
	drivertest.Seed(t, b, drivertest.Record("id", "", time.Hour))
	for range 3 {
		tx := begin(t, pgx.TxOptions{})
		if err := touches(t, b, tx, "id"); err != nil {
			t.Fatal(drivertest.Causes(err))
		}
		w := driver.Write{Record: drivertest.Record("id", "", time.Hour), Cond: driver.IfPresent}
		written := make(chan error, 1)
		go func() {
			_, err := b.Write(t.Context(), drivertest.Now, w)
			written <- err
		}()
		awaitLocks(t, b, 1)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-written; err != nil {
			t.Fatal(drivertest.Causes(err))
		}
		drivertest.Holds(t, b, "id", w.Record.Revision, w.Record.ExpiresAt)
	}
}

// TestModes makes every call in every mode of pgx, also in those that work with
// a proxy that gives each transaction another connection.
func TestModes(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			c := poolConfig(t)
			c.ConnConfig.DefaultQueryExecMode = mode
			everyCall(t, openOn(t, connect(t, c), nil))
		})
	}
}

// everyCall makes the calls of trips, each on fresh records.
func everyCall(t *testing.T, b *Backend) {
	t.Helper()
	for i := range trips(model.Record{}) {
		exec(t, b.db, "DELETE FROM "+b.place.name())
		for n := range 3 {
			r := drivertest.Record(fmt.Sprint("many", n), "ann", time.Hour)
			r.Value = []byte("\x00\xff'\\")
			drivertest.Seed(t, b, r)
			if got := drivertest.Get(t, b, r.ID); !bytes.Equal(got.Value, r.Value) || got.Labels["principal"] != "ann" {
				t.Fatalf("got %+v, want %+v", got, r)
			}
		}
		call := trips(drivertest.SeedCalls(t, b))[i]
		if err := call.Do(t.Context(), b); !errors.Is(err, call.want) {
			t.Fatalf("%s: %s, want %v", call.Name, drivertest.Causes(err), call.want)
		}
		if call.Done != nil {
			call.Done(t, b)
		}
	}
}

// TestSingleConnection makes calls at the same time on a connection that serves
// one at a time. A call that waits for it decides as of its end, and ends with
// its context.
func TestSingleConnection(t *testing.T) {
	conn, err := pgx.ConnectConfig(t.Context(), poolConfig(t).ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	b := openOn(t, conn, nil)
	everyCall(t, b)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			w := driver.Write{Record: drivertest.Record(fmt.Sprint("at once", i), "ann", time.Hour), Cond: driver.IfAbsent}
			if _, err := b.Write(t.Context(), drivertest.Now, w); err != nil {
				t.Error(drivertest.Causes(err))
			}
		})
	}
	all.Wait()
	_, release, err := b.acquire(t.Context(), &driverkit.Waited{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	_, err = b.Get(ctx, drivertest.Now, driver.Get{ID: "at once1"})
	drivertest.WantKind(t, err, nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	reads := 0
	b.watch = func() time.Duration { // the connection is free right after the first reading
		if reads++; reads == 1 {
			release()
			return 0
		}
		return time.Hour
	}
	_, err = b.Get(t.Context(), drivertest.Now, driver.Get{ID: "at once1"})
	drivertest.WantKind(t, err, model.ErrNotFound)
}

// TestSweepersShare has sweepers that remove a thousand records together. Each
// removal is counted once.
func TestSweepersShare(t *testing.T) {
	b := open(t, nil)
	fill(t, b, 10, 1000)
	for _, onExpire := range []func(model.Record) error{nil, func(model.Record) error { return nil }} {
		var all sync.WaitGroup
		var mu sync.Mutex
		total := 0
		for range 4 {
			all.Go(func() {
				for {
					s, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 50, OnExpire: onExpire})
					mu.Lock()
					total += s.Removed
					mu.Unlock()
					if err != nil {
						t.Error(drivertest.Causes(err))
					}
					if err != nil || !s.More {
						return
					}
				}
			})
		}
		all.Wait()
		s, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 5000})
		if total += s.Removed; err != nil || total != 1000 {
			t.Fatalf("%d removals are counted, %v; want 1000", total, err)
		}
		exec(t, b.db, "DELETE FROM "+b.place.name())
		fill(t, b, 10, 1000)
	}
}

// TestBatchWithARefusedOperation has one operation that a constraint refuses:
// the others are carried out.
func TestBatchWithARefusedOperation(t *testing.T) {
	b := open(t, nil)
	exec(t, b.db, "ALTER TABLE "+b.place.name()+" ADD CHECK (id <> 'odd')")
	var ops []driver.BatchOp
	for _, id := range []string{"z", "odd", "a"} {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(id, "", 0), Cond: driver.IfAny}})
	}
	out := b.WriteMany(t.Context(), drivertest.Now, ops)
	drivertest.WantKind(t, out[1].Err, model.ErrUnavailable)
	for _, i := range []int{0, 2} {
		if out[i].Err != nil {
			t.Fatal(drivertest.Causes(out[i].Err))
		}
		drivertest.Get(t, b, ops[i].ID())
	}
}

// TestConstraintsHoldRecords has statements of other programs that would leave
// half a record.
func TestConstraintsHoldRecords(t *testing.T) {
	b := open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	for _, set := range []string{
		"format = 0", "rev = NULL", "rev = '00000000-0000-0000-0000-000000000000'", "exp = 253402300800000", "enc = NULL", "val = NULL",
		`lab = '[]'`, `lab = '"text"'`, `lab = '{"principal": 1}'`, `lab = '{"principal": {"a": "b"}}'`, `lab = 'null'`,
	} {
		if _, err := b.db.Exec(t.Context(), "UPDATE "+b.place.name()+" SET "+set); err == nil {
			t.Errorf("the table takes %s", set)
		}
	}
}

// TestBatchWithoutATable is refused as a whole: its operations are not tried one
// by one.
func TestBatchWithoutATable(t *testing.T) {
	b, p := proxied(t)
	exec(t, b.db, "DROP TABLE "+b.place.name())
	p.Requests()
	var ops []driver.BatchOp
	for i := range 20 {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(fmt.Sprint(i), "", 0), Cond: driver.IfAny}})
	}
	for _, o := range b.WriteMany(t.Context(), drivertest.Now, ops) {
		drivertest.WantKind(t, o.Err, model.ErrUnavailable)
	}
	if sent := p.Requests(); len(sent) > 1 {
		t.Errorf("sent %q", sent)
	}
}

// TestDeadlocksAreNotErrors has a batch and a transaction that wait for each
// other: the server ends the batch, which goes on. The batch begins its wait last,
// and only it looks for circles, so it is the one that finds this one.
func TestDeadlocksAreNotErrors(t *testing.T) {
	b := open(t, nil)
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		drivertest.Seed(t, b, drivertest.Record(id, "", time.Hour))
	}
	holdsC, holdsB := begin(t, pgx.TxOptions{}), begin(t, pgx.TxOptions{})
	exec(t, holdsC, "SET LOCAL deadlock_timeout = '1h'")
	if err := errors.Join(touches(t, b, holdsC, "c"), touches(t, b, holdsB, "b")); err != nil {
		t.Fatal(drivertest.Causes(err))
	}
	results := make(chan []driver.BatchResult, 1)
	go func() {
		ops := make([]driver.BatchOp, len(ids))
		for i, id := range ids {
			ops[i].Write = &driver.Write{Record: drivertest.Record(id, "", time.Hour), Cond: driver.IfPresent}
		}
		results <- b.WriteMany(t.Context(), drivertest.Now, ops)
	}()
	awaitLocks(t, b, 1) // the batch has a and waits for b
	touched := make(chan error, 1)
	go func() { touched <- touches(t, b, holdsC, "a") }()
	awaitLocks(t, b, 2)
	if err := holdsB.Rollback(t.Context()); err != nil { // now the batch waits for c
		t.Fatal(err)
	}
	if err := <-touched; err != nil {
		t.Fatal(drivertest.Causes(err))
	}
	if err := holdsC.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := firstError(<-results); err != nil {
		t.Fatal(drivertest.Causes(err))
	}
}
