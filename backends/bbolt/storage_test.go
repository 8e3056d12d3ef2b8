package bbolt

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// inBucket changes the store's bucket without the backend's help.
func inBucket(t testing.TB, b *Backend, do func(top *bbolt.Bucket) error) {
	t.Helper()
	must(t, b.db.Update(func(tx *bbolt.Tx) error {
		top, err := tx.CreateBucketIfNotExists([]byte(b.name))
		if err != nil {
			return err
		}
		return do(top)
	}))
}

// TestPlacesOfOthers has other programs' things in the store's bucket: no call
// takes or removes them.
func TestPlacesOfOthers(t *testing.T) {
	ctx := t.Context()
	for name, occupy := range map[string]func(*bbolt.Bucket) error{
		"theirs":  func(top *bbolt.Bucket) error { return top.Put([]byte("theirs"), []byte("1")) },
		"records": func(top *bbolt.Bucket) error { return onlyErr(top.CreateBucket([]byte("records"))) },
		"labels":  func(top *bbolt.Bucket) error { return top.Put([]byte("labels"), []byte("1")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newOn(t, fresh(t).DB(), "place", "principal")
			inBucket(t, b, occupy)
			drivertest.WantForeign(t, b.CreateStorage(ctx), name)
			_, err := b.Write(ctx, now, create("a"))
			drivertest.WantForeign(t, err, name)
			drivertest.WantForeign(t, b.DeleteStorage(ctx), name)
			drivertest.Gone(t, b, "a")
			checks, err := b.Check(ctx)
			if err != nil || checks.Err() == nil || !strings.Contains(checks.Err().Error(), name) {
				t.Errorf("the checks are %v, %v", checks, err)
			}
			inBucket(t, b, func(top *bbolt.Bucket) error {
				if n := top.Stats().KeyN; n != 1 {
					t.Errorf("%d keys are left", n)
				}
				return nil
			})
		})
	}
}

// TestWithoutStorage makes each call before CreateStorage. A create makes the
// storage.
func TestWithoutStorage(t *testing.T) {
	ctx := t.Context()
	b := newOn(t, fresh(t).DB(), "none", "principal")
	drivertest.Gone(t, b, "a")
	w := create("a")
	w.Cond = driver.IfPresent
	_, err := b.Write(ctx, now, w)
	drivertest.WantKind(t, err, model.ErrNotFound)
	_, err = b.Touch(ctx, now, driver.Touch{ID: "a", Mode: driver.TouchClear})
	drivertest.WantKind(t, err, model.ErrNotFound)
	drivertest.WantKind(t, b.Delete(ctx, now, driver.Delete{ID: "a", Cond: driver.IfPresent}), model.ErrNotFound)
	p, err := b.Page(ctx, now, driver.Query{Limit: 1})
	if err != nil || len(p.Records) != 0 {
		t.Errorf("%d records, %v", len(p.Records), err)
	}
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: now, Limit: 1})
	if err != nil || swept != (driver.Swept{}) {
		t.Errorf("swept %+v, %v", swept, err)
	}
	must(t, b.DeleteStorage(ctx))
	checks, err := b.Check(ctx)
	if err != nil || checks.Err() == nil || !strings.Contains(checks.Err().Error(), "CreateStorage") {
		t.Errorf("the checks are %v, %v", checks, err)
	}
	_, err = b.Write(ctx, now, create("a"))
	must(t, err)
	drivertest.Get(t, b, "a")
}

// TestOtherFormats has a store of a newer version, and one without a part.
func TestOtherFormats(t *testing.T) {
	for name, change := range map[string]func(*bbolt.Bucket) error{
		`another format than this version: "2"`: func(top *bbolt.Bucket) error { return top.Put([]byte(formatKey), []byte("2")) },
		"lacks one of its buckets":              func(top *bbolt.Bucket) error { return top.DeleteBucket([]byte(expiryBucket)) },
	} {
		b := fresh(t)
		inBucket(t, b, change)
		before := commits(t, b.db)
		for _, c := range append(drivertest.Writes(drivertest.Record("id", "ann", 0)), drivertest.Reads()...) {
			drivertest.WantForeign(t, c.Do(t.Context(), b), name)
		}
		drivertest.WantForeign(t, b.CreateStorage(t.Context()), name)
		drivertest.WantForeign(t, b.DeleteStorage(t.Context()), name)
		if n := commits(t, b.db) - before; n != 0 {
			t.Errorf("%d transactions changed something", n)
		}
	}
}

// TestCreatedByManyAtOnce has many nodes create the storage.
func TestCreatedByManyAtOnce(t *testing.T) {
	db := openDB(t, filepath.Join(memoryDir(t), "db"), &bbolt.Options{NoSync: true})
	before := commits(t, db)
	var all sync.WaitGroup
	for range 10 {
		b := newOn(t, db, "store", "principal")
		all.Go(func() {
			if err := b.CreateStorage(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := commits(t, db) - before; n != 1 {
		t.Errorf("%d transactions created it, want 1", n)
	}
}
