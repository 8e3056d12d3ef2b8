package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// trips are calls beyond those of drivertest, given the record that
// drivertest.SeedCalls returned.
func trips(base model.Record) []drivertest.Call {
	call := func(name string, do func(ctx context.Context, b driver.ModelExpirySupport) error) drivertest.Call {
		return drivertest.Call{Name: name, Do: do}
	}
	next := drivertest.Record("id", "bob", time.Hour)
	write := func(name string, w driver.Write) drivertest.Call {
		return call(name, func(ctx context.Context, b driver.ModelExpirySupport) error {
			w.Record = next
			_, err := b.Write(ctx, drivertest.Now, w)
			return err
		})
	}
	touch := func(name string, mode driver.TouchMode, d time.Duration) drivertest.Call {
		return call(name, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: drivertest.Now.Add(d), Known: base})
			return err
		})
	}
	sweep := func(name string, onExpire func(model.Record) error) drivertest.Call {
		return call(name, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 1000, OnExpire: onExpire})
			return err
		})
	}
	op := func(id string, c driver.Condition) driver.BatchOp {
		return driver.BatchOp{Write: &driver.Write{Record: drivertest.Record(id, "", time.Hour), Cond: c, Known: base}}
	}
	return []drivertest.Call{
		write("create that fails", driver.Write{Cond: driver.IfAbsent}),
		write("compare-and-set that keeps", driver.Write{Cond: driver.IfMatch, Known: base, Keep: driver.Keep{Expiry: true, Labels: true}}),
		write("compare-and-set without a server version", driver.Write{Cond: driver.IfMatch, Known: model.Record{Revision: base.Revision}}),
		touch("extend known", driver.TouchExtend, 2*time.Hour),
		touch("clear known", driver.TouchClear, 0),
		touch("touch that changes nothing", driver.TouchExtend, time.Minute),
		call("delete of any revision, known", func(ctx context.Context, b driver.ModelExpirySupport) error {
			return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent, Known: base})
		}),
		call("get three", func(ctx context.Context, b driver.ModelExpirySupport) error {
			return driver.GetMany(ctx, b, drivertest.Now, driver.Gets("id", "x", "y"))[0].Err
		}),
		call("page of ids", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 100, KeysOnly: true})
			return err
		}),
		batch("batch of creates", op("new", driver.IfAbsent), op("plain", driver.IfAny)),
		batch("batch of all", op("new", driver.IfAbsent), op("id", driver.IfMatch), op("n1", driver.IfPresent),
			driver.BatchOp{Delete: &driver.Delete{ID: "n2", Cond: driver.IfPresent}}),
		sweep("sweep", nil),
		sweep("sweep with OnExpire", func(model.Record) error { return nil }),
	}
}

// TestTrips fails if a call sends other requests than these.
func TestTrips(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	for _, test := range []struct {
		name, requests string
		want           error
	}{
		{"get", "_mget", nil},
		{"get many", "_mget", nil},
		{"get three", "_mget", nil},
		{"create", "_bulk/create", nil},
		{"create labelled", "_bulk/create", nil},
		{"create that fails", "_bulk/create _mget", model.ErrExists},
		{"create over expired", "_bulk/create _mget _bulk/index", nil},
		{"upsert", "_bulk/index", nil},
		{"update", "_mget _bulk/index", nil},
		{"update relabelled", "_mget _bulk/index", nil},
		{"compare-and-set", "_bulk/index", nil},
		{"compare-and-set that keeps", "_bulk/index", nil},
		{"compare-and-set without a server version", "_mget _bulk/index", nil},
		{"compare-and-set after a touch", "_bulk/index _mget _bulk/index", nil},
		{"compare-and-set that fails", "_bulk/index _mget", model.ErrConflict},
		{"touch", "_mget _bulk/update", nil},
		{"touch known", "_bulk/update", nil},
		{"extend", "_mget _bulk/update", nil},
		{"extend known", "_bulk/update", nil},
		{"clear", "_mget _bulk/update", nil},
		{"clear known", "_bulk/update", nil},
		{"touch that changes nothing", "_mget", nil},
		{"delete", "_mget _bulk/delete", nil},
		{"delete known", "_bulk/delete", nil},
		{"delete of any revision, known", "_bulk/delete", nil},
		{"page", "_refresh _search", nil},
		{"page of ids", "_refresh _search", nil},
		{"page by label", "_refresh _search", nil},
		{"count", "_refresh _search", nil},
		{"count by label", "_refresh _search", nil},
		{"batch of creates", "_bulk/create", nil},
		{"batch of all", "_mget _bulk/create", nil},
		{"ping", "_mget", nil},
		{"sweep", "_refresh _search _bulk/delete", nil},
		{"sweep with OnExpire", "_refresh _search _bulk/delete", nil},
		{"sweep of nothing", "_refresh _search", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			forget(t, b, "new", "plain")
			drivertest.Seed(t, b, drivertest.Record("n1", "", 0), drivertest.Record("n2", "", 0), drivertest.Expired("old2", ""))
			base := drivertest.SeedCalls(t, b)
			name := test.name
			switch name {
			case "compare-and-set after a touch":
				name = "compare-and-set"
				must(t, drivertest.Pick(t, drivertest.Writes(base), "touch")[0].Do(t.Context(), b))
			case "compare-and-set that fails":
				name = "compare-and-set"
				drivertest.Seed(t, b, drivertest.Record("id", "", time.Hour))
			}
			c := drivertest.Pick(t, slices.Concat(drivertest.Writes(base), drivertest.Reads(), trips(base)), name)[0]
			wire.Requests()
			err := c.Do(t.Context(), b)
			if sent := strings.Join(wire.Requests(), " "); !errors.Is(err, test.want) || sent != test.requests {
				t.Fatalf("sent %s, error %v; want %s, %v", sent, err, test.requests, test.want)
			}
		})
	}
}

