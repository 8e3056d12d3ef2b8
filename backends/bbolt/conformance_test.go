package bbolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestConformance runs without syncs, which no case of the suite notices.
func TestConformance(t *testing.T) { conformance.Run(t, harness(t, memoryDir(t), true)) }

func TestSessions(t *testing.T) { sessions.Run(t, harness(t, memoryDir(t), true)) }

// TestConformanceSynced runs cases of each kind of call as programs do: on the
// disk, with all syncs.
func TestConformanceSynced(t *testing.T) {
	must(t, conformance.Check(t.Context(), harness(t, t.TempDir(), false),
		"Create/OfManyAtOnceOneWins", "CompareAndSet/OfManyAtOneRevisionOneWins", "History/OfCreateAndDeleteIsLinearizable",
		"Sweep/RemovesOnlyExpiredRecords", "Sweep/AgainstAnExtensionNeverTakesIt", "Storage/DeletedIsEmpty"))
}

// harness opens one database for the stores of each case: their names begin
// alike. The stores of one case share a file, and cases do not wait for others.
func harness(t *testing.T, dir string, noSync bool) conformance.Harness {
	t.Helper()
	dbs := databases{dir: dir, noSync: noSync, open: map[string]*bbolt.DB{}}
	return conformance.Harness{
		Cases:  516, // all but those on interrupted calls: a call is one transaction
		Server: "in process",
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b := newOn(t, dbs.of(t, name), name, "principal", "state")
			b.watch = func() time.Duration { return 0 } // cases ask in the last millisecond of a record
			return b
		},
		LoseNext: func(t testing.TB, d driver.ModelExpirySupport) {
			t.Helper()
			loseCommit(backendOf(t, d), errLost)
		},
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			must(t, dbs.of(t, name).Update(func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte(name)).Bucket([]byte(recordsBucket)).Put([]byte(id), data)
			}))
		},
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			t.Helper()
			db, data := dbs.of(t, name), []byte(nil)
			records := func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(name)).Bucket([]byte(recordsBucket)) }
			must(t, db.View(func(tx *bbolt.Tx) error {
				data = bytes.Clone(records(tx).Get([]byte(id)))
				return nil
			}))
			return []conformance.Part{{Name: "record", Bytes: data, Put: func(t testing.TB, data []byte) bool {
				t.Helper()
				must(t, db.Update(func(tx *bbolt.Tx) error { return records(tx).Put([]byte(id), data) }))
				return true
			}}}
		},
		Left: func(t testing.TB, name string) (n int) {
			t.Helper()
			must(t, dbs.of(t, name).View(func(tx *bbolt.Tx) error {
				if top := tx.Bucket([]byte(name)); top != nil {
					n = 1 + keysIn(top)
				}
				return nil
			}))
			return n
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			db, key, value := dbs.of(t, name), []byte("theirs"), []byte("1;2;3")
			must(t, db.Update(func(tx *bbolt.Tx) error {
				top, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				return top.Put(key, value)
			}))
			return func(t testing.TB) {
				t.Helper()
				must(t, db.View(func(tx *bbolt.Tx) error {
					if top := tx.Bucket([]byte(name)); top == nil || !bytes.Equal(top.Get(key), value) {
						t.Fatal("what another program stored is gone")
					}
					return nil
				}))
			}
		},
		Stall: func(t testing.TB, d driver.ModelExpirySupport) func() {
			t.Helper()
			return stall(t, backendOf(t, d))
		},
		Delay: func(t testing.TB, d driver.ModelExpirySupport, wait time.Duration) {
			t.Helper()
			b := backendOf(t, d)
			b.watch = drivertest.Jumps(wait)
		},
	}
}

// keysIn counts the keys of a bucket and of those in it.
func keysIn(b *bbolt.Bucket) (n int) {
	_ = b.ForEach(func(k, v []byte) error {
		n++
		if v == nil {
			n += keysIn(b.Bucket(k))
		}
		return nil
	})
	return n
}

// databases are the open ones, by the part of a store's name that the stores of
// a case share.
type databases struct {
	dir    string
	noSync bool
	mu     sync.Mutex
	open   map[string]*bbolt.DB
}

const caseName = 13

func (d *databases) of(t testing.TB, name string) *bbolt.DB {
	t.Helper()
	name = name[:min(len(name), caseName)]
	d.mu.Lock()
	defer d.mu.Unlock()
	if db := d.open[name]; db != nil {
		return db
	}
	db := openDB(t, filepath.Join(d.dir, name), &bbolt.Options{NoSync: d.noSync, FreelistType: bbolt.FreelistMapType})
	d.open[name] = db
	t.Cleanup(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, name)
	})
	return db
}

// openDB opens a file until the end of the test.
func openDB(t testing.TB, path string, o *bbolt.Options) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, o)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func newOn(t testing.TB, db *bbolt.DB, name string, labels ...string) *Backend {
	t.Helper()
	b, err := New(db, name, &Options{Labels: labels})
	must(t, err)
	return b
}

// backendOf returns the backend in a chain of wrappers.
func backendOf(t testing.TB, d driver.ModelExpirySupport) *Backend {
	t.Helper()
	for {
		if b, ok := d.(*Backend); ok {
			return b
		}
		w, ok := d.(driver.Unwrapper)
		if !ok {
			t.Fatalf("%T is not a backend of this package", d)
		}
		d = w.Unwrap()
	}
}

var errLost = errors.New("the answer was lost")

// loseCommit makes the next call of b that changes something return an error of
// its commit, which has succeeded.
func loseCommit(b *Backend, lost error) {
	var once atomic.Bool
	b.answer = func(err error) error {
		if err == nil && !once.Swap(true) {
			err = lost
		}
		return err
	}
}

// stall makes every transaction of b wait until resume.
func stall(t testing.TB, b *Backend) (resume func()) {
	t.Helper()
	released := make(chan struct{})
	begin := b.begin
	b.begin = func(writable bool) (*bbolt.Tx, error) {
		<-released
		return begin(writable)
	}
	resume = sync.OnceFunc(func() { close(released) })
	t.Cleanup(resume)
	return resume
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memoryDir returns a folder on a file system in memory, if the system has one
// in a well-known place.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sojourn-bbolt-") //nolint:usetesting // elsewhere than TempDir
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}
