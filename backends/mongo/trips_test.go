package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// trip is a call with the commands that it sends and the error that it returns.
type trip struct {
	drivertest.Call
	commands string
	want     error
}

// trips returns the calls whose commands are counted, given the stored record.
func trips(base model.Record) []trip {
	var out []trip
	commands := map[string]string{
		"create": "update", "create labelled": "update", "create over expired": "update", "upsert": "update",
		"update": "findAndModify", "update relabelled": "update", "compare-and-set": "update",
		"touch": "findAndModify", "touch known": "findAndModify", "extend": "findAndModify", "clear": "findAndModify",
		"delete": "delete", "delete known": "delete",
		"get": "find", "get many": "find", "page": "find", "page by label": "find", "count": "aggregate", "count by label": "aggregate",
		"sweep of nothing": "find", "ping": "ping",
	}
	for _, c := range append(drivertest.Writes(base), drivertest.Reads()...) {
		out = append(out, trip{c, commands[c.Name], nil})
	}
	add := func(name, commands string, want error, do func(ctx context.Context, b driver.ModelExpirySupport) error) {
		out = append(out, trip{drivertest.Call{Name: name, Do: do}, commands, want})
	}
	write := func(name, commands string, want error, id string, w driver.Write) {
		add(name, commands, want, func(ctx context.Context, b driver.ModelExpirySupport) error {
			w.Record = drivertest.Record(id, "bob", time.Hour)
			_, err := b.Write(ctx, drivertest.Now, w)
			return err
		})
	}
	both, other := driver.Keep{Expiry: true, Labels: true}, model.Record{Revision: model.NewRevision()}
	write("create over a live one", "update find", model.ErrExists, "id", driver.Write{Cond: driver.IfAbsent})
	write("update of a missing record", "update find", model.ErrNotFound, "none", driver.Write{Cond: driver.IfPresent})
	write("compare-and-set that keeps", "findAndModify", nil, "id", driver.Write{Cond: driver.IfMatch, Known: base, Keep: both})
	write("compare-and-set that loses", "findAndModify find", model.ErrConflict, "id", driver.Write{Cond: driver.IfMatch, Known: other, Keep: driver.Keep{Expiry: true}})
	add("delete that loses", "delete find", model.ErrConflict, func(ctx context.Context, b driver.ModelExpirySupport) error {
		return b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: other})
	})
	add("touch that changes nothing", "findAndModify", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
		_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchExtend, ExpiresAt: drivertest.Now.Add(time.Minute)})
		return err
	})
	for name, q := range map[string]driver.Query{
		"page of ids": {Limit: 100, KeysOnly: true}, "page that is full": {Limit: 2}, "page of nothing": {Limit: 100, Label: "principal", Value: "nobody"},
	} {
		add(name, "find", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Page(ctx, drivertest.Now, q)
			return err
		})
	}
	for name, onExpire := range map[string]func(model.Record) error{
		"sweep": nil, "sweep with announcements": func(model.Record) error { return nil },
	} {
		add(name, "find delete", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 100, OnExpire: onExpire})
			return err
		})
	}
	add("get three", "find", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
		return firstError(driver.GetMany(ctx, b, drivertest.Now, driver.Gets("many0", "many2", "many1")))
	})
	batch := func(name, commands string, want error, id string, c driver.Condition) {
		add(name, commands, want, func(ctx context.Context, b driver.ModelExpirySupport) error {
			ops := make([]driver.BatchOp, 3)
			for i := range ops {
				ops[i].Write = &driver.Write{Record: drivertest.Record(fmt.Sprint(id, i), "", 0), Cond: c}
			}
			return firstError(driver.WriteMany(ctx, b, drivertest.Now, ops))
		})
	}
	batch("upsert three", "update", nil, "many", driver.IfAny)
	batch("create three", "update", nil, "fresh", driver.IfAbsent)
	batch("create three over live ones", "update find", model.ErrExists, "many", driver.IfAbsent)
	batch("update three", "update update update", nil, "many", driver.IfPresent)
	add("delete three", "delete delete delete", nil, func(ctx context.Context, b driver.ModelExpirySupport) error {
		ops := make([]driver.BatchOp, 3)
		for i := range ops {
			ops[i].Delete = &driver.Delete{ID: fmt.Sprint("many", i), Cond: driver.IfPresent}
		}
		return firstError(driver.WriteMany(ctx, b, drivertest.Now, ops))
	})
	add("create storage again", "listCollections listIndexes aggregate", nil, driver.CreateStorage)
	return out
}

func firstError(results []driver.BatchResult) error {
	for _, o := range results {
		if o.Err != nil {
			return o.Err
		}
	}
	return nil
}

