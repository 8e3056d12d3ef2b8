package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/backends/postgres"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func ExampleNew() {
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close() // the backend does not close it

	backend, err := postgres.New(pool, "carts", &postgres.Options{Labels: []string{"customer"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().Backend, backend.Describe().Labels)
	// Output: postgres [customer]
}

func ExampleNew_invalid() {
	_, err := postgres.New(nil, "carts", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid), err)
	// Output: true postgres: New: invalid argument: the database is nil
}

func ExampleBackend_StoragePlan() {
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	backend, err := postgres.New(pool, "carts", &postgres.Options{Labels: []string{"customer"}, Schema: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	_, indexes, _ := strings.Cut(backend.StoragePlan(), ";\n")
	fmt.Print(indexes)
	// Output:
	// CREATE INDEX "carts expiry" ON "shop"."carts" (exp, id) WHERE exp IS NOT NULL AND format < 2;
	// CREATE INDEX "carts label customer" ON "shop"."carts" (((lab ->> 'customer') COLLATE "C"), id) WHERE lab ? 'customer';
}

type cart struct{ Items int }

// A cart becomes an order in one transaction: both or none. It needs a server.
func ExampleBackend_In() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	backend, err := postgres.New(pool, "carts", nil)
	if err != nil {
		log.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		carts, err := expiry.NewStore[cart](backend.In(tx), nil)
		if err != nil {
			return err
		}
		taken, err := carts.Take(ctx, "cart-1")
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO orders (items) VALUES ($1)", taken.Value.Items)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

// This example needs a server.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	backend, err := postgres.New(pool, "carts", nil)
	if err != nil {
		log.Fatal(err)
	}
	store, err := expiry.NewStore[cart](backend, &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.CreateStorage(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Create(ctx, "cart-1", cart{Items: 1}, nil); err != nil {
		log.Fatal(err)
	}
	item, err := store.Mutate(ctx, "cart-1", func(c *cart) error { c.Items++; return nil }, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(item.Value.Items)
}
