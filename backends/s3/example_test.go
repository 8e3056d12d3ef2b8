package s3_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/backends/s3"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func ExampleNew() {
	client := awss3.New(awss3.Options{Region: "eu-west-1"})

	backend, err := s3.New(client, "my-bucket", "app/carts", &s3.Options{Labels: []string{"customer"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().Backend, backend.Describe().Labels, backend.Describe().MaxValue)
	// Output: s3 [customer] 16777216
}

func ExampleNew_invalid() {
	client := awss3.New(awss3.Options{Region: "eu-west-1"})

	_, err := s3.New(client, "my bucket", "carts", nil)
	fmt.Println(errors.Is(err, model.ErrInvalid), err)
	// Output: true s3: New: invalid argument: the bucket's name is not 3 to 63 of a-z 0-9 - . with a letter or digit at both ends
}

// StoragePlan also prints the lifecycle rule that CreateStorage does not add.
func ExampleBackend_StoragePlan() {
	client := awss3.New(awss3.Options{Region: "us-east-1"})
	backend, err := s3.New(client, "my-bucket", "carts", nil)
	if err != nil {
		log.Fatal(err)
	}
	first, _, _ := strings.Cut(backend.StoragePlan(), "\n")
	fmt.Println(first)
	// Output: aws s3api create-bucket --bucket my-bucket
}

// Another server needs an endpoint and path-style addresses.
func ExampleOptions() {
	client := awss3.New(awss3.Options{Region: "us-east-1"}, func(o *awss3.Options) {
		endpoint := "http://localhost:9000"
		o.BaseEndpoint, o.UsePathStyle = &endpoint, true
	})
	backend, err := s3.New(client, "my-bucket", "reports", &s3.Options{MaxValue: 64 << 20, StrayGrace: 10 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(backend.Describe().MaxValue)
	// Output: 67108864
}

// A whole program. It needs an AWS account.
func Example() {
	type cart struct{ Items int }
	ctx := context.Background()

	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	backend, err := s3.New(awss3.NewFromConfig(cfg), "my-bucket", "app/carts", nil)
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
