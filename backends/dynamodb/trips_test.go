package dynamodb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips compares the requests of each call with those that the package
// comment promises. It logs the capacity units that DynamoDB Local counts.
func TestTrips(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	write := func(w driver.Write) func() error {
		return func() error { _, err := b.Write(ctx, drivertest.Now, w); return err }
	}
	page := func(q driver.Query) func() error {
		return func() error { _, err := b.Page(ctx, drivertest.Now, q); return err }
	}
	touch := func(mode driver.TouchMode, d time.Duration) func() error {
		return func() error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: drivertest.Now.Add(d)})
			return err
		}
	}
	del := func(c driver.Condition, known model.Record) func() error {
		return func() error { return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: c, Known: known}) }
	}
	sweep := func(onExpire func(model.Record) error) func() error {
		return func() error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 1000, OnExpire: onExpire})
			return err
		}
	}
	rec := func(id, principal string) model.Record { return drivertest.Record(id, principal, time.Hour) }
	plain, labelled := rec("id", ""), rec("id", "ann")
	stored := func(r model.Record) func() { return func() { drivertest.Seed(t, b, r) } }
	old := func(principal string, n int) func() {
		return func() {
			for i := range n {
				drivertest.Seed(t, b, drivertest.Expired(fmt.Sprint("old", i), principal))
			}
		}
	}
	const (
		put    = "PutItem"
		update = "UpdateItem"
		remove = "DeleteItem"
		both   = "TransactWriteItems"
	)
	queries := strings.TrimSpace(strings.Repeat("Query ", defaultPartitions))
	nothing := func(model.Record) error { return nil }

	reads := drivertest.Reads()
	read := func(name string) func() error {
		c := drivertest.Pick(t, reads, name)[0]
		return func() error { return c.Do(ctx, b) }
	}
	keep, keepLabels, keepExpiry := driver.Keep{Expiry: true, Labels: true}, driver.Keep{Labels: true}, driver.Keep{Expiry: true}
	tests := []struct {
		name   string
		before func()
		do     func() error
		ops    string // the requests, in order
	}{
		{"get", stored(plain), read("get"), "GetItem"},
		{"get labelled", stored(labelled), read("get"), "GetItem"},
		{"create", nil, write(driver.Write{Record: rec("new1", ""), Cond: driver.IfAbsent}), put},
		{"create labelled", nil, write(driver.Write{Record: rec("new2", "ann"), Cond: driver.IfAbsent}), both},
		{"create over expired", old("", 1), write(driver.Write{Record: rec("old0", ""), Cond: driver.IfAbsent}), put},
		{"create labelled over expired", old("", 1), write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}), both},
		{"create over expired of the same label", old("ann", 1), write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}), both},
		{"create over expired of another label", old("bob", 1), write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}), both + " " + both},
		{"upsert", stored(plain), write(driver.Write{Record: rec("id", ""), Cond: driver.IfAny}), put},
		{"upsert of the same label", stored(labelled), write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfAny}), both},
		{"upsert of another label", stored(labelled), write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfAny}), both + " " + both},
		{"update", stored(labelled), write(driver.Write{Record: rec("id", ""), Cond: driver.IfPresent, Keep: keep}), update},
		{"update with an expiry", stored(labelled), write(driver.Write{Record: rec("id", ""), Cond: driver.IfPresent, Keep: keepLabels}), update},
		{"update with the same label", stored(labelled), write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfPresent, Keep: keepExpiry}), update},
		{"update with a first label", stored(plain), write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfPresent}), both},
		{"update with another label", stored(labelled), write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfPresent}), both + " " + both},
		{"update with another label that keeps the expiry", stored(labelled), write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfPresent, Keep: keepExpiry}), update + " " + both},
		{"compare-and-set", stored(labelled), write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfMatch, Known: labelled}), put},
		{"compare-and-set of another label", stored(labelled), write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfMatch, Known: labelled}), both},
		{"compare-and-set that keeps", stored(labelled), write(driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: labelled, Keep: keep}), update},
		{"compare-and-set of another label that keeps the expiry", stored(labelled), write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfMatch, Known: labelled, Keep: keepExpiry}), both},
		{"touch", stored(plain), touch(driver.TouchSet, 2*time.Hour), update},
		{"touch labelled", stored(labelled), touch(driver.TouchSet, 2*time.Hour), update},
		{"extend labelled", stored(labelled), touch(driver.TouchExtend, 2*time.Hour), update},
		{"touch that changes nothing", stored(labelled), touch(driver.TouchExtend, time.Minute), update},
		{"clear", stored(labelled), touch(driver.TouchClear, 0), update},
		{"delete by id", stored(plain), del(driver.IfPresent, model.Record{}), remove},
		{"delete labelled by id", stored(labelled), del(driver.IfPresent, model.Record{}), remove + " " + both},
		{"delete labelled and known", stored(labelled), del(driver.IfPresent, labelled), both},
		{"delete at a revision", stored(labelled), del(driver.IfMatch, labelled), both},
		{"page", stored(labelled), read("page"), "Scan"},
		{"page of ids", stored(labelled), page(driver.Query{Limit: 100, KeysOnly: true}), "Scan"},
		{"page by label", stored(labelled), read("page by label"), "Query BatchGetItem"},
		{"page of nothing", nil, page(driver.Query{Limit: 100, Label: "principal", Value: "nobody"}), "Query"},
		{"count", nil, read("count"), "Scan"},
		{"count by label", stored(labelled), read("count by label"), "Query BatchGetItem"},
		{"get many", stored(labelled), func() error { return b.GetMany(ctx, drivertest.Now, driver.Gets("id", "x", "y"))[0].Err }, "BatchGetItem"},
		{"ping", nil, read("ping"), "GetItem"},
		{"sweep", old("", 1), sweep(nil), queries + " " + remove},
		{"sweep labelled", old("ann", 2), sweep(nil), queries + " " + both + " " + both},
		{"sweep with announcements", old("ann", 1), sweep(nothing), queries + " BatchGetItem " + both},
		{"sweep of nothing", nil, sweep(nil), queries},
	}
	// The units of calls that DynamoDB Local counts as DynamoDB does: not those of
	// transactions. Most records expire, which takes more for the index.
	units := map[string]float64{
		"get": 1, "get labelled": 1, "create": 1 + 1, "upsert": 1, "update": 1, "compare-and-set that keeps": 1, "touch": 1 + 2, "touch labelled": 1 + 2,
		"clear": 1 + 1, "delete by id": 1 + 1, "ping": 1, "sweep": 1 + 1 + 0.5,
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.before != nil {
				test.before()
			}
			p.take()
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
			got := p.take()
			t.Logf("%.1f units", got.capacity)
			if want, ok := units[test.name]; ok && got.capacity != want {
				t.Errorf("it took %.1f units, and the package comment says %.1f", got.capacity, want)
			}
			if strings.Join(got.ops, " ") != test.ops {
				t.Fatalf("sent %v, want %s", got.ops, test.ops)
			}
		})
	}
}

