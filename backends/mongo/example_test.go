package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/backends/mongo"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func ExampleNew() {
	client, err := mongodriver.Connect(options.Client().ApplyURI("mongodb://127.0.0.1"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }() // the backend does not disconnect it

	backend, err := mongo.New(client.Database("shop"), "carts", &mongo.Options{Labels: []string{"customer"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().Backend, backend.Describe().Labels)
	// Output: mongo [customer]
}

func ExampleNew_invalid() {
	_, err := mongo.New(nil, "carts", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid), err)
	// Output: true mongo: New: invalid argument: the database is nil
}

func ExampleBackend_StoragePlan() {
	client, err := mongodriver.Connect(options.Client().ApplyURI("mongodb://127.0.0.1"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()

	backend, err := mongo.New(client.Database("shop"), "tokens", &mongo.Options{Labels: []string{}, GraceTTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(backend.StoragePlan())
	// Output:
	// db.createCollection("tokens")
	// db.getCollection("tokens").createIndex({"exp": 1}, {name: "sojourn expiry", expireAfterSeconds: 60})
}

// This example needs a server.
func Example() {
	type cart struct{ Items int }
	ctx := context.Background()

	client, err := mongodriver.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Disconnect(ctx) }()
	backend, err := mongo.New(client.Database("shop"), "carts", nil)
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
