package file

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

// byHand is what the backend is compared with. It makes the files and index
// entries of a write with the same syncs, but without locks, conditions and
// os.Root.
type byHand struct {
	store string
	sync  bool
}

func (h *byHand) at(slashed string) string {
	return filepath.Join(h.store, filepath.FromSlash(slashed))
}

func (h *byHand) syncFolder(slashed string) error {
	if !h.sync {
		return nil
	}
	f, err := os.Open(h.at(slashed))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (h *byHand) write(rec *model.Record, update bool) error {
	p := placeOf(rec.ID)
	if update {
		if _, err := os.ReadFile(h.at(p.path())); err != nil {
			return err
		}
	}
	var random [randomTmpBytes]byte
	_, _ = rand.Read(random[:])
	tmp := h.at(tmpDir + "/" + hex.EncodeToString(random[:]))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(driverkit.AppendRecord(nil, rec))
	if err == nil && h.sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, e := range entriesOf(&p, rec) {
		if update {
			break // they exist
		}
		folder := e.base + "/" + e.sub
		f, err := os.OpenFile(h.at(folder+"/"+e.name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Close(), h.syncFolder(folder)); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, h.at(p.path())); err != nil {
		return err
	}
	return h.syncFolder(p.dir())
}

// BenchmarkFloor compares writes with a single file that is written, synced and
// renamed by hand, in a folder that is synced then. It also compares the same files
// and entries made by hand, and the single file with itself.
func BenchmarkFloor(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, full := range []bool{false, true} {
			for _, what := range []string{"create", "update", "touch"} {
				name := what
				if full {
					name += " with expiry and label"
				}
				if !sync {
					name += ", NoSync"
				}
				b.Run(name, func(b *testing.B) { benchFloor(b, sync, full, what) })
			}
		}
	}
}

func benchFloor(b *testing.B, sync, full bool, what string) {
	b.Helper()
	dir, calls, update := b.TempDir(), 8, what != "create"
	if !sync {
		dir, calls = memoryDir(b), 200 // only the cost of the system calls is left
	}
	backend := open(b, dir, "store", &Options{NoSync: !sync})
	must(b, backend.CreateStorage(b.Context()))
	hand := &byHand{store: in(dir), sync: sync}
	record := func(id string) model.Record {
		r := newRecord(id, "", time.Time{})
		r.Value = bytes.Repeat([]byte("x"), 500)
		if full {
			r.Labels, r.ExpiresAt = map[string]string{"principal": "ann"}, inHour
		}
		return r
	}
	write(b, backend, driver.IfAny, record("first")) // makes the folders of the indexes
	cond := driver.IfAbsent
	if update {
		cond = driver.IfPresent
	}
	// side makes its records before the measurement. A side that updates has as
	// many records as calls in a round.
	side := func(name string, do func(r *model.Record) error) ratio.Side {
		recs := make([]model.Record, calls*(ratio.Rounds+1))
		for i := range recs {
			if recs[i] = record(fmt.Sprint(name, i)); update {
				recs[i].ID = fmt.Sprint("update", i%calls)
			}
			if update && i < calls {
				write(b, backend, driver.IfAny, recs[i])
			}
		}
		return ratio.Side{Name: name, Do: func(i int) error { return do(&recs[i]) }}
	}
	onHand := func(r *model.Record) error { return hand.write(r, update) }
	// A file alone, without its index entries, is what a program would write.
	alone := func(r *model.Record) error { return hand.write(r, true) }
	if !update {
		alone = func(r *model.Record) error {
			plain := *r
			plain.Labels, plain.ExpiresAt = nil, time.Time{}
			return hand.write(&plain, false)
		}
	}
	touches := 0
	ratio.Report(b, calls, side("alone", alone), side("floor", alone), side("by-hand", onHand), side("ratio", func(r *model.Record) error {
		if touches++; what == "touch" { // within the minute, and each to another time
			at := inHour.Add(time.Duration(touches) * time.Millisecond)
			return onlyErr(backend.Touch(context.Background(), now, driver.Touch{ID: r.ID, Mode: driver.TouchSet, ExpiresAt: at}))
		}
		return onlyErr(backend.Write(context.Background(), now, driver.Write{Record: *r, Cond: cond}))
	}))
}

// countByHand opens, reads and closes each record's file, and checks and counts
// nothing: three system calls for each record, and no program needs fewer.
func countByHand(records string) (int, error) {
	folders, err := os.ReadDir(records)
	if err != nil {
		return 0, err
	}
	n, data := 0, make([]byte, 1<<16)
	for _, folder := range folders {
		dir := filepath.Join(records, folder.Name())
		files, err := os.ReadDir(dir)
		if err != nil {
			return 0, err
		}
		for _, file := range files {
			fd, err := syscall.Open(dir+"/"+file.Name(), syscall.O_RDONLY, 0)
			if err != nil {
				return 0, err
			}
			if _, err = syscall.Read(fd, data); err == nil {
				n++
			}
			if err = errors.Join(err, syscall.Close(fd)); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// BenchmarkAmong measures calls on a store of 20,000 records, 16,000 of which bear
// one label value. Run it with -benchtime=10x.
func BenchmarkAmong(b *testing.B) {
	const many, labelled, due = 20_000, 16_000, 200
	dir, ctx := b.TempDir(), b.Context()
	filler := open(b, dir, "store", &Options{NoSync: true})
	must(b, filler.CreateStorage(ctx))
	var ops []driver.BatchOp
	for i := range many {
		principal := "ann"
		if i >= labelled {
			principal = fmt.Sprint("p", i%100)
		}
		r := newRecord(fmt.Sprint("id", i), principal, inDay.Add(time.Duration(i)*time.Second))
		r.Value = bytes.Repeat([]byte("x"), 500)
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAbsent}})
	}
	for _, o := range filler.WriteMany(ctx, now, ops) {
		must(b, o.Err)
	}
	backend := open(b, dir, "store", nil)
	counts := func(n int, err error) {
		if must(b, err); n != many {
			b.Fatalf("counted %d, want %d", n, many)
		}
	}
	b.Run("first count", func(b *testing.B) {
		for b.Loop() {
			_ = os.Remove(filepath.Join(dir, "store", filepath.FromSlash(countsPath)))
			counts(open(b, dir, "store", nil).Count(ctx, now, driver.Query{}))
		}
	})
	b.Run("first count by hand", func(b *testing.B) {
		for b.Loop() {
			counts(countByHand(filepath.Join(dir, "store", recordsDir)))
		}
	})
	b.Run("first count, saved by another process", func(b *testing.B) {
		for b.Loop() {
			counts(open(b, dir, "store", nil).Count(ctx, now, driver.Query{}))
		}
	})
	b.Run("count after 200 changes of another process", func(b *testing.B) {
		counts(backend.Count(ctx, now, driver.Query{}))
		for b.Loop() {
			b.StopTimer()
			for i := range 200 {
				must(b, onlyErr(filler.Touch(ctx, now, driver.Touch{ID: fmt.Sprint("id", i), Mode: driver.TouchSet, ExpiresAt: inDay.Add(time.Duration(b.N+i) * time.Second)})))
			}
			b.StartTimer()
			counts(backend.Count(ctx, now, driver.Query{}))
		}
	})
	for name, q := range map[string]driver.Query{"all": {Limit: 100}, "label": {Limit: 100, Label: "principal", Value: "ann"}} {
		b.Run("list "+name, func(b *testing.B) {
			for b.Loop() {
				for q.After = ""; ; {
					p, err := backend.Page(ctx, now, q)
					must(b, err)
					if q.After = p.Next; q.After == "" {
						break
					}
				}
			}
		})
	}
	b.Run("list label, two processes in turn", func(b *testing.B) {
		q, two := driver.Query{Limit: 100, Label: "principal", Value: "ann"}, []*Backend{backend, open(b, dir, "store", nil)}
		for b.Loop() {
			for page := 0; page == 0 || q.After != ""; page++ {
				p, err := two[page%2].Page(ctx, now, q)
				must(b, err)
				q.After = p.Next
			}
		}
	})
	b.Run("sweep of 200", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			for i := range due {
				must(b, onlyErr(filler.Write(ctx, now, driver.Write{Record: newRecord(fmt.Sprint("due", i), "ann", inHour.Add(time.Duration(i)*time.Second)), Cond: driver.IfAny})))
			}
			b.StartTimer()
			if swept, err := backend.DeleteExpired(ctx, driver.Sweep{Before: inHour.Add(time.Hour), Limit: 1000}); err != nil || swept.Removed != due {
				b.Fatalf("%+v, %v", swept, err)
			}
		}
	})
}
