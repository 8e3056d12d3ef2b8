package dynamodb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// metered makes a client ask what each request costs.
func metered(o *awsdynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Metered",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				const total = types.ReturnConsumedCapacityTotal
				switch p := in.Parameters.(type) {
				case *awsdynamodb.GetItemInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.BatchGetItemInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.PutItemInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.UpdateItemInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.DeleteItemInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.TransactWriteItemsInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.QueryInput:
					p.ReturnConsumedCapacity = total
				case *awsdynamodb.ScanInput:
					p.ReturnConsumedCapacity = total
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
	})
}

// measured is a backend on a table of its own, behind a proxy that counts
// requests, items and capacity units.
func measured(t testing.TB, opts *Options) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t, containers.DynamoDB(t).URL)
	return openOn(t, clientAt(t, p.url, metered), tableName(), opts), p
}

// TestTrips counts requests on the wire, and fails when one grows. The
// capacity units are those that DynamoDB Local states.
func TestTrips(t *testing.T) {
	b, p := measured(t, nil)
	ctx := t.Context()
	write := func(w driver.Write) error { _, err := b.Write(ctx, testNow, w); return err }
	page := func(q driver.Query) error { _, err := b.Page(ctx, testNow, q); return err }
	count := func(label, value string) error {
		_, err := b.Count(ctx, testNow, driver.Query{Label: label, Value: value})
		return err
	}
	touch := func(mode driver.TouchMode, d time.Duration) error {
		_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(d)})
		return err
	}
	del := func(c driver.Condition, prev model.Record) error {
		return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: c, Known: prev})
	}
	sweep := func(each func(model.Record) error) error {
		_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000, OnExpire: each})
		return err
	}
	plain, labelled := record("id", "", time.Hour), record("id", "ann", time.Hour)
	stored := func(r model.Record) func() { return func() { seed(t, b, r) } }
	old := func(principal string, n int) func() {
		return func() {
			for i := range n {
				r := record(fmt.Sprint("old", i), principal, 0)
				r.ExpiresAt = testNow
				seed(t, b, r)
			}
		}
	}
	rec := func(id, principal string) model.Record { return record(id, principal, time.Hour) }
	const (
		put    = "PutItem"
		update = "UpdateItem"
		remove = "DeleteItem"
		both   = "TransactWriteItems"
	)
	queries := strings.TrimSpace(strings.Repeat("Query ", shards))
	nothing := func(model.Record) error { return nil }

	tests := []struct {
		name   string
		before func()
		do     func() error
		ops    string // on the wire, in order
	}{
		{"get", stored(plain), func() error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err }, "GetItem"},
		{"get labelled", stored(labelled), func() error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err }, "GetItem"},
		{"create", nil, func() error { return write(driver.Write{Record: rec("new1", ""), Cond: driver.IfAbsent}) }, put},
		{"create labelled", nil, func() error { return write(driver.Write{Record: rec("new2", "ann"), Cond: driver.IfAbsent}) }, both},
		{"create over expired", old("", 1), func() error { return write(driver.Write{Record: rec("old0", ""), Cond: driver.IfAbsent}) }, put},
		{"create labelled over expired", old("", 1), func() error { return write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}) }, both},
		{"create over expired of the same label", old("ann", 1), func() error { return write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}) }, both},
		{"create over expired of another label", old("bob", 1), func() error { return write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}) }, both + " " + both},
		{"upsert", stored(plain), func() error { return write(driver.Write{Record: rec("id", ""), Cond: driver.IfAny}) }, put},
		{"upsert of the same label", stored(labelled), func() error { return write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfAny}) }, both},
		{"upsert of another label", stored(labelled), func() error { return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfAny}) }, both + " " + both},
		{"update", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, update},
		{"update with an expiry", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}})
		}, update},
		{"update with the same label", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
		}, update},
		{"update with a first label", stored(plain), func() error { return write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfPresent}) }, both},
		{"update with another label", stored(labelled), func() error { return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfPresent}) }, both + " " + both},
		{"update with another label that keeps the expiry", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
		}, update + " " + both},
		{"compare-and-set", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", "ann"), Cond: driver.IfMatch, Known: labelled})
		}, put},
		{"compare-and-set of another label", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfMatch, Known: labelled})
		}, both},
		{"compare-and-set that keeps", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: labelled, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, update},
		{"compare-and-set of another label that keeps the expiry", stored(labelled), func() error {
			return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfMatch, Known: labelled, Keep: driver.Keep{Expiry: true}})
		}, both},
		{"touch", stored(plain), func() error { return touch(driver.TouchSet, 2*time.Hour) }, update},
		{"touch labelled", stored(labelled), func() error { return touch(driver.TouchSet, 2*time.Hour) }, update},
		{"extend labelled", stored(labelled), func() error { return touch(driver.TouchExtend, 2*time.Hour) }, update},
		{"touch that changes nothing", stored(labelled), func() error { return touch(driver.TouchExtend, time.Minute) }, update},
		{"clear", stored(labelled), func() error { return touch(driver.TouchClear, 0) }, update},
		{"delete by id", stored(plain), func() error { return del(driver.IfPresent, model.Record{}) }, remove},
		{"delete labelled by id", stored(labelled), func() error { return del(driver.IfPresent, model.Record{}) }, remove + " " + both},
		{"delete labelled with prev", stored(labelled), func() error { return del(driver.IfPresent, labelled) }, both},
		{"delete at a revision", stored(labelled), func() error { return del(driver.IfMatch, labelled) }, both},
		{"page", stored(labelled), func() error { return page(driver.Query{Limit: 100}) }, "Scan"},
		{"page of ids", stored(labelled), func() error { return page(driver.Query{Limit: 100, KeysOnly: true}) }, "Scan"},
		{"page by label", stored(labelled), func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "ann"}) }, "Query BatchGetItem"},
		{"page of nothing", nil, func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "nobody"}) }, "Query"},
		{"count", nil, func() error { return count("", "") }, "Scan"},
		{"count by label", stored(labelled), func() error { return count("principal", "ann") }, "Query BatchGetItem"},
		{"get many", stored(labelled), func() error { return b.GetMany(ctx, testNow, driver.Gets("id", "x", "y"))[0].Err }, "BatchGetItem"},
		{"ping", nil, func() error { return b.Ping(ctx) }, "GetItem"},
		{"sweep", old("", 1), func() error { return sweep(nil) }, queries + " " + remove},
		{"sweep labelled", old("ann", 2), func() error { return sweep(nil) }, queries + " " + both + " " + both},
		{"sweep with announcements", old("ann", 1), func() error { return sweep(nothing) }, queries + " BatchGetItem " + both},
		{"sweep of nothing", nil, func() error { return sweep(nil) }, queries},
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
			if strings.Join(got.ops, " ") != test.ops {
				t.Fatalf("on the wire: %v, want %s", got.ops, test.ops)
			}
		})
	}
}

