package bbolt

import (
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips counts the transactions of each call, and those that are committed.
func TestTrips(t *testing.T) {
	type trips struct{ reads, writes, commits int64 }
	type call struct {
		name string
		want trips
		do   func(b *Backend) error
	}
	ctx := t.Context()
	read, written, refused := trips{reads: 1}, trips{writes: 1, commits: 1}, trips{writes: 1}
	base := drivertest.Record("id", "ann", time.Hour)
	var calls []call
	for _, c := range drivertest.Writes(base) {
		calls = append(calls, call{c.Name, written, func(b *Backend) error { return c.Do(ctx, b) }})
	}
	for _, c := range drivertest.Reads() {
		if c.Name != "ping" { // it finds nothing
			calls = append(calls, call{c.Name, read, func(b *Backend) error { return c.Do(ctx, b) }})
		}
	}
	sweep := driver.Sweep{Before: now, Limit: 10}
	announced := sweep
	announced.OnExpire = func(model.Record) error { return nil }
	calls = append(calls,
		call{"batch", written, func(b *Backend) error {
			for _, o := range b.WriteMany(ctx, now, []driver.BatchOp{
				{Write: &driver.Write{Record: drivertest.Record("x", "ann", time.Hour), Cond: driver.IfAny}},
				{Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}},
			}) {
				if o.Err != nil {
					return o.Err
				}
			}
			return nil
		}},
		call{"batch of invalid operations", trips{}, func(b *Backend) error { _ = b.WriteMany(ctx, now, make([]driver.BatchOp, 3)); return nil }},
		call{"refused create", refused, func(b *Backend) error { _, _ = b.Write(ctx, now, create("id")); return nil }},
		call{"touch that changes nothing", refused, func(b *Backend) error {
			return onlyErr(b.Touch(ctx, now, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: base.ExpiresAt}))
		}},
		call{"sweep", trips{1, 1, 1}, func(b *Backend) error { return onlyErr(b.DeleteExpired(ctx, sweep)) }},
		call{"sweep with announcements", trips{1, 1, 1}, func(b *Backend) error { return onlyErr(b.DeleteExpired(ctx, announced)) }},
		call{"ping", read, func(b *Backend) error { return driver.Ping(ctx, b, now) }},
		call{"create storage again", trips{reads: 2}, func(b *Backend) error { return b.CreateStorage(ctx) }},
		call{"delete storage", written, func(b *Backend) error { return b.DeleteStorage(ctx) }},
	)
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			b := fresh(t)
			drivertest.Seed(t, b, base, drivertest.Expired("old", ""))
			var reads, writes atomic.Int64
			begin := b.begin
			b.begin = func(writable bool) (*bbolt.Tx, error) {
				if writable {
					writes.Add(1)
				} else {
					reads.Add(1)
				}
				return begin(writable)
			}
			before := commits(t, b.db)
			must(t, c.do(b))
			if got := (trips{reads.Load(), writes.Load(), int64(commits(t, b.db) - before)}); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestASweepReadsOnlyWhatIsDue compares the pages that a sweep reads among few
// and among many live records.
func TestASweepReadsOnlyWhatIsDue(t *testing.T) {
	cursors := func(live int) int64 {
		b := fresh(t)
		recs := make([]model.Record, live)
		for i := range recs {
			recs[i] = drivertest.Record(model.NewRevision().String(), "ann", time.Hour)
		}
		drivertest.Seed(t, b, recs...)
		drivertest.Seed(t, b, drivertest.Expired("due 1", "ann"), drivertest.Expired("due 2", "ann"))
		before := b.db.Stats()
		n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 10})
		if err != nil || n != (driver.Swept{Removed: 2}) {
			t.Fatalf("swept %+v, %v", n, err)
		}
		after := b.db.Stats()
		return after.TxStats.GetCursorCount() - before.TxStats.GetCursorCount()
	}
	if few, many := cursors(10), cursors(20_000); many != few {
		t.Errorf("a sweep of two records moves %d cursors among 10 live ones and %d among 20,000", few, many)
	}
}
