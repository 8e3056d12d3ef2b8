package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// Cart is what the examples keep.
type Cart struct {
	Owner string   `json:"owner"`
	Items []string `json:"items"`
}

// exampleClock stands at the beginning of 2030 until it is told otherwise.
type exampleClock struct{ now time.Time }

func (c *exampleClock) Now() time.Time { return c.now }

func newClock() *exampleClock { return &exampleClock{time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} }

// newCarts is a store in memory whose records live for an hour.
func newCarts(clock expiry.Clock) *expiry.Store[Cart] {
	backend, err := memory.New(nil, "carts", nil)
	if err != nil {
		panic(err)
	}
	carts, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour, Clock: clock})
	if err != nil {
		panic(err)
	}
	return carts
}

func ExampleStore() {
	ctx, clock := context.Background(), newClock()
	carts := newCarts(clock)

	_, _ = carts.Create(ctx, "cart-1", Cart{Owner: "ann"}, nil)
	_, err := carts.Create(ctx, "cart-1", Cart{}, nil)
	fmt.Println(errors.Is(err, model.ErrExists))

	clock.now = clock.now.Add(time.Hour)
	_, err = carts.Get(ctx, "cart-1")
	fmt.Println(errors.Is(err, model.ErrNotFound))
	// Output:
	// true
	// true
}

func ExampleStore_Update_conflict() {
	ctx := context.Background()
	carts := newCarts(newClock())
	read, _ := carts.Create(ctx, "cart-1", Cart{}, nil)

	// Somebody else changes the record after it was read.
	_, _ = carts.Update(ctx, "cart-1", Cart{Owner: "bob"}, nil)

	_, err := carts.Update(ctx, "cart-1", Cart{Owner: "ann"}, &expiry.WriteOptions{IfMatch: read.Known()})
	fmt.Println(errors.Is(err, model.ErrConflict))
	// Output: true
}

func ExampleStore_Mutate() {
	ctx := context.Background()
	carts := newCarts(newClock())
	_, _ = carts.Create(ctx, "cart-1", Cart{}, nil)
	item, err := carts.Mutate(ctx, "cart-1", func(c *Cart) error {
		c.Items = append(c.Items, "apple")
		return nil
	}, nil)
	fmt.Println(item.Value.Items, err)
	// Output: [apple] <nil>
}

func ExampleStore_UpdatePartial() {
	ctx := context.Background()
	carts := newCarts(newClock())
	_, _ = carts.Create(ctx, "cart-1", Cart{Owner: "ann", Items: []string{"apple"}}, nil)
	item, err := carts.UpdatePartial(ctx, "cart-1", map[string]any{"items": []string{"pear"}}, nil)
	fmt.Println(item.Value.Owner, item.Value.Items, err)
	// Output: ann [pear] <nil>
}

// A reset link works once, however many click it.
func ExampleStore_Take() {
	ctx := context.Background()
	carts := newCarts(newClock())
	_, _ = carts.Create(ctx, "token", Cart{Owner: "ann"}, nil)
	first, err := carts.Take(ctx, "token")
	fmt.Println(first.Value.Owner, err)
	_, err = carts.Take(ctx, "token")
	fmt.Println(errors.Is(err, model.ErrNotFound))
	// Output:
	// ann <nil>
	// true
}

func ExampleStore_As() {
	carts := newCarts(newClock())
	var backend *memory.Backend
	fmt.Println(carts.As(&backend), backend != nil)
	// Output: true true
}