// load stores n records as the backend would, 25 items with each request.
func load(t testing.TB, b *Backend, n int, of func(i int) model.Record) {
	t.Helper()
	var items []types.WriteRequest
	add := func(it attributes) {
		items = append(items, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
	}
	for i := range n {
		r := of(i)
		add(b.encode(&r))
		for name, value := range r.Labels {
			add(labelKey(name, value, r.ID))
		}
	}
	const size = 25
	errs := make([]error, (len(items)+size-1)/size)
	driverkit.Parallel(len(errs), 4, func(i int) {
		in := map[string][]types.WriteRequest{b.table: items[i*size : min((i+1)*size, len(items))]}
		_, errs[i] = sdkOf(b).BatchWriteItem(t.Context(), &awsdynamodb.BatchWriteItemInput{RequestItems: in})
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestCostInProportion has 4,000 live and 200 expired records. A sweep, and a
// listing or count by label, reads only the records that match.
func TestCostInProportion(t *testing.T) {
	b, p := proxied(t, nil)
	const live, expired, crowd = 4000, 200, 50
	load(t, b, live, func(i int) model.Record {
		return drivertest.Record(fmt.Sprint("live", i), fmt.Sprint("p", i%(live/crowd)), time.Hour)
	})
	load(t, b, expired, func(i int) model.Record {
		r := drivertest.Record(fmt.Sprint("old", i), "", 0)
		r.ExpiresAt = drivertest.Now.Add(-time.Duration(i) * time.Second)
		return r
	})
	ctx := t.Context()
	is := func(what string, got traffic, requests, scanned int, units float64) {
		t.Helper()
		t.Logf("%s: %d requests, %d items read, %.1f units", what, len(got.ops), got.scanned, got.capacity)
		if len(got.ops) > requests || got.scanned != scanned || got.capacity > units {
			t.Errorf("%s: %d requests, %d items read, %.1f units; want at most %d, %d, %.1f", what, len(got.ops), got.scanned, got.capacity, requests, scanned, units)
		}
	}

	p.take()
	wantCount(t, b, "principal", "p7", crowd)
	is("count by label", p.take(), 2, crowd, 3+crowd)

	pg, err := b.Page(ctx, drivertest.Now, driver.Query{Label: "principal", Value: "p7", Limit: 100})
	if err != nil || len(pg.Records) != crowd || pg.Next != "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("listing by label", p.take(), 2, crowd, 3+crowd)

	pg, err = b.Page(ctx, drivertest.Now, driver.Query{Limit: 100})
	if err != nil || pg.Next == "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("one page of all", p.take(), 1, 100, 10)

	wantSwept(t, b, 0, expired)
	got := p.take()
	if removals := strings.Count(strings.Join(got.ops, " "), "DeleteItem"); removals != expired {
		t.Errorf("%d removals sent, want %d", removals, expired)
	}
	is("sweep", got, defaultPartitions+expired, expired, 8+3*expired)

	wantSwept(t, b, 0, 0)
	is("sweep of nothing", p.take(), defaultPartitions, 0, 8)
}

// TestSweepKeepsToItsLimit sweeps in small steps. Each reads at most its share
// of each shard beyond what it removes.
func TestSweepKeepsToItsLimit(t *testing.T) {
	b, p := proxied(t, nil)
	load(t, b, 300, func(i int) model.Record {
		return drivertest.Expired(fmt.Sprint("old", i), "")
	})
	for left := 300; left > 0; {
		p.take()
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 40})
		if err != nil || swept.Removed > 40 || swept.Removed == 0 {
			t.Fatalf("%+v, %v", swept, err)
		}
		left -= swept.Removed
		if got := p.take(); got.scanned > 3*40+2*defaultPartitions || slices.Contains(got.ops, "Scan") {
			t.Errorf("%d items read for %d removals, with %v", got.scanned, swept.Removed, got.ops)
		}
	}
}
