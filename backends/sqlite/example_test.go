package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sojourn-go/sojourn/backends/sqlite"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// open opens a file that the end of the program removes.
func open() (db *sql.DB, end func(), err error) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return nil, nil, err
	}
	db, err = sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "app.db"))+"?_pragma=journal_mode(wal)&_txlock=immediate")
	return db, func() { _ = db.Close(); _ = os.RemoveAll(dir) }, err
}

func ExampleNew() {
	db, end, err := open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()
	backend, err := sqlite.New(db, "carts", nil)
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
	if err := store.CreateStorage(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_, _ = store.Create(ctx, "cart-1", []string{"apple"}, nil)
	item, err := store.Get(ctx, "cart-1")
	fmt.Println(item.Value, err)
	// Output: [apple] <nil>
}

// A cart becomes an order in one transaction: both or none.
func ExampleBackend_In() {
	db, end, err := open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()
	backend, err := sqlite.New(db, "carts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	store, err := expiry.NewStore[[]string](backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.CreateStorage(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_, _ = store.Create(ctx, "cart-1", []string{"apple"}, nil)
	_, _ = db.ExecContext(ctx, "CREATE TABLE orders (items INTEGER NOT NULL)")

	order := func() error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after the commit
		carts, err := expiry.NewStore[[]string](backend.In(tx), nil)
		if err != nil {
			return err
		}
		cart, err := carts.Take(ctx, "cart-1")
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (?)", len(cart.Value)); err != nil {
			return err
		}
		return tx.Commit()
	}
	fmt.Println(order(), errors.Is(order(), model.ErrNotFound))
	// Output: <nil> true
}
