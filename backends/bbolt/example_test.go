package bbolt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/backends/bbolt"
	"github.com/sojourn-go/sojourn/expiry"
)

// open opens a file that the end of the program removes.
func open() (db *bolt.DB, end func(), err error) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return nil, nil, err
	}
	db, err = bolt.Open(filepath.Join(dir, "app.db"), 0o600, &bolt.Options{Timeout: time.Second})
	return db, func() { _ = db.Close(); _ = os.RemoveAll(dir) }, err
}

func ExampleNew() {
	db, end, err := open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()
	backend, err := bbolt.New(db, "carts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := expiry.NewStore[[]string](backend, &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	_, _ = store.Create(ctx, "cart-1", []string{"apple"}, nil)
	item, err := store.Get(ctx, "cart-1")
	fmt.Println(item.Value, err)
	// Output: [apple] <nil>
}

// A record and the program's own data change in one transaction, or neither
// does.
func ExampleBackend_In() {
	db, end, err := open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()
	backend, err := bbolt.New(db, "carts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	err = db.Update(func(tx *bolt.Tx) error {
		store, err := expiry.NewStore[[]string](backend.In(tx), &expiry.StoreOptions{TTL: time.Hour})
		if err != nil {
			return err
		}
		if _, err := store.Create(ctx, "cart-1", []string{"apple"}, nil); err != nil {
			return err
		}
		orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
		if err != nil {
			return err
		}
		return orders.Put([]byte("1"), []byte("cart-1"))
	})
	fmt.Println(err)
	// Output: <nil>
}
