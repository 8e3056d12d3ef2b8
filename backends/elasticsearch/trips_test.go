package elasticsearch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips counts requests on the wire, and fails when one grows.
func TestTrips(t *testing.T) {
	b, p := proxied(t)
	ctx := t.Context()
	write := func(w driver.Write) error { _, err := b.Write(ctx, testNow, w); return err }
	page := func(q driver.Query) error { _, err := b.Page(ctx, testNow, q); return err }
	count := func(label, value string) error {
		_, err := b.Count(ctx, testNow, driver.Query{Label: label, Value: value})
		return err
	}
	touch := func(mode driver.TouchMode, d time.Duration, prev model.Record) error {
		_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(d), Known: prev})
		return err
	}
	sweep := func(each func(model.Record) error) error {
		_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000, OnExpire: each})
		return err
	}
	var cur model.Record // what a Get has returned
	stored := func() { cur = put(t, b, record("id", "ann", time.Hour)) }
	touched := func() {
		stored()
		if err := touch(driver.TouchSet, 2*time.Hour, model.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	old := func(n int) func() {
		return func() {
			for i := range n {
				r := record(fmt.Sprint("old", i), "ann", 0)
				r.ExpiresAt = testNow
				seed(t, b, r)
			}
		}
	}
	rec := func(id, principal string) model.Record { return record(id, principal, time.Hour) }
	batch := func(ops ...driver.BatchOp) error {
		for _, o := range b.WriteMany(ctx, testNow, ops) {
			if o.Err != nil {
				return o.Err
			}
		}
		return nil
	}
	none := model.Record{}
	fails := func(want error, do func() error) func() error {
		return func() error {
			if err := do(); model.Kind(err) != want {
				return fmt.Errorf("%w, want %w", err, want)
			}
			return nil
		}
	}

	for _, test := range []struct {
		name   string
		before func()
		do     func() error
		ops    string // on the wire, in order
	}{
		{"get", stored, func() error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err }, "_mget"},
		{"get many", stored, func() error { return b.GetMany(ctx, testNow, driver.Gets("id", "x", "y"))[0].Err }, "_mget"},
		{"create", nil, func() error { return write(driver.Write{Record: rec("new", "ann"), Cond: driver.IfAbsent}) }, "_bulk"},
		{"create that fails", stored, fails(model.ErrExists, func() error { return write(driver.Write{Record: rec("id", ""), Cond: driver.IfAbsent}) }), "_bulk _mget"},
		{"create over expired", old(1), func() error { return write(driver.Write{Record: rec("old0", "ann"), Cond: driver.IfAbsent}) }, "_bulk _mget _bulk"},
		{"upsert", stored, func() error { return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfAny}) }, "_bulk"},
		{"update", stored, func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, "_mget _bulk"},
		{"compare-and-set", stored, func() error { return write(driver.Write{Record: rec("id", "bob"), Cond: driver.IfMatch, Known: cur}) }, "_bulk"},
		{"compare-and-set that keeps", stored, func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: cur, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, "_bulk"},
		{"compare-and-set without a hint", stored, func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: model.Record{Revision: cur.Revision}})
		}, "_mget _bulk"},
		{"compare-and-set after a touch", touched, func() error { return write(driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: cur}) }, "_bulk _mget _bulk"},
		{"compare-and-set that fails", func() { stored(); seed(t, b, rec("id", "")) }, fails(model.ErrConflict, func() error {
			return write(driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: cur})
		}), "_bulk _mget"},
		{"touch", stored, func() error { return touch(driver.TouchSet, 2*time.Hour, cur) }, "_bulk"},
		{"extend", stored, func() error { return touch(driver.TouchExtend, 2*time.Hour, cur) }, "_bulk"},
		{"clear", stored, func() error { return touch(driver.TouchClear, 0, cur) }, "_bulk"},
		{"touch by id", stored, func() error { return touch(driver.TouchSet, 2*time.Hour, none) }, "_mget _bulk"},
		{"touch that changes nothing", stored, func() error { return touch(driver.TouchExtend, time.Minute, cur) }, "_mget"},
		{"delete at a revision", stored, func() error { return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: cur}) }, "_bulk"},
		{"delete with prev", stored, func() error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent, Known: cur})
		}, "_bulk"},
		{"delete by id", stored, func() error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent, Known: none})
		}, "_mget _bulk"},
		{"page", stored, func() error { return page(driver.Query{Limit: 100}) }, "_refresh _search"},
		{"page of ids", stored, func() error { return page(driver.Query{Limit: 100, KeysOnly: true}) }, "_refresh _search"},
		{"page by label", stored, func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "ann"}) }, "_refresh _search"},
		{"count", stored, func() error { return count("", "") }, "_refresh _search"},
		{"count by label", stored, func() error { return count("principal", "ann") }, "_refresh _search"},
		{"batch of creates", nil, func() error {
			return batch(driver.BatchOp{Write: &driver.Write{Record: rec("n1", ""), Cond: driver.IfAbsent}}, driver.BatchOp{Write: &driver.Write{Record: rec("n2", ""), Cond: driver.IfAny}})
		}, "_bulk"},
		{"batch of all", stored, func() error {
			return batch(driver.BatchOp{Write: &driver.Write{Record: rec("n3", ""), Cond: driver.IfAbsent}},
				driver.BatchOp{Write: &driver.Write{Record: rec("id", ""), Cond: driver.IfMatch, Known: cur}},
				driver.BatchOp{Write: &driver.Write{Record: rec("n1", ""), Cond: driver.IfPresent}}, driver.BatchOp{Delete: &driver.Delete{ID: "n2", Cond: driver.IfPresent}})
		}, "_mget _bulk"},
		{"ping", nil, func() error { return b.Ping(ctx) }, "_mget"},
		{"sweep", old(3), func() error { return sweep(nil) }, "_refresh _search _bulk"},
		{"sweep with announcements", old(3), func() error { return sweep(func(model.Record) error { return nil }) }, "_refresh _search _bulk"},
		{"sweep of nothing", nil, func() error { return sweep(nil) }, "_refresh _search"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.before != nil {
				test.before()
			}
			p.take()
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
			if ops, _ := p.take(); strings.Join(ops, " ") != test.ops {
				t.Fatalf("on the wire: %v, want %s", ops, test.ops)
			}
		})
	}
}