// TestTrips counts round trips on the wire.
func TestTrips(t *testing.T) {
	b, p := proxied(t, nil)
	for i := range trips(model.Record{}) {
		var many []model.Record
		for n := range 3 {
			many = append(many, drivertest.Record(fmt.Sprint("many", n), "ann", time.Hour))
		}
		drivertest.Seed(t, b, many...)
		test := trips(drivertest.SeedCalls(t, b))[i]
		t.Run(test.Name, func(t *testing.T) {
			p.take()
			if err := test.Do(t.Context(), b); !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if commands, _ := p.take(); strings.Join(commands, " ") != test.commands {
				t.Fatalf("sent %v, want %s", commands, test.commands)
			}
		})
	}
}

// TestFirstCall checks once that the collection exists.
func TestFirstCall(t *testing.T) {
	b, p := proxied(t, nil)
	again := another(t, b, nil)
	for range 2 {
		drivertest.Gone(t, again, "none")
	}
	if commands, _ := p.take(); strings.Join(commands, " ") != "listCollections find find" {
		t.Fatalf("sent %v", commands)
	}
}

// visited explains a command and returns how many index entries and documents
// the server reads for it, or false if the server cannot explain.
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
	if codeOf(err) == commandNotFound {
		t.Log("the server has no explain: only commands are counted")
		return 0, 0, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return most(raw, "totalKeysExamined"), most(raw, "totalDocsExamined"), true
}

// most returns the largest number with that name at any depth.
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

// TestCostInProportion has 20,000 live and 200 expired records. Of these, 50 and
// 5 have one label value. A call reads little more than what it returns.
func TestCostInProportion(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	const live, expired = 20_000, 200
	ops := make([]driver.BatchOp, 0, live+expired)
	for i := range live + expired {
		r := drivertest.Record(fmt.Sprintf("id%05d", i), "", time.Hour)
		if i%400 == 0 {
			r.Labels = map[string]string{"principal": "ann"}
		}
		if i >= live {
			r.ExpiresAt = drivertest.Now.Add(time.Duration(i-live-expired) * time.Second)
			if i%40 == 0 {
				r.Labels = map[string]string{"principal": "ann"}
			}
		}
		if i%2 == 0 {
			r.ExpiresAt = time.Time{}
			if i >= live {
				r.ExpiresAt = drivertest.Now
			}
		}
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAbsent}})
	}
	if err := firstError(b.WriteMany(ctx, drivertest.Now.Add(-24*time.Hour), ops)); err != nil {
		t.Fatal(err)
	}
	if commands, _ := p.take(); len(commands) != len(ops)/bulkStep+1 {
		t.Errorf("%d commands for %d creates", len(commands), len(ops))
	}
	db := b.coll.Database()
	wantCost := func(what string, commands, keys, docs int) {
		t.Helper()
		got, sent := p.take()
		if len(got) != commands {
			t.Fatalf("%s: sent %v, want %d commands", what, got, commands)
		}
		if k, d, ok := visited(t, db, sent[0]); ok && (k > keys || d > docs || k == 0 && keys > 1) {
			t.Errorf("%s: the server reads %d index entries and %d documents, want %d and %d at most", what, k, d, keys, docs)
		}
		p.take()
	}
	page, err := b.Page(ctx, drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 100})
	if err != nil || len(page.Records) != 50 || page.Next != "" {
		t.Fatalf("%d records, %q, %v", len(page.Records), page.Next, err)
	}
	wantCost("page by label", 1, 56, 55)
	if page, err = b.Page(ctx, drivertest.Now, driver.Query{Limit: 100}); err != nil || len(page.Records) != 100 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
	wantCost("page", 1, 101, 101)
	wantCount(t, b, driver.Query{Label: "principal", Value: "ann"}, 50)
	wantCost("count by label", 1, 56, 55)
	wantCount(t, b, driver.Query{}, live)
	wantCost("count", 1, live+1, live)
	// The server explains a find after the removals: the costs are those of what
	// is left.
	for _, sweep := range []struct {
		name                 string
		limit                int
		want                 driver.Swept
		commands, keys, docs int
	}{
		{"sweep to a limit", 150, driver.Swept{Removed: 150, More: true}, 2, 51, 50},
		{"sweep", 1000, driver.Swept{Removed: 50}, 2, 1, 0},
		{"sweep of nothing", 1000, driver.Swept{}, 1, 1, 0},
	} {
		seen := 0
		swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: sweep.limit, OnExpire: func(model.Record) error { seen++; return nil }})
		if err != nil || swept != sweep.want || seen != swept.Removed {
			t.Fatalf("%s: %+v, %v, %d announced; want %+v", sweep.name, swept, err, seen, sweep.want)
		}
		wantCost(sweep.name, sweep.commands, sweep.keys, sweep.docs)
	}
	if n, err := b.coll.CountDocuments(ctx, bson.D{}, options.Count()); err != nil || n != live {
		t.Fatalf("%d documents are left, %v", n, err)
	}
}
