package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
)

type Cart struct{ Items []string }

func main() {
	ctx := context.Background()
	backend, _ := memory.New(nil, "carts", nil) // or redis.New(client, "carts", nil), file.New(dir, "carts", nil)
	carts, _ := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
	_, err := carts.Create(ctx, "cart-1", Cart{}, nil) // expiry.ErrExists if a cart has the id
	fmt.Println("created:", err)
	item, err := carts.Mutate(ctx, "cart-1", func(c *Cart) error { // two at once lose nothing
		c.Items = append(c.Items, "apple")
		return nil
	}, nil)
	fmt.Println(item.Value.Items, err)
}
