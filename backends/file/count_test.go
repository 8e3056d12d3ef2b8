package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func countsAll(t testing.TB, b *Backend, at time.Time, want int) {
	t.Helper()
	if n, err := b.Count(context.Background(), at, driver.Query{}); err != nil || n != want {
		t.Errorf("counted %d, %v, want %d", n, err, want)
	}
}

// TestCountReadsChanges counts again after changes by the same Backend and by
// another. Neither files nor folders are read, and nobody waits for a lock.
func TestCountReadsChanges(t *testing.T) {
	const many = 2000
	power := disktest.NewPower()
	a, s := onPower(t, power, &Options{NoSync: true})
	other, _ := onPower(t, power, &Options{NoSync: true})
	for i := range many {
		create(t, a, newRecord(fmt.Sprint(i), "ann", now.Add(time.Duration(i+1)*time.Second)))
	}
	s.Take()
	countsAll(t, a, now, many)
	if c := s.Take().Calls; c["read"] != many+1 || c["names"] != shards+1 { // one for what others have counted
		t.Errorf("the first count: %v", c)
	}
	cheap := func(what string, at time.Time, want int) {
		t.Helper()
		s.Take()
		countsAll(t, a, at, want)
		if c := s.Take(); c.Calls["read"]+c.Calls["names"]+c.Calls["open"]+c.Calls["trylock"]+c.Entries != 0 || c.Calls["readat"] > 3*stripes {
			t.Errorf("%s: %v", what, c)
		}
	}
	cheap("nothing changed", now, many)
	cheap("time passed", now.Add(500*time.Second+time.Millisecond/2), many-500)
	for i, b := range []*Backend{a, other} {
		create(t, b, newRecord(fmt.Sprint("new", i), "", time.Time{}))
		must(t, remove(t.Context(), b, fmt.Sprint(i+10)))
		must(t, remove(t.Context(), b, fmt.Sprint(i+20)))
		must(t, onlyErr(b.Touch(t.Context(), now, driver.Touch{ID: fmt.Sprint(i + 30), Mode: driver.TouchClear})))
		cheap("after three changes", now, many-i-1)
	}
	cheap("two never expire now", now.Add(time.Hour), 4)
	sweeps(t, other, now.Add(1000*time.Second), 1000-6)
	cheap("after a sweep", now, 1000+4)
	cheap("after a sweep, later", now.Add(time.Hour), 4)
}

