package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
)

func ExampleClock() {
	var clock expiry.Clock = newClock()
	fmt.Println(clock.Now().Year())
	// Output: 2030
}

func ExampleClockFunc() {
	clock := expiry.ClockFunc(func() time.Time { return time.Unix(0, 0) })
	fmt.Println(clock.Now().Unix())
	// Output: 0
}

func ExampleCodec() {
	backend, _ := memory.New(nil, "points", nil)
	type point struct{ X, Y int }
	// JSON has no maps with such keys.
	store, _ := expiry.NewStore[map[point]string](backend, &expiry.StoreOptions{Codec: expiry.Gob()})
	_, err := store.Create(context.Background(), "a", map[point]string{{1, 2}: "here"}, nil)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleObserver() {
	backend, _ := memory.New(nil, "carts", nil)
	count := map[string]int{}
	carts, _ := expiry.NewStore[Cart](backend, &expiry.StoreOptions{
		Observe: func(_ context.Context, o expiry.Observation) { count[o.Op+" "+o.Outcome()]++ },
	})
	_, _ = carts.Get(context.Background(), "nobody")
	_, _ = carts.Create(context.Background(), "cart-1", Cart{}, nil)
	fmt.Println(count["Get not_found"], count["Create ok"])
	// Output: 1 1
}

func ExampleObservation() {
	o := expiry.Observation{Op: "Get", Backend: "redis", Err: context.Canceled}
	fmt.Println(o.Outcome())
	// Output: canceled
}

// Values at rest are encrypted, each bound to its record. Keys rotate while
// the store is in use.
func ExampleKeyring() {
	ring, err := expiry.NewKeyring(expiry.SealKey{ID: "2030-01", Secret: make([]byte, 32)}) // 32 random bytes
	if err != nil {
		fmt.Println(err)
		return
	}
	backend, _ := memory.New(nil, "carts", nil)
	carts, _ := expiry.NewStore[Cart](backend, &expiry.StoreOptions{Seal: ring, Purpose: "carts"})
	_, _ = carts.Create(context.Background(), "cart-1", Cart{Owner: "ann"}, nil)

	_ = ring.Add(expiry.SealKey{ID: "2030-02", Secret: make([]byte, 32)}) // on every node, before
	_ = ring.Use("2030-02")
	item, err := carts.Get(context.Background(), "cart-1")
	fmt.Println(item.Value.Owner, ring.Active(), err)
	// Output: ann 2030-02 <nil>
}

func ExampleSealKey() {
	fmt.Println(expiry.SealKey{ID: "2030-01", Secret: []byte("never printed")})
	// Output: key "2030-01"
}

func ExampleHooks() {
	type Article struct {
		Author  string
		Text    string
		Changed time.Time
	}
	clock := newClock()
	backend, _ := memory.New(nil, "articles", &memory.Options{Labels: []string{"author"}})
	articles, _ := expiry.NewStore(backend, &expiry.StoreOptions{Clock: clock, NewID: expiry.RandomID}, expiry.Hooks[Article]{
		BeforeWrite: func(_ context.Context, _ string, a *Article) error {
			if a.Text == "" {
				return errors.New("an article needs a text")
			}
			a.Changed = clock.Now()
			return nil
		},
		Labels: func(a *Article) map[string]string { return map[string]string{"author": a.Author} },
	})
	ctx := context.Background()
	it, _ := articles.Create(ctx, "", Article{Author: "ann", Text: "Hello"}, nil)
	it, _ = articles.Mutate(ctx, it.ID, func(a *Article) error { a.Author = "bob"; return nil }, nil)
	n, _ := articles.Count(ctx, &expiry.ListOptions{Label: "author", Value: "bob"})
	_, err := articles.Create(ctx, "", Article{}, nil)
	fmt.Println(it.Value.Changed.Year(), n, err)
	// Output: 2030 1 an article needs a text
}

func ExampleBytes() {
	backend, _ := memory.New(nil, "pages", nil)
	pages, _ := expiry.NewStore[[]byte](backend, &expiry.StoreOptions{Codec: expiry.Bytes(), TTL: time.Minute})
	ctx := context.Background()
	_, _ = pages.Upsert(ctx, expiry.SafeID("https://example.com/?q="+strings.Repeat("x", 600)), []byte("<html>"), nil)
	page, _ := pages.Get(ctx, expiry.SafeID("https://example.com/?q="+strings.Repeat("x", 600)))
	fmt.Printf("%s\n", page.Value)
	// Output: <html>
}
