package memory_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
)

func ExampleNew() {
	backend, err := memory.New(nil, "carts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	type cart struct{ Items []string }
	store, err := expiry.NewStore[cart](backend, &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	_, _ = store.Create(ctx, "cart-1", cart{Items: []string{"apple"}}, nil)
	item, _ := store.Mutate(ctx, "cart-1", func(c *cart) error {
		c.Items = append(c.Items, "pear")
		return nil
	}, nil)
	fmt.Println(item.Value.Items)
	// Output: [apple pear]
}

// Backends with the same space and name share their records, like two nodes
// that share a server.
func ExampleNewSpace() {
	space := memory.NewSpace()
	one, _ := memory.New(space, "carts", nil)
	two, _ := memory.New(space, "carts", nil)
	a, _ := expiry.NewStore[string](one, nil)
	b, _ := expiry.NewStore[string](two, nil)
	ctx := context.Background()
	_, _ = a.Create(ctx, "greeting", "hello", nil)
	item, _ := b.Get(ctx, "greeting")
	fmt.Println(item.Value)
	// Output: hello
}

func ExampleOptions() {
	backend, err := memory.New(nil, "jobs", &memory.Options{Labels: []string{"tenant", "state"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(backend.Describe().Labels)
	// Output: [state tenant]
}
