package expiry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// fillCarts stores three carts, two of them ann's.
func fillCarts(carts *expiry.Store[Cart]) {
	for id, owner := range map[string]string{"cart-1": "ann", "cart-2": "ann", "cart-3": "bob"} {
		_, _ = carts.Create(context.Background(), id, Cart{Owner: owner}, &expiry.WriteOptions{Labels: map[string]string{"principal": owner}})
	}
}

func ExampleListOptions() {
	carts := newCarts(newClock())
	fillCarts(carts)
	n := 0
	for item, err := range carts.All(context.Background(), &expiry.ListOptions{Label: "principal", Value: "ann"}) {
		if err != nil {
			fmt.Println(err) // of one record that cannot be read, or of the listing
			continue
		}
		n += len(item.ID) / len("cart-1")
	}
	fmt.Println(n)
	// Output: 2
}

func ExampleListing() {
	carts := newCarts(newClock())
	fillCarts(carts)
	seen, opts := 0, expiry.ListOptions{PageSize: 2}
	for {
		page, err := carts.Page(context.Background(), &opts)
		if err != nil {
			fmt.Println(err)
			return
		}
		seen += len(page.Items)
		if page.Next == "" {
			break
		}
		opts.After = page.Next
	}
	fmt.Println(seen)
	// Output: 3
}

func ExampleStore_DeleteByLabel() {
	carts := newCarts(newClock())
	fillCarts(carts)
	n, err := carts.DeleteByLabel(context.Background(), "principal", "ann")
	fmt.Println(n, err)
	// Output: 2 <nil>
}

func ExampleResult() {
	carts := newCarts(newClock())
	fillCarts(carts)
	results, _ := carts.GetMany(context.Background(), []string{"cart-3", "nobody"})
	for _, r := range results {
		fmt.Println(r.Item.Value.Owner, errors.Is(r.Err, model.ErrNotFound))
	}
	// Output:
	// bob false
	//  true
}

func ExampleOp() {
	carts := newCarts(newClock())
	fillCarts(carts)
	res, _ := carts.Bulk(context.Background(), []expiry.Op[Cart]{
		{Kind: expiry.OpCreate, ID: "cart-4", Value: Cart{Owner: "carol"}},
		{Kind: expiry.OpDelete, ID: "cart-1"},
	})
	fmt.Println(res.Created, res.Deleted, res.Err())
	// Output: 1 1 <nil>
}

func ExampleOpKind() {
	kinds := []expiry.OpKind{expiry.OpCreate, expiry.OpUpdate, expiry.OpUpsert, expiry.OpDelete}
	fmt.Println(len(kinds))
	// Output: 4
}

func ExampleBulkResult() {
	carts := newCarts(newClock())
	fillCarts(carts)
	res, _ := carts.Bulk(context.Background(), []expiry.Op[Cart]{
		{Kind: expiry.OpUpdate, ID: "nobody"},
		{Kind: expiry.OpUpdate, ID: "cart-1", Value: Cart{Owner: "dora"}},
	})
	fmt.Println(res.Updated, errors.Is(res.Results[0].Err, model.ErrNotFound), res.Results[1].Item.Value.Owner)
	// Output: 1 true dora
}

// Existing records get a label that the program derives from them.
func ExampleStore_Reindex() {
	ctx := context.Background()
	carts := newCarts(newClock())
	_, _ = carts.Create(ctx, "cart-1", Cart{Owner: "ann"}, nil)
	n, err := carts.Reindex(ctx, func(i expiry.Item[Cart]) map[string]string {
		return map[string]string{"principal": i.Value.Owner}
	})
	fmt.Println(n, err)
	// Output: 1 <nil>
}

func ExampleSweepOptions() {
	clock := newClock()
	carts := newCarts(clock)
	fillCarts(carts)
	clock.now = clock.now.Add(2 * time.Hour)
	swept, err := carts.DeleteExpired(context.Background(), &expiry.SweepOptions{
		OnExpire: func(r model.Record) error {
			if r.Labels["principal"] == "bob" {
				return errors.New("not this one")
			}
			return nil
		},
	})
	fmt.Println(swept.Removed, err)
	// Output: 2 <nil>
}

func ExampleSwept() {
	clock := newClock()
	carts := newCarts(clock)
	fillCarts(carts)
	clock.now = clock.now.Add(2 * time.Hour)
	swept, _ := carts.DeleteExpired(context.Background(), &expiry.SweepOptions{Limit: 2})
	fmt.Println(swept.Removed, swept.More)
	// Output: 2 true
}

func ExampleSweeper() {
	clock := newClock()
	carts := newCarts(clock)
	fillCarts(carts)
	clock.now = clock.now.Add(2 * time.Hour)

	sweeper, err := expiry.NewSweeper(carts, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sweeper.Close() }()
	// A program runs it in the background: go sweeper.Run(ctx)
	_, _ = sweeper.Sweep(context.Background())
	fmt.Println(sweeper.Total().Removed)
	// Output: 3
}

func ExampleSweeperOptions() {
	_, err := expiry.NewSweeper(newCarts(newClock()), &expiry.SweeperOptions{
		Interval: 5 * time.Minute,
		OnSwept: func(s driver.Swept, err error) {
			fmt.Println("swept", s.Removed, err)
		},
	})
	fmt.Println(err)
	// Output: <nil>
}

// Every Store is Sweepable; so is whatever else removes what has expired.
func ExampleSweepable() {
	var s expiry.Sweepable = newCarts(newClock())
	n, err := s.DeleteExpired(context.Background(), nil)
	fmt.Println(n.Removed, err)
	// Output: 0 <nil>
}
