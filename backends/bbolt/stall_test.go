package bbolt

import (
	"bytes"
	"runtime"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestStalled makes every call while a writer waits for an old reader, because
// the file must grow: then neither readers nor writers begin.
func TestStalled(t *testing.T) {
	b := fresh(t)
	drivertest.Stalled(t, b, func() {
		reader, err := b.db.Begin(false)
		must(t, err)
		var grows sync.WaitGroup
		grows.Go(func() {
			err := b.db.Update(func(tx *bbolt.Tx) error {
				top, err := tx.CreateBucketIfNotExists([]byte("large"))
				if err != nil {
					return err
				}
				return top.Put([]byte("value"), make([]byte, 16<<20))
			})
			if err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() {
			must(t, reader.Rollback())
			grows.Wait()
		})
		stacks := make([]byte, 1<<20)
		waitFor(func() bool {
			text := stacks[:runtime.Stack(stacks, true)]
			return bytes.Contains(text, []byte("bbolt.(*DB).mmap(")) && bytes.Contains(text, []byte("RWMutex).Lock"))
		})
	})
}