// load stores n records.
func load(t testing.TB, b *Backend, n int, of func(i int) model.Record) {
	t.Helper()
	recs := make([]model.Record, n)
	for i := range recs {
		recs[i] = of(i)
	}
	drivertest.Seed(t, b, recs...)
}

// TestCostInProportion has 20,000 live records and 200 expired ones. A sweep, a
// listing and a count by label read only what matches. It also lists all
// records, more than the server's search window of 10,000.
func TestCostInProportion(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	const live, expired, crowd = 20_000, 200, 50
	load(t, b, live, func(i int) model.Record {
		return drivertest.Record(fmt.Sprint("live", i), fmt.Sprint("p", i%(live/crowd)), time.Hour)
	})
	load(t, b, expired, func(i int) model.Record {
		return drivertest.Record(fmt.Sprint("old", i), "p7", -time.Duration(i+1)*time.Second)
	})
	ctx := t.Context()
	sent := func(what string, requests, docs int) {
		t.Helper()
		got, read := wire.take()
		if len(got) != requests || read != docs {
			t.Errorf("%s: %d requests, %d documents; want %d, %d", what, len(got), read, requests, docs)
		}
	}
	wire.take()
	for _, test := range []struct {
		name string
		q    driver.Query
		want int
	}{{"count by label", driver.Query{Label: "principal", Value: "p7"}, crowd}, {"count", driver.Query{}, live}} {
		if n, err := b.Count(ctx, drivertest.Now, test.q); err != nil || n != test.want {
			t.Fatalf("%s: %d, %v; want %d", test.name, n, err, test.want)
		}
		sent(test.name, 2, 0)
	}
	pg, err := b.Page(ctx, drivertest.Now, driver.Query{Label: "principal", Value: "p7", Limit: 100})
	if err != nil || len(pg.Records) != crowd || pg.Next != "" {
		t.Fatalf("%d records, %v; want %d", len(pg.Records), err, crowd)
	}
	sent("listing by label", 2, crowd)

	seen := map[string]bool{}
	pages := 0
	for q := (driver.Query{Limit: 1000, KeysOnly: true}); ; q.After = pg.Next {
		if pg, err = b.Page(ctx, drivertest.Now, q); err != nil {
			t.Fatal(err)
		}
		pages++
		for _, r := range pg.Records {
			seen[r.ID] = true
		}
		if pg.Next == "" {
			break
		}
	}
	if len(seen) != live || pages != live/1000 {
		t.Fatalf("%d records on %d pages, want %d on %d", len(seen), pages, live, live/1000)
	}
	sent("listing of all", 2*pages, live+pages-1) // each page but the last reads one more

	for _, want := range []int{expired, 0} {
		swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 1000})
		if err != nil || swept.Removed != want || swept.More {
			t.Fatalf("swept %+v, %v; want %d", swept, err, want)
		}
		if want > 0 {
			sent("sweep", 3, 2*want) // found, and removed
		} else {
			sent("sweep of nothing", 2, 0)
		}
	}
}

// TestSweepKeepsToItsLimit sweeps in small steps. A sweep reads no more than it
// removes.
func TestSweepKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	b, wire := proxied(t)
	load(t, b, 100, func(i int) model.Record { return drivertest.Expired(fmt.Sprint("old", i), "") })
	for _, want := range []int{40, 40, 20, 0} {
		wire.take()
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 40})
		if err != nil || swept.Removed != want || swept.More != (want == 40) {
			t.Fatalf("swept %+v, %v; want %d", swept, err, want)
		}
		if _, docs := wire.take(); docs != 2*want {
			t.Errorf("%d documents for %d removals, want %d", docs, want, 2*want)
		}
	}
}
