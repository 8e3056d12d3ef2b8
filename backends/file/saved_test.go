package file

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

const manySaved = 2000

// savedOnPower returns a disk with records that a process has counted.
func savedOnPower(t *testing.T) (*disktest.Power, *Backend) {
	t.Helper()
	power := disktest.NewPower()
	return power, savedOn(t, power)
}

func savedOn(t *testing.T, power *disktest.Power) *Backend {
	t.Helper()
	a, _ := onPower(t, power, &Options{NoSync: true})
	for i := range manySaved {
		create(t, a, newRecord(fmt.Sprint(i), "ann", now.Add(time.Duration(i+1)*time.Second)))
	}
	countsAll(t, a, now, manySaved)
	return a
}

// countsAnew counts in a new Backend and returns how many files it reads.
func countsAnew(t *testing.T, power *disktest.Power, at time.Time, want int) int {
	t.Helper()
	b, s := onPower(t, power, &Options{NoSync: true})
	countsAll(t, b, at, want)
	return s.Take().Calls["read"]
}

// TestNextProcessTakesCounts counts in one process after another. Each reads the
// records of changed shards alone, and notices what something else has removed.
func TestNextProcessTakesCounts(t *testing.T) {
	power, a := savedOnPower(t)
	reads := func(what string, at time.Time, want, most int) {
		t.Helper()
		if n := countsAnew(t, power, at, want); n > most {
			t.Errorf("%s: %d reads, want at most %d", what, n, most)
		}
	}
	const few = 30 // the records of three shards, and what was saved
	reads("nothing changed", now, manySaved, 1)
	reads("time passed", now.Add(500*time.Second+time.Millisecond/2), manySaved-500, 1)
	create(t, a, newRecord("new", "", time.Time{}))
	must(t, remove(t.Context(), a, "10"))
	must(t, onlyErr(a.Touch(t.Context(), now, driver.Touch{ID: "30", Mode: driver.TouchClear})))
	reads("after three changes", now, manySaved, 1+few*3)
	reads("saved again", now.Add(24*time.Hour), 2, 1)
	other, err := power.Open("/d")
	must(t, err)
	gone := placeOf("50")
	must(t, other.Remove("store/"+gone.path()))
	reads("after a foreign removal", now, manySaved-1, 1+few)
	must(t, onlyErr(a.Rebuild(t.Context())))
	if n := countsAnew(t, power, now, manySaved-1); n < manySaved-1 {
		t.Errorf("%d reads after a rebuild", n)
	}
	must(t, a.DeleteStorage(t.Context()))
	if left := onlyFiles(power.Files()); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// TestCountsEndWithThePower cuts the power: what was counted may not belong to what
// the disk has then.
func TestCountsEndWithThePower(t *testing.T) {
	power, _ := savedOnPower(t)
	if n := countsAnew(t, power.Cut(never, never), now, manySaved); n != 1+manySaved {
		t.Errorf("%d reads after a power cut, want %d", n, 1+manySaved)
	}
}

// TestCountsOfOneTick has a file system whose clock stands still, so that changed
// folders keep their stamps. The notes have each change.
func TestCountsOfOneTick(t *testing.T) {
	power := disktest.NewPower()
	power.OneTick = true
	a := savedOn(t, power)
	for i := range 100 {
		create(t, a, newRecord(fmt.Sprint("new", i), "", time.Time{}))
		must(t, remove(t.Context(), a, fmt.Sprint(2*i)))
		must(t, remove(t.Context(), a, fmt.Sprint(2*i+1)))
	}
	if n := countsAnew(t, power, now, manySaved-100); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// TestDamagedCounts damages what was saved: it is void, or right.
func TestDamagedCounts(t *testing.T) {
	power, _ := savedOnPower(t)
	dir, err := power.Open("/d")
	must(t, err)
	data, err := dir.Read("store/"+countsPath, maxFile)
	must(t, err)
	if _, ok := parseCounts(data); !ok {
		t.Fatal("what was saved is not valid")
	}
	for i := 0; i < len(data); i += 101 {
		if _, ok := parseCounts(data[:i]); ok {
			t.Errorf("the first %d bytes of %d are valid", i, len(data))
		}
		data[i] ^= 1
		if _, ok := parseCounts(data); ok {
			t.Errorf("byte %d is changed, and all is valid", i)
		}
		data[i] ^= 1
	}
	l, err := dir.Lock("store/" + countsPath)
	must(t, err)
	must(t, l.WriteAt([]byte{'?'}, 0))
	if n := countsAnew(t, power, now, manySaved); n != 1+manySaved {
		t.Errorf("%d reads, want %d", n, 1+manySaved)
	}
}

// TestCountsOnADisk does the same with the stamps of the system.
func TestCountsOnADisk(t *testing.T) {
	dir := memoryDir(t)
	a, s := spied(t, dir, &Options{NoSync: true})
	for i := range manySaved {
		create(t, a, newRecord(fmt.Sprint(i), "", time.Time{}))
	}
	s.Take()
	countsAll(t, a, now, manySaved)
	if n := s.Take().Calls["read"]; n != 1+manySaved {
		t.Errorf("%d reads, want %d", n, 1+manySaved)
	}
	var stamped bool
	must(t, a.withTree(t.Context(), false, func(tr *tree) error { stamped = tr.stamp(0) != disk.Stamp{}; return nil }))
	again := func(what string, want, most int) {
		t.Helper()
		if !stamped {
			most = 1 + manySaved
		}
		b, s := spied(t, dir, &Options{NoSync: true})
		countsAll(t, b, now, want)
		if n := s.Take().Calls["read"]; n > most {
			t.Errorf("%s: %d reads, want at most %d; stamps: %v", what, n, most, stamped)
		}
	}
	again("unchanged", manySaved, 1)
	create(t, a, newRecord("new", "", time.Time{}))
	gone := placeOf("50")
	must(t, os.Remove(filepath.Join(dir, "store", filepath.FromSlash(gone.path()))))
	if stamped {
		again("a change and a foreign removal", manySaved, 1+2*30)
	}
}
