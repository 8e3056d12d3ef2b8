package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/backends/dynamodb"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func ExampleNew() {
	client := awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1"})

	backend, err := dynamodb.New(client, "carts", &dynamodb.Options{Labels: []string{"customer"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().Backend, backend.Describe().Labels)
	// Output: dynamodb [customer]
}

func ExampleNew_invalid() {
	client := awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1"})

	_, err := dynamodb.New(client, "my carts", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid), err)
	// Output: true dynamodb: New: invalid argument: a table's name has 3 to 255 of a-z A-Z 0-9 _ - ., and an ARN the form arn:aws:dynamodb:REGION:ACCOUNT:table/NAME
}

// StoragePlan prints the commands for a program that may not create tables.
func ExampleBackend_StoragePlan() {
	client := awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1"})
	backend, err := dynamodb.New(client, "carts", nil)
	if err != nil {
		log.Fatal(err)
	}
	first, _, _ := strings.Cut(backend.StoragePlan(), " \\")
	fmt.Println(first)
	// Output: aws dynamodb create-table --table-name carts --billing-mode PAY_PER_REQUEST
}

// A program creates the table, then stores and changes a record.
func Example() {
	type cart struct{ Items int }
	ctx := context.Background()

	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	backend, err := dynamodb.New(awsdynamodb.NewFromConfig(cfg), "carts", nil)
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
