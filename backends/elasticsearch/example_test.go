package elasticsearch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/backends/elasticsearch"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func newClient() *es.Client {
	client, err := es.NewClient(es.Config{Addresses: []string{"https://localhost:9200"}})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func ExampleNew() {
	backend, err := elasticsearch.New(newClient(), "carts", &elasticsearch.Options{Labels: []string{"customer"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().Backend, backend.Describe().Labels)
	// Output: elasticsearch [customer]
}

func ExampleNew_invalid() {
	_, err := elasticsearch.New(newClient(), "Carts", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid), err)
	// Output: true elasticsearch: New: invalid argument: the index name must have 1 to 200 characters of a-z 0-9 - _ . and start with a letter or digit
}

func ExampleOptions() {
	// Three shards without copies, values of up to 16 MiB, and a native copy of
	// each value for queries in Kibana.
	backend, err := elasticsearch.New(newClient(), "carts", &elasticsearch.Options{
		Shards: 3, Replicas: -1, MaxValue: 16 << 20, Queryable: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().MaxValue)
	// Output: 16777216
}

// StoragePlan shows the index that CreateStorage creates.
func ExampleBackend_StoragePlan() {
	backend, err := elasticsearch.New(newClient(), "carts", nil)
	if err != nil {
		log.Fatal(err)
	}
	first, _, _ := strings.Cut(backend.StoragePlan(), "\n")
	name, _, _ := strings.Cut(first, "@")
	fmt.Println(name)
	// Output: PUT /carts
}

// A program that creates its index, stores a cart and changes it.
func Example() {
	type cart struct{ Items int }
	ctx := context.Background()

	backend, err := elasticsearch.New(newClient(), "carts", nil)
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
