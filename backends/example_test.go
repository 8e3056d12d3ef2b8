package backends_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func ExampleOpen() {
	b, err := backends.Open(context.Background(), "memory:?labels=principal,sid")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Describe().Backend, b.Describe().Labels)
	_, err = backends.Open(context.Background(), "memory:?label=principal")
	fmt.Println(err)
	// Output:
	// memory [principal sid]
	// memory: Open: invalid argument: unknown parameter "label"; did you mean "labels"?; known are: labels
}

// What only one backend has is reached through the opened one: the client of a
// server, the folder of a store on files.
func ExampleOpen_client() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := backends.Open(context.Background(), "file:"+filepath.ToSlash(dir)+"?name=carts&no_sync=true")
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := expiry.NewStore[string](b, &expiry.StoreOptions{TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	var f *file.Backend
	if store.As(&f) { // with Redis: *redis.Backend and its Client
		fmt.Println(filepath.Base(f.Path()))
	}
	// Output: carts
}

// A backend binds its parameters and registers what it has bound.
func ExampleParams() {
	type target struct {
		region  string
		options memory.Options
	}
	params := func(t *target) *backends.Params {
		var p backends.Params
		p.Text(&t.region, "region", "The region.")
		p.Options(&t.options)
		return &p
	}
	open := func(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
		var t target
		if err := params(&t).Parse(u); err != nil {
			return nil, err
		}
		fmt.Println(t.region)
		return memory.New(nil, u.Host, &t.options)
	}
	backends.Register("example", open, params(new(target)).List()...)

	b, err := backends.Open(context.Background(), "example://carts?region=north&labels=owner")
	fmt.Println(b.Describe().Labels, err)
	// Output:
	// north
	// [owner] <nil>
}

func ExampleRedact() {
	fmt.Println(backends.Redact("memory://ann:secret@host?labels=sid&token=secret"))
	// Output: memory://ann:xxxxx@host?labels=sid&token=xxxxx
}