func ExampleStoreOptions() {
	backend, _ := memory.New(nil, "carts", nil)
	_, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{
		TTL:      24 * time.Hour,
		Observe:  expiry.LogObserver(nil), // slog.Default
		Attempts: 20,
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleItem() {
	ctx := context.Background()
	carts := newCarts(newClock())
	item, _ := carts.Create(ctx, "cart-1", Cart{}, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
	fmt.Println(item.ID, item.ExpiresAt.Format(time.TimeOnly), item.Labels["principal"], item.Revision.IsZero())
	// Output: cart-1 01:00:00 ann false
}

// A version can leave the program as a revision, in an ETag for example, and
// come back as a condition.
func ExampleKnown() {
	ctx := context.Background()
	carts := newCarts(newClock())
	item, _ := carts.Create(ctx, "cart-1", Cart{}, nil)
	etag := item.Revision.String()

	rev, err := model.ParseRevision(etag)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = carts.Update(ctx, "cart-1", Cart{Owner: "ann"}, &expiry.WriteOptions{IfMatch: expiry.AtRevision(rev)})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleExpiry() {
	ctx, clock := context.Background(), newClock()
	carts := newCarts(clock)
	for _, e := range []expiry.Expiry{{}, expiry.After(time.Minute), expiry.At(clock.now.AddDate(1, 0, 0)), expiry.Never()} {
		item, _ := carts.Upsert(ctx, "cart-1", Cart{}, &expiry.WriteOptions{Expiry: e})
		fmt.Println(item.ExpiresAt.Format(time.DateTime), item.ExpiresAt.IsZero())
	}
	// Output:
	// 2030-01-01 01:00:00 false
	// 2030-01-01 00:01:00 false
	// 2031-01-01 00:00:00 false
	// 0001-01-01 00:00:00 true
}

func ExampleWriteOptions() {
	ctx := context.Background()
	carts := newCarts(newClock())
	_, err := carts.Create(ctx, "cart-1", Cart{}, &expiry.WriteOptions{
		Expiry: expiry.After(10 * time.Minute),
		Labels: map[string]string{"principal": "ann"},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleTouchOptions() {
	ctx := context.Background()
	carts := newCarts(newClock())
	_, _ = carts.Create(ctx, "cart-1", Cart{}, nil) // lives for an hour
	item, err := carts.Touch(ctx, "cart-1", expiry.After(time.Minute), &expiry.TouchOptions{Extend: true})
	fmt.Println(item.ExpiresAt.Format(time.TimeOnly), err)
	// Output: 01:00:00 <nil>
}

func ExampleDeleteOptions() {
	ctx := context.Background()
	carts := newCarts(newClock())
	read, _ := carts.Create(ctx, "cart-1", Cart{}, nil)
	_, _ = carts.Update(ctx, "cart-1", Cart{Owner: "bob"}, nil)
	err := carts.Delete(ctx, "cart-1", &expiry.DeleteOptions{IfMatch: read.Known()})
	fmt.Println(errors.Is(err, model.ErrConflict))
	// Output: true
}

func ExampleStore_Issue() {
	backend, _ := memory.New(nil, "resets", nil)
	resets, _ := expiry.NewStore[string](backend, &expiry.StoreOptions{SecretIDs: true, TTL: time.Hour})
	ctx := context.Background()
	link, _ := resets.Issue(ctx, "ann", nil) // link.ID goes into the mail, and nowhere else
	got, err := resets.Take(ctx, link.ID)
	fmt.Println(got.Value, err)
	_, err = resets.Take(ctx, link.ID)
	fmt.Println(errors.Is(err, expiry.ErrNotFound))
	// Output:
	// ann <nil>
	// true
}

func ExampleStore_MutateOrCreate() {
	backend, _ := memory.New(nil, "attempts", nil)
	attempts, _ := expiry.NewStore[int](backend, &expiry.StoreOptions{TTL: 15 * time.Minute})
	ctx := context.Background()
	for range 3 {
		n, _ := attempts.MutateOrCreate(ctx, expiry.SafeID("203.0.113.7"), func(n *int) error { *n++; return nil }, nil)
		fmt.Println(n.Value)
	}
	// Output:
	// 1
	// 2
	// 3
}

func ExampleStat() {
	carts := newCarts(newClock())
	ctx := context.Background()
	_, _ = carts.Create(ctx, "c1", Cart{}, nil)
	st, err := carts.Stat(ctx, "c1")
	fmt.Println(st.ID, st.Size > 0, st.ExpiresAt.Format(time.TimeOnly), err)
	// Output: c1 true 01:00:00 <nil>
}

func ExampleStore_DeleteAll() {
	carts := newCarts(newClock())
	ctx := context.Background()
	fillCarts(carts)
	n, err := carts.DeleteAll(ctx)
	fmt.Println(n > 0, err)
	left, _ := carts.Count(ctx, nil)
	fmt.Println(left)
	// Output:
	// true <nil>
	// 0
}

// A lease: its holder extends it at the revision that it wrote. After another
// one has taken it over, that is ErrConflict.
func ExampleStore_Touch_lease() {
	backend, _ := memory.New(nil, "leases", nil)
	clock := newClock()
	leases, _ := expiry.NewStore[string](backend, &expiry.StoreOptions{TTL: time.Minute, Clock: clock})
	ctx := context.Background()
	mine, _ := leases.Create(ctx, "reports", "node 1", nil)
	extended, err := leases.Touch(ctx, "reports", expiry.After(time.Minute), &expiry.TouchOptions{IfMatch: mine.Known()})
	fmt.Println(extended.ExpiresAt.Format(time.TimeOnly), err)
	_, _ = leases.Upsert(ctx, "reports", "node 2", nil)
	_, err = leases.Touch(ctx, "reports", expiry.After(time.Minute), &expiry.TouchOptions{IfMatch: mine.Known()})
	fmt.Println(errors.Is(err, expiry.ErrConflict))
	// Output:
	// 00:01:00 <nil>
	// true
}
