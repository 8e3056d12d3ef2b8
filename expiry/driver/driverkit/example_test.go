package driverkit_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func ExampleGate() {
	gate := driverkit.NewGate(driver.Description{Backend: "example", Labels: []string{"principal"}}, "store")
	q := driver.Query{Label: "tenant", Limit: 10}
	_, err := gate.Page(context.Background(), &q)
	fmt.Println(err)
	_ = gate.Close()
	fmt.Println(gate.Enter(context.Background()))
	// Output:
	// invalid argument: the label is not declared in Options.Labels
	// closed
}

func ExampleClock() {
	sent := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := driverkit.Clock{Sent: sent, Got: sent.Add(time.Second), Server: sent.Add(11 * time.Second)}
	one := clock.Finding()
	fmt.Println(one.Level, one.Seen)
	// Output:
	// warning a clock that is ahead by 10s
}

func ExampleGate_SortedPage() {
	gate := driverkit.NewGate(driver.Description{Backend: "example"}, "store")
	all := map[string]model.Record{"b": {ID: "b"}, "a": {ID: "a"}}
	for q := (driver.Query{Limit: 1}); ; {
		position, err := gate.Page(context.Background(), &q)
		if err != nil {
			fmt.Println(err)
			return
		}
		p := gate.SortedPage(now, &q, position, maps.Values(all))
		fmt.Println(p.Records[0].ID)
		if q.After = p.Next; p.Next == "" {
			return
		}
	}
	// Output:
	// a
	// b
}

func ExampleDeclaredLabels() {
	names, err := driverkit.DeclaredLabels([]string{"tenant", "state"}, 32)
	fmt.Println(names, err)
	names, _ = driverkit.DeclaredLabels(nil, 32)
	fmt.Println(names)
	// Output:
	// [state tenant] <nil>
	// [principal]
}

func ExampleAppendRecord() {
	data := driverkit.AppendRecord(nil, &model.Record{ID: "a", Revision: model.NewRevision(), Value: []byte("{}")})
	rec, err := driverkit.DecodeRecord(data)
	fmt.Println(rec.ID, string(rec.Value), err)
	_, err = driverkit.DecodeRecord(data[1:])
	fmt.Println(err)
	// Output:
	// a {} <nil>
	// corrupt record: the stored data is not a complete record
}

// A backend that opens an HTTP client lets its Gate close the connections.
func ExampleConnections() {
	transport := &http.Transport{}
	gate := driverkit.NewGate(driver.Description{Backend: "example"}, "store")
	gate.Own(driverkit.Connections{Transport: transport})
	fmt.Println(gate.Close())
	// Output: <nil>
}

// A sweep counts with a Tally, which keeps the limit and the error.
func ExampleTally() {
	due := []string{"a", "b", "c"}
	gate := driverkit.NewGate(driver.Description{Backend: "example"}, "store")
	tally, err := gate.Sweep(context.Background(), &driver.Sweep{Before: now, Limit: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	swept, err := tally.Run(context.Background(), func(n int) (more bool, err error) {
		batch := due[:min(n, len(due))]
		due = slices.Delete(due, 0, len(batch)) // the removal on the server
		tally.Removed(len(batch))
		return len(due) > 0, nil
	})
	fmt.Println(swept.Removed, swept.More, err)
	// Output: 2 true <nil>
}

// counter is a wrapper that counts reads. The embedded Wrapper forwards every
// other method, also those of the optional interfaces.
type counter struct {
	driverkit.Wrapper
	reads int
}

func (c *counter) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	c.reads++
	return c.Wrapper.Get(ctx, now, g)
}

func (c *counter) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	c.reads += len(gets)
	return c.Wrapper.GetMany(ctx, now, gets)
}

func ExampleWrapper() {
	inner, err := memory.New(nil, "example", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	b := &counter{Wrapper: driverkit.Wrap(inner)}
	_, err = b.Get(context.Background(), now, driver.Get{ID: "a"})
	n, _ := b.Count(context.Background(), now, driver.Query{})
	fmt.Println(b.reads, n, err)
	// Output: 1 0 not found
}

// A page ends with the record with which its values reach driver.PageBytes.
func ExamplePageSize() {
	var size driverkit.PageSize
	value := make([]byte, 6<<20)
	n := 0
	for full := false; !full; n++ {
		full = size.Add(&model.Record{Value: value})
	}
	fmt.Println(n)
	// Output: 3
}

// A record expires while a call waits for its lock.
func ExampleWaited() {
	now := time.UnixMilli(0).UTC()
	rec := model.Record{ExpiresAt: now.Add(time.Second)}
	watch := []time.Duration{0, 3 * time.Second}
	w := driverkit.Waited{Watch: func() time.Duration {
		at := watch[0]
		watch = watch[1:]
		return at
	}}
	_ = w.During(func() error { return nil }) // waits for the lock
	fmt.Println(driver.Judge(now, &rec, driver.IfPresent, model.Revision{}), driver.Judge(w.Now(now), &rec, driver.IfPresent, model.Revision{}))
	// Output: <nil> not found
}

func ExampleListing() {
	stored := []model.Record{{ID: "ann"}, {ID: "bob", ExpiresAt: now}, {ID: "eve"}, {ID: "joe"}}
	list := driverkit.Listing{Query: &driver.Query{Limit: 2}}
	for i := range stored {
		if list.Add(now, stored[i].ID, &stored[i], nil) {
			break
		}
	}
	for _, r := range list.Page.Records {
		fmt.Println(r.ID)
	}
	// Output:
	// ann
	// eve
}