// TestCountIsThatOfAListing makes random changes by two Backends, one of which
// now and then ends in the middle of a change or finds the notes damaged. Each
// count is that of a listing.
func TestCountIsThatOfAListing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		if err := countsLikeListings(t, rand.New(rand.NewPCG(seed, 2))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func countsLikeListings(t *testing.T, r *rand.Rand) error {
	t.Helper()
	ctx := context.Background()
	power := disktest.NewPower()
	opened := func() (*Backend, *disktest.Spy) { return onPower(t, power, &Options{NoSync: true}) }
	a, _ := opened()
	b, s := opened()
	ids := append(oneShard(4), sameStripe(4)...)
	for step := range 120 {
		change := a
		if r.IntN(2) == 0 {
			change = b
		}
		id, what := ids[r.IntN(len(ids))], ""
		switch n := r.IntN(100); {
		case n < 50:
			_, do, err := plan(change, r.IntN, id)
			if err != nil {
				return err
			}
			if what = "change"; n < 10 { // the writer dies at a step
				what = "death"
				for s.Set(failFrom(1 + r.IntN(25))); change == a; {
					change = b
				}
				if _, do, err = plan(b, r.IntN, id); err == nil {
					_ = do()
				}
				s.Set(nil)
				releaseAll(b)
				_ = b.Close()
				b, s = opened()
				break
			}
			if err := do(); err != nil {
				return err
			}
		case n < 55:
			what = "sweep"
			if _, err := change.DeleteExpired(ctx, driver.Sweep{Before: now.Add(2 * time.Minute), Limit: 1 + r.IntN(5)}); err != nil {
				return err
			}
		case n < 58:
			what = "rebuild"
			if _, err := change.Rebuild(ctx); err != nil {
				return err
			}
		case n < 60:
			what = "delete storage"
			if err := change.DeleteStorage(ctx); err != nil {
				return err
			}
		case n < 66:
			what = "torn notes"
			tearNotes(change, r)
		case n < 70:
			what = "many changes"
			for range keptChanges + r.IntN(100) - 50 {
				if _, err := change.Write(ctx, now, driver.Write{Record: newRecord(id, "ann", inHour), Cond: driver.IfAny}); err != nil {
					return err
				}
			}
		}
		for _, counter := range []*Backend{a, b} {
			at := now.Add(time.Duration(r.IntN(4)) * time.Minute)
			n, err := counter.Count(ctx, at, driver.Query{})
			p, pageErr := counter.Page(ctx, at, driver.Query{Limit: 100})
			if err = errors.Join(err, pageErr); err != nil || n != len(p.Records) {
				return fmt.Errorf("step %d, after a %s: counted %d of %d, %w", step, what, n, len(p.Records), err)
			}
			if r.IntN(3) > 0 {
				break // the other one counts another time
			}
		}
	}
	return nil
}

// failFrom makes all calls fail from a step on, as if the process had died.
func failFrom(step int) func(op, path string) error {
	return func(string, string) error {
		if step--; step <= 0 {
			return syscall.EIO
		}
		return nil
	}
}

// releaseAll releases what a dead process releases.
func releaseAll(b *Backend) {
	if t := b.tree; t != nil {
		for _, l := range &t.locks {
			if l != nil {
				_ = l.Unlock()
			}
		}
	}
}

// tearNotes writes something into the notes of a stripe, under its lock.
func tearNotes(b *Backend, r *rand.Rand) {
	p := placeOf(oneShard(1)[0])
	stripe := p.stripe()
	_ = b.withLock(context.Background(), b.waited(), stripe, false, func(t *tree) error {
		return t.locks[stripe].WriteAt([]byte{byte(r.Uint32())}, noteAt+r.Int64N(noteBytes))
	})
}

// TestCountOfWhatCannotBeRead counts while a file cannot be read, and after it
// can again.
func TestCountOfWhatCannotBeRead(t *testing.T) {
	b, s := onPower(t, disktest.NewPower(), nil)
	for _, id := range oneShard(3) {
		create(t, b, newRecord(id, "ann", inHour))
	}
	p := placeOf(oneShard(1)[0])
	s.Set(func(op, path string) error {
		if op == "read" && strings.HasSuffix(path, p.path()) {
			return syscall.EIO
		}
		return nil
	})
	countsAll(t, b, now, 2)
	s.Set(nil)
	countsAll(t, b, now, 3)
}

// TestCountAfterDamage replaces a record whose file was damaged after it was
// counted.
func TestCountAfterDamage(t *testing.T) {
	dir := memoryDir(t)
	b := open(t, dir, "store", nil)
	create(t, b, newRecord("a", "ann", inHour))
	countsAll(t, b, now, 1)
	p := placeOf("a")
	writeFile(t, in(dir, p.path()), []byte("damaged"))
	write(t, b, driver.IfAny, newRecord("a", "ann", inHour))
	countsAll(t, b, now, 1)
	must(t, b.DeleteStorage(t.Context()))
	countsAll(t, b, now, 0)
}

// TestEpochEnds checks that notes which nobody reads any longer end.
func TestEpochEnds(t *testing.T) {
	b, s := onPower(t, disktest.NewPower(), &Options{NoSync: true})
	rec := create(t, b, newRecord("a", "ann", inHour))
	countsAll(t, b, now, 1)
	p := placeOf(rec.ID)
	must(t, b.withLock(t.Context(), b.waited(), p.stripe(), false, func(tr *tree) error {
		h, ok, err := readHeader(tr.locks[p.stripe()])
		if !ok || err != nil {
			t.Fatalf("no notes: %v", err)
		}
		h.n = maxCounted
		return h.write(tr.locks[p.stripe()])
	}))
	write(t, b, driver.IfAny, newRecord("a", "ann", inHour))
	s.Take()
	write(t, b, driver.IfAny, newRecord("a", "ann", inHour))
	if c := s.Take().Calls; c["writeat"] != 0 || c["readat"] != 1 {
		t.Errorf("a write that nobody counts: %v", c)
	}
	countsAll(t, b, now, 1)
	if !errors.Is(onlyErr(b.Get(t.Context(), now, driver.Get{ID: "b"})), model.ErrNotFound) {
		t.Error("found what was not stored")
	}
}
