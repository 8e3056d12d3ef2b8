package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// harness uses one directory for all cases. A file system does not lose answers,
// so conformance.Lossy loses them. The disks of the cases on interrupted calls
// are cut's.
func harness(t *testing.T, dir string, cut *powered) conformance.Harness {
	t.Helper()
	var bad sync.Map // paths of files that cannot be read
	return conformance.Harness{
		Cases: 574,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b := open(t, dir, name, &Options{Labels: []string{"principal", "state"}})
			b.watch = drivertest.StandsStill
			if strings.Contains(t.Name(), "/Unreadable/") {
				spy := &disktest.Spy{System: b.system}
				spy.Set(func(op, path string) error {
					if _, is := bad.Load(path); is && op == "read" {
						return syscall.EIO
					}
					return nil
				})
				b.system = spy
			}
			return conformance.NewLossy(b)
		},
		Server:   "in process",
		Delay:    delay,
		LoseNext: conformance.LoseNext,
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			p := placeOf(id)
			writeFile(t, filepath.Join(dir, name, filepath.FromSlash(p.path())), data)
		},
		Unreadable: func(_ testing.TB, name, id string) func() {
			p := placeOf(id)
			path := name + "/" + p.path()
			bad.Store(path, true)
			return func() { bad.Delete(path) }
		},
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			t.Helper()
			p := placeOf(id)
			path := filepath.Join(dir, name, filepath.FromSlash(p.path()))
			data, err := os.ReadFile(path)
			must(t, err)
			return []conformance.Part{{Name: "file", Bytes: data, Put: func(t testing.TB, data []byte) bool {
				t.Helper()
				writeFile(t, path, data)
				return true
			}}}
		},
		Left: func(t testing.TB, name string) int {
			t.Helper()
			if cut.disk(name) != nil {
				return cut.left(name)
			}
			return leftIn(t, dir, name)
		},
		Interrupt: cut.interrupt(),
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			text := []byte("1;2;3")
			must(t, os.MkdirAll(filepath.Join(dir, name, "reports"), 0o700))
			_, folders := filesIn(t, filepath.Join(dir, name))
			for folder := range folders {
				writeFile(t, filepath.Join(dir, name, folder, "a"), text)
			}
			return func(t testing.TB) {
				t.Helper()
				for folder := range folders {
					if got, err := os.ReadFile(filepath.Join(dir, name, folder, "a")); err != nil || !bytes.Equal(got, text) {
						t.Fatalf("another program's file in %s has %q, %v", folder, got, err)
					}
				}
			}
		},
	}
}

// leftIn counts the files of a store, but for its locks, and the folders that a
// sweep leaves empty. The folders of a label and of the first two digits stay.
func leftIn(t testing.TB, dir, name string) (n int) {
	t.Helper()
	files, folders := filesIn(t, filepath.Join(dir, name))
	if !folders[recordsDir] {
		return len(files) + len(folders) // no store, so all of it is too much
	}
	for _, f := range files {
		if !strings.HasPrefix(f, locksDir) && !strings.HasPrefix(f, redoDir) {
			n++
		}
	}
	_, err := open(t, dir, name, nil).DeleteExpired(t.Context(), driver.Sweep{
		Before: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Limit: 1 << 20,
		OnExpire: func(model.Record) error { return errors.New("all records stay") },
	})
	must(t, err)
	files, folders = filesIn(t, filepath.Join(dir, name))
	for folder := range folders {
		inside := func(f string) bool { return strings.HasPrefix(f, folder+"/") }
		depth := strings.Count(folder, "/")
		swept := strings.HasPrefix(folder, expiryDir+"/") || strings.HasPrefix(folder, labelsDir+"/") && depth == 3
		if swept && !slices.ContainsFunc(files, inside) {
			n++
		}
	}
	return n + 1 // the store itself
}

// filesIn returns the files and folders below a folder.
func filesIn(t testing.TB, dir string) (files []string, folders map[string]bool) {
	t.Helper()
	folders = map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(dir, path)
		if rest = filepath.ToSlash(rest); e.IsDir() {
			folders[rest] = true
		} else {
			files = append(files, rest)
		}
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) {
		must(t, err)
	}
	return files, folders
}

// delay holds all locks of the store until the next call on b waits for one. By
// the stopwatch of b it waits for d.
func delay(t testing.TB, wrapped driver.ModelExpirySupport, d time.Duration) {
	t.Helper()
	b, ok := wrapped.(*Backend)
	for !ok {
		wrapped = wrapped.(driver.Unwrapper).Unwrap()
		b, ok = wrapped.(*Backend)
	}
	release := holdLocks(t, b)
	b.watch = sequence(release, d)
}

// holdLocks holds all locks of the store in another Backend, as another process
// would, until the test ends or calls release.
func holdLocks(t testing.TB, b *Backend) (release func()) {
	t.Helper()
	held, end := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(end) })
	holder := open(t, b.dir, b.name, nil)
	var holds sync.WaitGroup
	holds.Go(func() {
		ctx := context.WithoutCancel(t.Context())
		err := holder.withTree(ctx, true, func(tr *tree) error {
			return tr.withLocksFrom(ctx, 0, func() error {
				close(held)
				<-end
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		release()
		holds.Wait()
	})
	<-held
	return release
}

// TestConformance runs on a file system in memory if the system has one. On a
// disk, syncs take nine tenths of the time, and no case of the suite notices
// them. TestPowerCut tests the syncs, and TestConformanceSynced runs on the disk.
func TestConformance(t *testing.T) { conformance.Run(t, harness(t, memoryDir(t), &powered{})) }

func TestSessions(t *testing.T) { sessions.Run(t, harness(t, memoryDir(t), &powered{})) }

// TestConformanceWithoutLog interrupts calls on disks that cannot be synced as a
// whole: there each file is synced, and a store has no log.
func TestConformanceWithoutLog(t *testing.T) {
	drivertest.RunCases(t, harness(t, memoryDir(t), &powered{noWhole: true}), 45, func(name string) bool {
		return strings.HasPrefix(name, "Interrupted/")
	})
}

// TestConformanceSynced runs cases of each kind of call as programs do: on the
// disk, with all syncs.
func TestConformanceSynced(t *testing.T) {
	t.Parallel()
	must(t, conformance.Check(t.Context(), harness(t, t.TempDir(), &powered{}),
		"Create/OfManyAtOnceOneWins", "Create/OfManyOverAnExpiredRecordOneWins", "CompareAndSet/OfManyAtOneRevisionOneWins",
		"Concurrency/DeletedUnderAListingIsNoError", "History/OfCreateAndDeleteIsLinearizable",
		"Sweep/RemovesOnlyExpiredRecords", "Sweep/FollowsATouch", "Sweep/AgainstAnExtensionNeverTakesIt",
		"Storage/DeletedIsEmpty", "Storage/DeletedLeavesTheNeighbour"))
}
