package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// filesOnly is a system that cannot sync a whole file system, so that each write syncs
// its files.
type filesOnly struct{ disk.System }

func (s filesOnly) Open(dir string) (disk.Folder, error) {
	f, err := s.System.Open(dir)
	return noWhole{f}, err
}

type opened = disk.Folder

type noWhole struct{ opened }

func (n noWhole) Folder(name string) (disk.Folder, error) {
	f, err := n.opened.Folder(name)
	return noWhole{f}, err
}

func (noWhole) Whole() (disk.Whole, error) { return nil, errors.ErrUnsupported }

func benchRecord(i int64) model.Record {
	r := newRecord(fmt.Sprint("id", i), fmt.Sprint("p", i%100), inHour.Add(time.Duration(i%60)*time.Minute))
	r.Value = bytes.Repeat([]byte("x"), 500)
	return r
}

// BenchmarkWriters has several goroutines create records with an expiry and a label:
// with the log, with syncs of the files instead, and with NoSync. Run it with
// -benchtime=2000x on a disk.
func BenchmarkWriters(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		for _, how := range []string{"log", "files", "NoSync"} {
			b.Run(fmt.Sprintf("%d, %s", writers, how), func(b *testing.B) { benchWriters(b, writers, how) })
		}
	}
}

func benchWriters(b *testing.B, writers int, how string) {
	b.Helper()
	backend := open(b, b.TempDir(), "store", &Options{NoSync: how == "NoSync"})
	if how == "files" {
		backend.system = filesOnly{backend.system}
	}
	must(b, backend.CreateStorage(b.Context()))
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := onlyErr(backend.Write(context.Background(), now, driver.Write{Record: benchRecord(i), Cond: driver.IfAbsent})); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
}

// BenchmarkMillion makes a million records through the log, opens the store and lists
// it. It needs 6 GB of disk and some minutes: run it with -benchtime=1x -timeout=30m.
func BenchmarkMillion(b *testing.B) {
	const many, batch = 1_000_000, 10_000
	ctx, dir := b.Context(), b.TempDir()
	for b.Loop() {
		start := time.Now()
		filler := open(b, dir, "store", nil)
		must(b, filler.CreateStorage(ctx))
		for from := int64(0); from < many; from += batch {
			var ops []driver.BatchOp
			for i := range int64(batch) {
				ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: benchRecord(from + i), Cond: driver.IfAny}})
			}
			for _, o := range filler.WriteMany(ctx, now, ops) {
				must(b, o.Err)
			}
		}
		b.ReportMetric(many/time.Since(start).Seconds(), "creates/s")

		start = time.Now() // the filler is not closed: its log is there
		backend := open(b, dir, "store", nil)
		must(b, onlyErr(backend.Get(ctx, now, driver.Get{ID: "id1"})))
		b.ReportMetric(time.Since(start).Seconds()*1000, "ms/open")

		for name, q := range map[string]driver.Query{"all": {Limit: 1000}, "label": {Limit: 1000, Label: "principal", Value: "p1"}} {
			runtime.GC()
			var first, most uint64
			listed := 0
			start = time.Now()
			for more := true; more; {
				p, err := backend.Page(ctx, now, q)
				must(b, err)
				listed += len(p.Records)
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if first == 0 {
					first = m.HeapAlloc
				}
				most = max(most, m.HeapAlloc)
				q.After, more = p.Next, p.Next != ""
			}
			if want := map[string]int{"all": many, "label": many / 100}[name]; listed != want {
				b.Fatalf("listed %d records, want %d", listed, want)
			}
			b.ReportMetric(time.Since(start).Seconds(), "s/list-"+name)
			b.ReportMetric(float64(max(most, first)-first)/(1<<20), "MB-more/list-"+name)
		}
	}
}
