package driverkit_test

import (
	"context"
	"fmt"
	"maps"
	"time"

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
