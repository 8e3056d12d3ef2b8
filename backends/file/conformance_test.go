package file

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// harness uses one directory for all cases. A file system does not lose answers,
// so conformance.Lossy loses them.
func harness(t *testing.T, dir string) conformance.Harness {
	t.Helper()
	return conformance.Harness{
		Cases: 437,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			return conformance.NewLossy(open(t, dir, name, &Options{Labels: []string{"principal", "state"}}))
		},
		Server:   "in process",
		Delay:    delay,
		LoseNext: conformance.LoseNext,
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			p := placeOf(id)
			writeFile(t, filepath.Join(dir, name, filepath.FromSlash(p.path())), data)
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			path, text := filepath.Join(dir, name, "reports", "2026.csv"), []byte("1;2;3")
			must(t, os.MkdirAll(filepath.Dir(path), 0o700))
			writeFile(t, path, text)
			return func(t testing.TB) {
				t.Helper()
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
					t.Fatalf("another program's file has %q, %v", got, err)
				}
			}
		},
	}
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
func TestConformance(t *testing.T) { conformance.Run(t, harness(t, memoryDir(t))) }

func TestSessions(t *testing.T) { sessions.Run(t, harness(t, memoryDir(t))) }

// TestConformanceSynced runs cases of each kind of call as programs do: on the
// disk, with all syncs.
func TestConformanceSynced(t *testing.T) {
	t.Parallel()
	must(t, conformance.Check(t.Context(), harness(t, t.TempDir()),
		"Create/OfManyAtOnceOneWins", "Create/OfManyOverAnExpiredRecordOneWins", "CompareAndSet/OfManyAtOneRevisionOneWins",
		"Concurrency/DeletedUnderAListingIsNoError", "History/OfCreateAndDeleteIsLinearizable",
		"Sweep/RemovesOnlyExpiredRecords", "Sweep/FollowsATouch", "Sweep/AgainstAnExtensionNeverTakesIt",
		"Storage/DeletedIsEmpty", "Storage/DeletedLeavesTheNeighbour"))
}
