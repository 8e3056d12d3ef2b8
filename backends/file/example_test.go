package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

type cart struct{ Items int }

func Example() {
	dir, err := os.MkdirTemp("", "sojourn")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	ctx := context.Background()
	backend, err := file.New(dir, "carts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := expiry.NewStore[cart](backend, &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()

	_, err = store.Create(ctx, "cart-1", cart{Items: 1}, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
	fmt.Println(err)
	item, err := store.Mutate(ctx, "cart-1", func(c *cart) error { c.Items++; return nil }, nil)
	fmt.Println(item.Value.Items, err)
	n, err := store.Count(ctx, &expiry.ListOptions{Label: "principal", Value: "ann"})
	fmt.Println(n, err)
	// Output:
	// <nil>
	// 2 <nil>
	// 1 <nil>
}

// A cache and tests do not need syncs: they can lose their last writes.
func ExampleOptions_noSync() {
	backend, err := file.New(os.TempDir(), "cache", &file.Options{NoSync: true, Labels: []string{"tenant", "user"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = backend.Close() }()
	fmt.Println(backend.Describe().Labels)
	// Output: [tenant user]
}

func ExampleNew_invalid() {
	_, err := file.New("data", "../elsewhere", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid))
	// Output: true
}
