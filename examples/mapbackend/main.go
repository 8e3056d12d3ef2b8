// Mapbackend shows how little a backend has to do: a map behind a mutex, in
// backend.go, passes every case of the suite that needs nothing but
// Harness.Open. This program stores a record in it, reads it back, and lets it
// expire.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

type note struct{ Text string }

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	now := time.Now().Truncate(time.Millisecond)
	store, err := expiry.NewStore[note](NewBackend(NewMap("notes")), &expiry.StoreOptions{
		TTL:   time.Hour,
		Clock: expiry.ClockFunc(func() time.Time { return now }),
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := store.Create(ctx, "greeting", note{Text: "hello"}, nil); err != nil {
		return err
	}
	item, err := store.Get(ctx, "greeting")
	if err != nil {
		return err
	}
	fmt.Println(item.Value.Text)

	now = now.Add(time.Hour)
	_, err = store.Get(ctx, "greeting")
	fmt.Println("an hour later:", errors.Is(err, model.ErrNotFound), "-", err)
	return nil
}
