package mongo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips counts round trips on the wire, and fails when one grows.
func TestTrips(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	write := func(w driver.Write) error { _, err := b.Write(ctx, testNow, w); return err }
	page := func(q driver.Query) error { _, err := b.Page(ctx, testNow, q); return err }
	count := func(label, value string) error {
		_, err := b.Count(ctx, testNow, driver.Query{Label: label, Value: value})
		return err
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) error {
		_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(ttl)})
		return err
	}
	sweep := func(each func(model.Record) error) error {
		_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 100, OnExpire: each})
		return err
	}
	expired := func() {
		for i := range 5 {
			r := record(fmt.Sprint("old", i), "ann", 0)
			r.ExpiresAt = testNow
			seed(t, b, r)
		}
	}
	base := record("id", "ann", time.Hour)
	other := model.Record{Revision: model.NewRevision()}
	stored := func() { seed(t, b, base) }
	batch := func(op func(i int) driver.BatchOp) error {
		ops := []driver.BatchOp{op(0), op(1), op(2)}
		for _, o := range b.WriteMany(ctx, testNow, ops) {
			if o.Err != nil {
				return o.Err
			}
		}
		return nil
	}
	three := func() {
		for i := range 3 {
			seed(t, b, record(fmt.Sprint("many", i), "ann", time.Hour))
		}
	}

	tests := []struct {
		name     string
		before   func()
		do       func() error
		want     error
		commands string
	}{
		{"get", stored, func() error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err }, nil, "find"},
		{"create", nil, func() error {
			return write(driver.Write{Record: record("new", "ann", time.Hour), Cond: driver.IfAbsent})
		}, nil, "update"},
		{"create over expired", expired, func() error {
			return write(driver.Write{Record: record("old0", "ann", time.Hour), Cond: driver.IfAbsent})
		}, nil, "update"},
		{"create over a live one", stored, func() error { return write(driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent}) }, model.ErrExists, "update find"},
		{"upsert", stored, func() error { return write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfAny}) }, nil, "update"},
		{"update", stored, func() error { return write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfPresent}) }, nil, "update"},
		{"update that keeps", stored, func() error {
			return write(driver.Write{Record: record("id", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, nil, "findAndModify"},
		{"update of none", nil, func() error { return write(driver.Write{Record: record("none", "", 0), Cond: driver.IfPresent}) }, model.ErrNotFound, "update find"},
		{"compare-and-set", stored, func() error {
			return write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfMatch, Known: base})
		}, nil, "update"},
		{"compare-and-set that keeps", stored, func() error {
			return write(driver.Write{Record: record("id", "", 0), Cond: driver.IfMatch, Known: base, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, nil, "findAndModify"},
		{"compare-and-set that loses", stored, func() error {
			return write(driver.Write{Record: record("id", "", 0), Cond: driver.IfMatch, Known: other, Keep: driver.Keep{Expiry: true}})
		}, model.ErrConflict, "findAndModify find"},
		{"touch", stored, func() error { return touch(driver.TouchSet, 2*time.Hour) }, nil, "findAndModify"},
		{"touch that changes nothing", stored, func() error { return touch(driver.TouchExtend, time.Minute) }, nil, "findAndModify"},
		{"clear", stored, func() error { return touch(driver.TouchClear, 0) }, nil, "findAndModify"},
		{"delete", stored, func() error { return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}) }, nil, "delete"},
		{"delete at a revision", stored, func() error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base})
		}, nil, "delete"},
		{"delete that loses", stored, func() error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: other})
		}, model.ErrConflict, "delete find"},
		{"page", stored, func() error { return page(driver.Query{Limit: 100}) }, nil, "find"},
		{"page of ids", stored, func() error { return page(driver.Query{Limit: 100, KeysOnly: true}) }, nil, "find"},
		{"page that is full", three, func() error { return page(driver.Query{Limit: 2}) }, nil, "find"},
		{"page by label", stored, func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "ann"}) }, nil, "find"},
		{"page of nothing", nil, func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "nobody"}) }, nil, "find"},
		{"count", stored, func() error { return count("", "") }, nil, "aggregate"},
		{"count by label", expired, func() error { return count("principal", "ann") }, nil, "aggregate"},
		{"sweep", expired, func() error { return sweep(nil) }, nil, "find delete"},
		{"sweep with announcements", expired, func() error { return sweep(func(model.Record) error { return nil }) }, nil, "find delete"},
		{"sweep of nothing", nil, func() error { return sweep(nil) }, nil, "find"},
		{"get many", three, func() error {
			for _, o := range b.GetMany(ctx, testNow, driver.Gets("many0", "many2", "many1")) {
				if o.Err != nil {
					return o.Err
				}
			}
			return nil
		}, nil, "find"},
		{"upsert many", three, func() error {
			return batch(func(i int) driver.BatchOp {
				return driver.BatchOp{Write: &driver.Write{Record: record(fmt.Sprint("many", i), "", 0), Cond: driver.IfAny}}
			})
		}, nil, "update"},
		{"create many", nil, func() error {
			return batch(func(i int) driver.BatchOp {
				return driver.BatchOp{Write: &driver.Write{Record: record(fmt.Sprint("fresh", i), "", 0), Cond: driver.IfAbsent}}
			})
		}, nil, "update"},
		{"create many that are there", three, func() error {
			return batch(func(i int) driver.BatchOp {
				return driver.BatchOp{Write: &driver.Write{Record: record(fmt.Sprint("many", i), "", 0), Cond: driver.IfAbsent}}
			})
		}, model.ErrExists, "update find"},
		{"update many", three, func() error {
			return batch(func(i int) driver.BatchOp {
				return driver.BatchOp{Write: &driver.Write{Record: record(fmt.Sprint("many", i), "", 0), Cond: driver.IfPresent}}
			})
		}, nil, "update update update"},
		{"delete many", three, func() error {
			return batch(func(i int) driver.BatchOp {
				return driver.BatchOp{Delete: &driver.Delete{ID: fmt.Sprint("many", i), Cond: driver.IfPresent}}
			})
		}, nil, "delete delete delete"},
		{"create storage that is there", nil, func() error { return b.CreateStorage(ctx) }, nil, "listCollections listIndexes"},
		{"ping", nil, func() error { return b.Ping(ctx) }, nil, "ping"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.before != nil {
				test.before()
			}
			p.take()
			if err := test.do(); test.want == nil && err != nil || test.want != nil && model.Kind(err) != test.want {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if commands, _ := p.take(); strings.Join(commands, " ") != test.commands {
				t.Fatalf("on the wire: %v, want %s", commands, test.commands)
			}
		})
	}
}