// load puts n records into the index, as they would be written.
func load(t testing.TB, b *Backend, n int, of func(i int) model.Record) {
	t.Helper()
	ops := make([]driver.BatchOp, n)
	for i := range ops {
		ops[i].Write = &driver.Write{Record: of(i), Cond: driver.IfAny}
	}
	for _, o := range b.WriteMany(t.Context(), testNow, ops) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
}

// TestCostInProportion has 20,000 live records and 200 expired ones: a sweep,
// a listing and a count by label read what matches, whatever there is else. It
// also lists all of them, more than a search's window of 10,000.
func TestCostInProportion(t *testing.T) {
	b, p := proxied(t)
	const live, expired, crowd = 20_000, 200, 50
	load(t, b, live, func(i int) model.Record {
		return record(fmt.Sprint("live", i), fmt.Sprint("p", i%(live/crowd)), time.Hour)
	})
	load(t, b, expired, func(i int) model.Record {
		r := record(fmt.Sprint("old", i), "p7", 0)
		r.ExpiresAt = testNow.Add(-time.Duration(i) * time.Second)
		return r
	})
	ctx := t.Context()
	is := func(what string, requests, docs int) {
		t.Helper()
		got, read := p.take()
		if len(got) != requests || read != docs {
			t.Errorf("%s: %d requests, %d documents; want %d, %d", what, len(got), read, requests, docs)
		}
	}
	p.take()
	n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "p7"})
	if err != nil || n != crowd {
		t.Fatalf("%d, %v", n, err)
	}
	is("count by label", 2, 0)
	n, err = b.Count(ctx, testNow, driver.Query{Label: ""})
	if err != nil || n != live {
		t.Fatalf("%d, %v", n, err)
	}
	is("count", 2, 0)
	pg, err := b.Page(ctx, testNow, driver.Query{Label: "principal", Value: "p7", Limit: 100})
	if err != nil || len(pg.Records) != crowd || pg.Next != "" {
		t.Fatalf("%d, %v", len(pg.Records), err)
	}
	is("listing by label", 2, crowd)

	seen := map[string]bool{}
	pages := 0
	for q := (driver.Query{Limit: 1000, KeysOnly: true}); ; q.After = pg.Next {
		if pg, err = b.Page(ctx, testNow, q); err != nil {
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
		t.Fatalf("%d records listed on %d pages", len(seen), pages)
	}
	is("listing of all", 2*pages, live+pages-1) // a page looks at one more

	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000})
	if err != nil || swept.Removed != expired || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	is("sweep", 3, 2*expired) // found, and removed
	if swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000}); err != nil || swept.Removed != 0 {
		t.Fatalf("%+v, %v", swept, err)
	}
	is("sweep of nothing", 2, 0)
}

// TestSweepKeepsToItsLimit sweeps in small steps, and reads no more than it
// removes.
func TestSweepKeepsToItsLimit(t *testing.T) {
	b, p := proxied(t)
	load(t, b, 100, func(i int) model.Record {
		r := record(fmt.Sprint("old", i), "", 0)
		r.ExpiresAt = testNow
		return r
	})
	for _, want := range []int{40, 40, 20, 0} {
		p.take()
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow, Limit: 40})
		if err != nil || swept.Removed != want || swept.More != (want == 40) {
			t.Fatalf("%+v, %v, want %d", swept, err, want)
		}
		if _, docs := p.take(); docs != 2*want {
			t.Errorf("%d documents for %d removals", docs, want)
		}
	}
}
