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
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
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

const floorRounds = 31

// BenchmarkFloor compares writes with the same files made by hand, by turns in
// one process. It reports the median and the quartiles of the rounds' ratios. It
// reports the same for the files made by hand against themselves.
func BenchmarkFloor(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, full := range []bool{false, true} {
			for _, update := range []bool{false, true} {
				name := map[bool]string{true: "update", false: "create"}[update]
				if full {
					name += " with expiry and label"
				}
				if !sync {
					name += ", NoSync"
				}
				var f *floorResult // of the first run only
				b.Run(name, func(b *testing.B) {
					if f == nil {
						f = measureFloor(b, sync, full, update)
					}
					for b.Loop() {
						continue // the work is already measured
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(f.took.Microseconds()), "µs")
					for what, ratios := range map[string][]float64{"ratio": f.ratios, "floor": f.self} {
						slices.Sort(ratios)
						n := len(ratios)
						b.ReportMetric(ratios[n/2], what)
						b.ReportMetric(ratios[n/4], what+"-q1")
						b.ReportMetric(ratios[3*n/4], what+"-q3")
					}
				})
			}
		}
	}
}

type floorResult struct {
	took         time.Duration // a call of the backend, in the median round
	ratios, self []float64
}

func measureFloor(b *testing.B, sync, full, update bool) *floorResult {
	b.Helper()
	dir := b.TempDir()
	if !sync {
		dir = memoryDir(b) // only the cost of the system calls is left
	}
	backend := open(b, dir, "store", &Options{NoSync: !sync})
	must(b, backend.CreateStorage(b.Context()))
	hand := &byHand{store: filepath.Join(dir, "store"), sync: sync}
	made := func(id string) model.Record {
		r := newRecord(id, "", time.Time{})
		r.Value = bytes.Repeat([]byte("x"), 500)
		if full {
			r.Labels, r.ExpiresAt = map[string]string{"principal": "ann"}, inHour
		}
		return r
	}
	write(b, backend, driver.IfAny, made("first")) // makes the folders of the indexes
	calls := 8
	if !sync {
		calls = 200
	}
	if update {
		for i := range calls {
			write(b, backend, driver.IfAny, made(fmt.Sprint("update", i)))
		}
	}
	next := 0
	timed := func(do func(model.Record) error) time.Duration {
		recs := make([]model.Record, calls)
		for i := range recs {
			if next++; update {
				recs[i] = made(fmt.Sprint("update", i))
			} else {
				recs[i] = made(fmt.Sprint("create", next))
			}
		}
		start := time.Now()
		for _, r := range recs {
			if err := do(r); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	cond := driver.IfAbsent
	if update {
		cond = driver.IfPresent
	}
	onBackend := func(r model.Record) error {
		return onlyErr(backend.Write(context.Background(), now, driver.Write{Record: r, Cond: cond}))
	}
	onFloor := func(r model.Record) error { return hand.write(&r, update) }
	timed(onFloor)
	timed(onBackend)
	f := &floorResult{}
	var took []time.Duration
	for round := range floorRounds {
		var floor, again, ours time.Duration
		if round%2 == 0 {
			floor, ours, again = timed(onFloor), timed(onBackend), timed(onFloor)
		} else {
			again, ours, floor = timed(onFloor), timed(onBackend), timed(onFloor)
		}
		f.ratios = append(f.ratios, 2*float64(ours)/float64(floor+again))
		f.self = append(f.self, float64(again)/float64(floor))
		took = append(took, ours/time.Duration(calls))
	}
	slices.Sort(took)
	f.took = took[len(took)/2]
	return f
}
