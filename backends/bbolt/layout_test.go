package bbolt

import (
	"maps"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// stored returns the keys below the store's bucket, with the lengths of the
// records left out.
func stored(t testing.TB, b *Backend) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, b.db.View(func(tx *bbolt.Tx) error {
		top := tx.Bucket([]byte(b.name))
		for _, part := range parts {
			must(t, top.Bucket([]byte(part)).ForEach(func(key, value []byte) error {
				if part == recordsBucket {
					value = nil
				}
				out[part+" "+string(key)] = string(value)
				return nil
			}))
		}
		return nil
	}))
	return out
}

// TestLayout pins the keys, which other versions must find again.
func TestLayout(t *testing.T) {
	b := fresh(t)
	rec := drivertest.Record("a", "ann", 0)
	rec.ExpiresAt, rec.Labels["state"] = time.UnixMilli(0x0102030405), "new"
	drivertest.Seed(t, b, rec)
	want := map[string]string{
		"records a": "",
		"expiry \x00\x00\x00\x01\x02\x03\x04\x05a": "a",
		"labels \x00\x09principal\x00\x03anna":     "a",
		"labels \x00\x05state\x00\x03newa":         "a",
	}
	if got := stored(t, b); !maps.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	const plan = `bucket "store"
  key "sojourn" = "1"
  bucket "records": id = record, as driverkit.AppendRecord encodes it
  bucket "labels":  length, name, length, value, id = id; a length is 2 bytes, big endian
  bucket "expiry":  milliseconds since 1970 in 8 bytes, big endian, id = id
`
	if got := b.StoragePlan(); got != plan {
		t.Errorf("the plan is\n%s\nwant\n%s", got, plan)
	}
}

// TestNothingIsLeft removes a record in each way, also after its bytes were
// damaged: nothing of it is left.
func TestNothingIsLeft(t *testing.T) {
	ctx := t.Context()
	rec := drivertest.Record("a", "ann", time.Hour)
	plain := driver.Write{Record: drivertest.Record("a", "", 0), Cond: driver.IfAny}
	for name, remove := range map[string]func(b *Backend) error{
		"delete": func(b *Backend) error { return b.Delete(ctx, now, driver.Delete{ID: "a", Cond: driver.IfPresent}) },
		"sweep": func(b *Backend) error {
			return onlyErr(b.DeleteExpired(ctx, driver.Sweep{Before: rec.ExpiresAt, Limit: 1}))
		},
		"update": func(b *Backend) error { w := plain; w.Cond = driver.IfPresent; return onlyErr(b.Write(ctx, now, w)) },
		"create over expired": func(b *Backend) error {
			w := plain
			w.Cond = driver.IfAbsent
			return onlyErr(b.Write(ctx, rec.ExpiresAt, w))
		},
		"upsert": func(b *Backend) error { return onlyErr(b.Write(ctx, now, plain)) },
		"upsert over damage": func(b *Backend) error {
			inBucket(t, b, func(top *bbolt.Bucket) error { return top.Bucket([]byte(recordsBucket)).Put([]byte("a"), []byte("?")) })
			return onlyErr(b.Write(ctx, now, plain))
		},
	} {
		b := fresh(t)
		drivertest.Seed(t, b, drivertest.Record("aa", "ann", 2*time.Hour)) // one id ends like the other
		want := stored(t, b)
		drivertest.Seed(t, b, rec)
		must(t, remove(b))
		got := stored(t, b)
		delete(got, "records a")
		if !maps.Equal(got, want) {
			t.Errorf("%s leaves %q, want %q", name, got, want)
		}
	}
}

// TestASweepRemovesEntriesWithoutARecord has entries that only a fault can leave.
func TestASweepRemovesEntriesWithoutARecord(t *testing.T) {
	b := fresh(t)
	drivertest.Seed(t, b, drivertest.Record("live", "", time.Hour))
	want := stored(t, b)
	inBucket(t, b, func(top *bbolt.Bucket) error {
		for _, id := range []string{"none", "live"} {
			if err := top.Bucket([]byte(expiryBucket)).Put([]byte(expiryKey(now)+id), []byte(id)); err != nil {
				return err
			}
		}
		return nil
	})
	n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 10, OnExpire: func(r model.Record) error {
		t.Errorf("announced %q", r.ID)
		return nil
	}})
	if got := stored(t, b); err != nil || n != (driver.Swept{}) || !maps.Equal(got, want) {
		t.Errorf("swept %+v, %v; left %q, want %q", n, err, got, want)
	}
}
