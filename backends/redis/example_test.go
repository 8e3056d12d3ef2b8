package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func ExampleNew() {
	client := goredis.NewClient(&goredis.Options{Addr: os.Getenv("REDIS_ADDR")})
	defer func() { _ = client.Close() }() // the backend never closes it

	backend, err := redis.New(client, "carts", &redis.Options{Labels: []string{"customer"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().Backend, backend.Describe().Labels)
	// Output: redis [customer]
}

func ExampleNew_invalid() {
	client := goredis.NewClusterClient(&goredis.ClusterOptions{ReadOnly: true})
	defer func() { _ = client.Close() }()

	_, err := redis.New(client, "carts", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid), err)
	// Output: true redis: New: invalid argument: the client reads from replicas, which may miss an acknowledged write
}

// A program needs a server, a backend and a store.
func Example() {
	type cart struct{ Items int }
	ctx := context.Background()

	client := goredis.NewClient(&goredis.Options{Addr: os.Getenv("REDIS_ADDR")})
	defer func() { _ = client.Close() }()
	backend, err := redis.New(client, "carts", nil)
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

func ExampleOptions() {
	client := goredis.NewClient(&goredis.Options{Addr: os.Getenv("REDIS_ADDR")})
	defer func() { _ = client.Close() }()

	backend, err := redis.New(client, "jobs", &redis.Options{
		Labels:   []string{"tenant", "state"},
		GraceTTL: 24 * time.Hour, // the server removes records a day after their expiry
		MaxValue: 1 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().MaxValue)
	// Output: 1048576
}