// load puts n records into the table, 25 items a request, as they would be
// written.
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
		_, errs[i] = b.client.BatchWriteItem(t.Context(), &awsdynamodb.BatchWriteItemInput{RequestItems: in})
	})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCostInProportion has 20,000 live records and 200 expired ones: a sweep,
// a listing and a count by label look at what matches, whatever there is else.
func TestCostInProportion(t *testing.T) {
	b, p := measured(t, nil)
	const live, expired, crowd = 20_000, 200, 50
	load(t, b, live, func(i int) model.Record {
		return record(fmt.Sprint("live", i), fmt.Sprint("p", i%(live/crowd)), time.Hour)
	})
	load(t, b, expired, func(i int) model.Record {
		r := record(fmt.Sprint("old", i), "", 0)
		r.ExpiresAt = testNow.Add(-time.Duration(i) * time.Second)
		return r
	})
	ctx := t.Context()
	is := func(what string, got traffic, requests, scanned int, units float64) {
		t.Helper()
		t.Logf("%s: %d requests, %d items looked at, %.1f units", what, len(got.ops), got.scanned, got.capacity)
		if len(got.ops) > requests || got.scanned != scanned || got.capacity > units {
			t.Errorf("%s: %d requests, %d items looked at, %.1f units; want at most %d, %d, %.1f", what, len(got.ops), got.scanned, got.capacity, requests, scanned, units)
		}
	}

	p.take()
	n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "p7"})
	if err != nil || n != crowd {
		t.Fatalf("%d, %v", n, err)
	}
	is("count by label", p.take(), 2, crowd, 3+crowd)

	pg, err := b.Page(ctx, testNow, driver.Query{Label: "principal", Value: "p7", Limit: 100})
	if err != nil || len(pg.Records) != crowd || pg.Next != "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("listing by label", p.take(), 2, crowd, 3+crowd)

	pg, err = b.Page(ctx, testNow, driver.Query{Limit: 100})
	if err != nil || pg.Next == "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("one page of all", p.take(), 1, 100, 10)

	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000})
	if err != nil || swept.Removed != expired || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	got := p.take()
	removals := 0
	for _, op := range got.ops {
		if op == "DeleteItem" {
			removals++
		}
	}
	if removals != expired {
		t.Errorf("%d removals on the wire, want %d", removals, expired)
	}
	is("sweep", got, shards+expired, expired, 8+3*expired)

	if swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000}); err != nil || swept.Removed != 0 {
		t.Fatalf("%+v, %v", swept, err)
	}
	is("sweep of nothing", p.take(), shards, 0, 8)
}

// TestSweepKeepsToItsLimit sweeps in small steps, and reads no more of the
// index than a share for each of its shards beyond what it removes.
func TestSweepKeepsToItsLimit(t *testing.T) {
	b, p := measured(t, nil)
	load(t, b, 300, func(i int) model.Record {
		r := record(fmt.Sprint("old", i), "", 0)
		r.ExpiresAt = testNow
		return r
	})
	for left := 300; left > 0; {
		p.take()
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow, Limit: 40})
		if err != nil || swept.Removed > 40 || swept.Removed == 0 {
			t.Fatalf("%+v, %v", swept, err)
		}
		left -= swept.Removed
		if got := p.take(); got.scanned > 3*40+2*shards || slices.Contains(got.ops, "Scan") {
			t.Errorf("%d items looked at for %d removals, with %v", got.scanned, swept.Removed, got.ops)
		}
	}
}