// TestFirstCall looks once whether the collection is there, and no more.
func TestFirstCall(t *testing.T) {
	b, p := proxied(t, nil)
	again, err := New(b.coll.Database(), b.coll.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.take()
	for range 2 {
		if _, err := again.Get(t.Context(), testNow, driver.Get{ID: "none"}); model.Kind(err) != model.ErrNotFound {
			t.Fatal(err)
		}
	}
	if commands, _ := p.take(); strings.Join(commands, " ") != "listCollections find find" {
		t.Fatalf("on the wire: %v", commands)
	}
}

// visited is how many index entries and documents a command made the server
// look at: it carries the command out again, and tells. Not all servers can.
func visited(t *testing.T, db *mongodriver.Database, sent bson.Raw) (keys, docs int, ok bool) {
	t.Helper()
	elements, err := sent.Elements()
	if err != nil {
		t.Fatal(err)
	}
	var plain bson.D
	for _, e := range elements {
		switch e.Key() {
		case "lsid", "$db", "$clusterTime", "$readPreference", "txnNumber", "readConcern", "writeConcern":
		default:
			plain = append(plain, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	raw, err := db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: plain}, {Key: "verbosity", Value: "executionStats"}}).Raw()
	const commandNotFound = 59
	if codeOf(err) == commandNotFound {
		t.Log("the server has no explain: only requests are counted")
		return 0, 0, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return most(raw, "totalKeysExamined"), most(raw, "totalDocsExamined"), true
}

// most is the largest number of that name, at whatever depth.
func most(raw bson.Raw, name string) int {
	n := 0
	elements, _ := raw.Elements()
	for _, e := range elements {
		v := e.Value()
		if got, ok := v.AsInt64OK(); ok && e.Key() == name {
			n = max(n, int(got))
		}
		if v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray {
			n = max(n, most(v.Value, name))
		}
	}
	return n
}

// TestCostInProportion has 20,000 live and 200 expired records, of which 50
// and 5 bear one label: what a call visits follows from what it is about.
func TestCostInProportion(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	const live, expired = 20_000, 200
	ops := make([]driver.BatchOp, 0, live+expired)
	for i := range live + expired {
		r := record(fmt.Sprintf("id%05d", i), "", time.Hour)
		if i%400 == 0 {
			r.Labels = map[string]string{"principal": "ann"}
		}
		if i >= live {
			r.ExpiresAt = testNow.Add(time.Duration(i-live-expired) * time.Second)
			if i%40 == 0 {
				r.Labels = map[string]string{"principal": "ann"}
			}
		}
		if i%2 == 0 {
			r.ExpiresAt = time.Time{}
			if i >= live {
				r.ExpiresAt = testNow
			}
		}
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAbsent}})
	}
	for _, o := range b.WriteMany(ctx, testNow.Add(-24*time.Hour), ops) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	if commands, _ := p.take(); len(commands) != len(ops)/bulkStep+1 {
		t.Errorf("%d commands for %d creates", len(commands), len(ops))
	}
	db := b.coll.Database()
	at := func(what string, commands, keys, docs int) {
		t.Helper()
		got, sent := p.take()
		if len(got) != commands {
			t.Fatalf("%s: %v on the wire, want %d", what, got, commands)
		}
		if k, d, ok := visited(t, db, sent[0]); ok && (k > keys || d > docs || k == 0 && keys > 1) {
			t.Errorf("%s: the server looked at %d index entries and %d documents, want %d and %d at most", what, k, d, keys, docs)
		}
		p.take()
	}
	page, err := b.Page(ctx, testNow, driver.Query{Label: "principal", Value: "ann", Limit: 100})
	if err != nil || len(page.Records) != 50 || page.Next != "" {
		t.Fatalf("%d records, %q, %v", len(page.Records), page.Next, err)
	}
	at("page by label", 1, 56, 55)
	if page, err = b.Page(ctx, testNow, driver.Query{Limit: 100}); err != nil || len(page.Records) != 100 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
	at("page", 1, 101, 101)
	if n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 50 {
		t.Fatalf("%d, %v", n, err)
	}
	at("count by label", 1, 56, 55)
	if n, err := b.Count(ctx, testNow, driver.Query{Label: ""}); err != nil || n != live {
		t.Fatalf("%d, %v", n, err)
	}
	at("count", 1, live+1, live)
	seen := 0
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 150, OnExpire: func(model.Record) error { seen++; return nil }})
	if err != nil || swept.Removed != 150 || !swept.More || seen != 150 {
		t.Fatalf("%+v, %v, %d announced", swept, err, seen)
	}
	at("sweep", 2, 151, 150)
	swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000})
	if err != nil || swept.Removed != 50 || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	p.take()
	if swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1000}); err != nil || swept.Removed != 0 {
		t.Fatalf("%+v, %v", swept, err)
	}
	at("sweep of nothing", 1, 1, 0)
	if n, err := b.coll.CountDocuments(ctx, bson.D{}, options.Count()); err != nil || n != live {
		t.Fatalf("%d documents are left, %v", n, err)
	}
}
