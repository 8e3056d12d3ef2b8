package postgres

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t, nil)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}

func TestStat(t *testing.T) {
	b := open(t, nil)
	exec(t, b.db, "INSERT INTO "+b.place.name()+" VALUES ('bad', 2, gen_random_uuid(), NULL, NULL, 'json', '')")
	drivertest.Stats(t, b, "bad")
}

func TestEndedContexts(t *testing.T) { drivertest.EndedContexts(t, open(t, nil), nil) }

// TestListingsDecideAfterTheWait has a page and a count for which no connection
// is free until the record has expired (rule R100).
func TestListingsDecideAfterTheWait(t *testing.T) {
	c := poolConfig(t)
	c.MaxConns = 1
	b := openOn(t, connect(t, c), nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute))
	for name, list := range map[string]func(driver.Query) (int, error){
		"page": func(q driver.Query) (int, error) {
			q.Limit = 10
			page, err := b.Page(t.Context(), drivertest.Now, q)
			return len(page.Records), err
		},
		"count": func(q driver.Query) (int, error) { return b.Count(t.Context(), drivertest.Now, q) },
	} {
		for _, q := range []driver.Query{{}, {Label: "principal", Value: "ann"}} {
			for _, waits := range []time.Duration{0, time.Hour} {
				_, release, err := b.acquire(t.Context(), &driverkit.Waited{})
				if err != nil {
					t.Fatal(err)
				}
				b.watch = readings(release, waits)
				want := 1
				if waits > 0 {
					want = 0
				}
				if n, err := list(q); err != nil || n != want {
					t.Errorf("%s %+v after a wait of %v: %d records, %v; want %d", name, q, waits, n, err, want)
				}
				b.watch = nil
			}
		}
	}
}

// readings returns a stopwatch that shows 0, calls first, and then shows d.
func readings(first func(), d time.Duration) func() time.Duration {
	n := 0
	return func() time.Duration {
		if n++; n > 1 {
			return d
		}
		first()
		return 0
	}
}

// TestAcquireMeasuresIdleConnectionsToo has a pool with an idle connection, which
// a call does not always get: only a long time is a wait.
func TestAcquireMeasuresIdleConnectionsToo(t *testing.T) {
	b := open(t, nil)
	drivertest.SeedCalls(t, b)
	if b.pool.Stat().IdleConns() == 0 {
		t.Fatal("no connection is idle")
	}
	for took, want := range map[time.Duration]time.Duration{noPause - time.Millisecond: 0, noPause: noPause} {
		w := driverkit.Waited{Watch: readings(func() {}, took)}
		_, release, err := b.acquire(t.Context(), &w)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if got := w.Now(drivertest.Now).Sub(drivertest.Now); got != want {
			t.Errorf("a call that got an idle connection after %v has waited for %v, want %v", took, got, want)
		}
	}
}

// slow is a DB on which each batch takes an hour.
type slow struct {
	DB
	at *time.Duration
}

func (s slow) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	*s.at += time.Hour
	return s.DB.SendBatch(ctx, batch)
}

// TestLaterWritesOfABatch has batches with an operation that is sent after the
// others: as the second pipeline, and by itself because a constraint refuses the
// pipeline. Its record expires while the first pipeline is under way (rule R100).
func TestLaterWritesOfABatch(t *testing.T) {
	for name, before := range map[string]int{"the second pipeline": batchOps, "one by one": 1} {
		var at time.Duration
		b := openOn(t, slow{connect(t, poolConfig(t)), &at}, nil)
		b.watch = func() time.Duration { return at }
		exec(t, b.db, "ALTER TABLE "+b.place.name()+" ADD CHECK (id <> 'a')")
		drivertest.Seed(t, b, drivertest.Record("z", "", time.Minute))
		ops := []driver.BatchOp{{Delete: &driver.Delete{ID: "z", Cond: driver.IfPresent}}}
		for i := range before {
			id := "a"
			if before > 1 {
				id = fmt.Sprint("b", i)
			}
			ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(id, "", 0), Cond: driver.IfAny}})
		}
		out := b.WriteMany(t.Context(), drivertest.Now, ops)
		if drivertest.WantKind(t, out[0].Err, model.ErrNotFound); before > 1 && firstError(out[1:]) != nil {
			t.Errorf("%s: %s", name, drivertest.Causes(firstError(out[1:])))
		}
	}
}
