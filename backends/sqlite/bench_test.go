package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

// BenchmarkFloor compares calls with the same statements by hand, without
// conditions and contexts, on a file system in memory.
func BenchmarkFloor(b *testing.B) {
	const stored = 10_000
	id := func(i int) string { return fmt.Sprint("user-", i%stored) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	record := func(i int) model.Record {
		r := drivertest.Record(id(i), "ann", time.Hour)
		r.Value = make([]byte, 450)
		return r
	}
	backend, _ := fresh(b)
	for i := range stored {
		drivertest.Seed(b, backend, record(i))
	}
	b.Run("get", func(b *testing.B) {
		get := func(i int) error {
			var value []byte
			var exp int64
			return backend.db.QueryRow(`SELECT exp, val FROM "store" WHERE id = ?`, []byte(id(i))).Scan(&exp, &value)
		}
		ratio.Report(b, 500, ratio.Side{Name: "hand", Do: get}, ratio.Side{Name: "hand-again", Do: get},
			ratio.Side{Name: "backend", Do: func(i int) error { return onlyErr(backend.Get(ctx, now, driver.Get{ID: id(i)})) }})
	})
	b.Run("upsert", func(b *testing.B) {
		put := func(i int) error {
			r := record(i)
			_, err := backend.db.Exec(`INSERT INTO "store" VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
				rev = excluded.rev, exp = excluded.exp, lab = excluded.lab, enc = excluded.enc, val = excluded.val`,
				[]byte(r.ID), r.Revision[:], r.ExpiresAt.UnixMilli(), `{"principal": "ann"}`, []byte(r.Encoding), r.Value)
			return err
		}
		ratio.Report(b, 200, ratio.Side{Name: "hand", Do: put}, ratio.Side{Name: "hand-again", Do: put},
			ratio.Side{Name: "backend", Do: func(i int) error {
				return onlyErr(backend.Write(ctx, now, driver.Write{Record: record(i), Cond: driver.IfAny}))
			}})
	})
}

// BenchmarkFloorWriters compares 16 writers with one, on a disk.
func BenchmarkFloorWriters(b *testing.B) {
	db, _ := openDB(b, filepath.Join(b.TempDir(), "db"))
	backend := newOn(b, db, "store", "principal")
	must(b, backend.CreateStorage(context.Background()))
	rate := func(writers int) float64 {
		const each = 100
		began := time.Now()
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					r := drivertest.Record(fmt.Sprint(w, "-", i), "ann", time.Hour)
					must(b, onlyErr(backend.Write(context.Background(), now, driver.Write{Record: r, Cond: driver.IfAny})))
				}
			})
		}
		all.Wait()
		return float64(writers*each) / time.Since(began).Seconds()
	}
	_ = rate(1)
	one, many := rate(1), rate(16)
	b.ReportMetric(one, "writes/s-one")
	b.ReportMetric(many/one, "times-with-16")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFloorSweep sweeps 1,000 of a million records.
func BenchmarkFloorSweep(b *testing.B) {
	backend, _ := fresh(b)
	execute(b, backend.db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) INSERT INTO "store"
		SELECT CAST('id' || i AS BLOB), 1, randomblob(16), ? + i, '{"principal": "p' || (i % 1000) || '"}', CAST('json' AS BLOB), zeroblob(200) FROM n`, now.UnixMilli())
	i := 0
	for b.Loop() {
		i++
		s, err := backend.DeleteExpired(context.Background(), driver.Sweep{Before: now.Add(time.Duration(i) * time.Second), Limit: 1000})
		if err != nil || s.Removed != 1000 {
			b.Fatal(s, err)
		}
	}
}
