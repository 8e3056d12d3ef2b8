package file

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestRebuild damages the indexes: all or some entries are lost, or entries
// without a record are added. Rebuild repairs them.
func TestRebuild(t *testing.T) {
	ctx := t.Context()
	for name, damage := range map[string]func(t *testing.T, store string){
		"nothing": func(*testing.T, string) {},
		"both lost": func(t *testing.T, store string) {
			t.Helper()
			for _, index := range []string{labelsDir, expiryDir} {
				must(t, os.RemoveAll(filepath.Join(store, index)))
			}
		},
		"records alone restored": func(t *testing.T, store string) {
			t.Helper()
			for _, folder := range []string{labelsDir, expiryDir, tmpDir, locksDir} {
				must(t, os.RemoveAll(filepath.Join(store, folder)))
			}
		},
		"every second entry lost": func(t *testing.T, store string) {
			t.Helper()
			for i, e := range entries(t, store) {
				if i%2 == 0 {
					must(t, os.Remove(filepath.Join(store, filepath.FromSlash(e))))
				}
			}
		},
		"strays": func(t *testing.T, store string) {
			t.Helper()
			for _, id := range []string{"0", "7", "gone"} {
				p := placeOf(id)
				rec := newRecord(id, "carol", inDay.Add(time.Hour))
				rec.Labels["old"] = "x"
				for _, e := range entriesOf(&p, &rec) {
					folder := filepath.Join(store, filepath.FromSlash(e.base), filepath.FromSlash(e.sub))
					must(t, os.MkdirAll(folder, 0o700))
					writeFile(t, filepath.Join(folder, e.name), nil)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
			before := open(t, dir, "store", nil) // keeps the folders that it has opened
			truth := map[string]state{}
			for i := range 40 {
				rec := big(fmt.Sprint(i), []string{"ann", "bob"}[i%2], inHour.Add(time.Duration(i)*time.Minute))
				truth[rec.ID] = stateOf(create(t, before, rec))
			}
			store := in(dir)
			whole := fmt.Sprint(entries(t, store))
			damage(t, store)
			broken := fmt.Sprint(entries(t, store)) != whole

			b := open(t, dir, "store", nil)
			changes, err := b.Rebuild(ctx)
			if err != nil || (changes > 0) != broken {
				t.Errorf("Rebuild returned %d, %v; damaged: %v", changes, err, broken)
			}
			if got := fmt.Sprint(entries(t, store)); got != whole {
				t.Errorf("the entries are\n%s, want\n%s", got, whole)
			}
			for _, b := range []*Backend{b, before} {
				if err := audit(b, truth, nil); err != nil {
					t.Error(err)
				}
			}
			if n, err := b.Rebuild(ctx); n != 0 || err != nil {
				t.Errorf("the second Rebuild returned %d, %v; want 0", n, err)
			}
			sweeps(t, before, inDay, len(truth))
			if left := entries(t, store); len(left) != 0 {
				t.Errorf("the entries %v are left", left)
			}
		})
	}
	if n, err := open(t, memoryDir(t), "store", nil).Rebuild(ctx); n != 0 || err != nil {
		t.Errorf("Rebuild without a store returned %d, %v; want 0", n, err)
	}
}

// TestRebuildWhileOthersWrite repeats Rebuild while other Backends write and
// delete. Every write is found by its label, and at the end the indexes have
// exactly the entries of the records.
func TestRebuildWhileOthersWrite(t *testing.T) {
	dir := memoryDir(t)
	truths := make([]map[string]state, 4)
	var wg sync.WaitGroup
	for who := range truths {
		truths[who] = map[string]state{}
		b := open(t, dir, "store", nil)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(who), 7))
			for range 150 {
				id := fmt.Sprint(who, "-", r.IntN(10))
				next, do, err := plan(b, r.IntN, id)
				if err == nil {
					err = do()
				}
				if err != nil {
					t.Error(err)
					return
				}
				truths[who][id] = stateOf(next)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	b := open(t, dir, "store", nil)
	rounds := 0
	for running := true; running; rounds++ {
		select {
		case <-done:
			running = false
		default:
		}
		if _, err := b.Rebuild(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n, err := b.Rebuild(t.Context()); n != 0 || err != nil {
		t.Errorf("Rebuild afterwards returned %d, %v; want 0", n, err)
	}
	for _, truth := range truths[1:] {
		maps.Copy(truths[0], truth)
	}
	if err := audit(b, truths[0], nil); err != nil {
		t.Error(err)
	}
	t.Logf("%d calls of Rebuild", rounds)
}
