package bbolt

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

// BenchmarkFloor compares calls with the same buckets and keys by hand, without
// conditions, contexts and checksums: on a file system in memory without syncs,
// for which only the processor's time is left.
func BenchmarkFloor(b *testing.B) {
	const stored = 10_000
	id := func(i int) string { return fmt.Sprint("user-", i%stored) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	value := make([]byte, 450)
	record := func(i int) model.Record {
		r := drivertest.Record(id(i), "ann", time.Hour)
		r.Value = value
		return r
	}
	open := func(b *testing.B) (*Backend, *bbolt.DB) {
		b.Helper()
		backend := fresh(b)
		for i := range stored {
			drivertest.Seed(b, backend, record(i))
		}
		hand := openDB(b, filepath.Join(memoryDir(b), "hand"), &bbolt.Options{NoSync: true})
		must(b, hand.Update(func(tx *bbolt.Tx) error {
			for _, part := range parts {
				if _, err := tx.CreateBucket([]byte(part)); err != nil {
					return err
				}
			}
			for i := range stored {
				if err := putByHand(tx, record(i)); err != nil {
					return err
				}
			}
			return nil
		}))
		return backend, hand
	}
	b.Run("get", func(b *testing.B) {
		backend, hand := open(b)
		get := func(i int) error {
			return hand.View(func(tx *bbolt.Tx) error {
				_ = append([]byte(nil), tx.Bucket([]byte(recordsBucket)).Get([]byte(id(i)))...)
				return nil
			})
		}
		ratio.Report(b, 5000, ratio.Side{Name: "hand", Do: get}, ratio.Side{Name: "hand-again", Do: get},
			ratio.Side{Name: "backend", Do: func(i int) error { return onlyErr(backend.Get(ctx, now, driver.Get{ID: id(i)})) }})
	})
	b.Run("upsert", func(b *testing.B) {
		backend, hand := open(b)
		put := func(i int) error {
			return hand.Update(func(tx *bbolt.Tx) error { return putByHand(tx, record(i)) })
		}
		ratio.Report(b, 1000, ratio.Side{Name: "hand", Do: put}, ratio.Side{Name: "hand-again", Do: put},
			ratio.Side{Name: "backend", Do: func(i int) error {
				return onlyErr(backend.Write(ctx, now, driver.Write{Record: record(i), Cond: driver.IfAny}))
			}})
	})
}

func putByHand(tx *bbolt.Tx, r model.Record) error {
	for _, e := range entries(&r) {
		if err := tx.Bucket([]byte(e.bucket)).Put([]byte(e.key), []byte(r.ID)); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte(recordsBucket)).Put([]byte(r.ID), r.Value)
}

// BenchmarkFloorWriters compares 16 writers with one, on a disk with syncs: how
// many times as many writes a second they get.
func BenchmarkFloorWriters(b *testing.B) {
	db := openDB(b, filepath.Join(b.TempDir(), "db"), nil)
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
					if _, err := backend.Write(context.Background(), now, driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
						b.Error(err)
					}
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
