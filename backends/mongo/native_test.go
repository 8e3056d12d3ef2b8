package mongo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func bearers(t testing.TB, b *Backend, value string) []string {
	t.Helper()
	p, err := b.Page(t.Context(), testNow, driver.Query{Label: "principal", Value: value, Limit: 100, KeysOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range p.Records {
		ids = append(ids, r.ID)
	}
	return ids
}

// plainly is the document as any client reads it.
func plainly(t testing.TB, b *Backend, id string) bson.M {
	t.Helper()
	var doc bson.M
	c := clientOf(t, clientOptions(t)).Database(databaseName).Collection(b.coll.Name())
	if err := c.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestPlainDocument reads a record with the vendor's client alone.
func TestPlainDocument(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "tenant"}})
	r := record("$a.b", "ann", time.Hour)
	r.Labels["tenant"] = "t"
	never := record("never", "", 0)
	never.Value = []byte("\xff")
	seed(t, b, r, never)
	want := bson.M{
		"_id": "$a.b", "sojourn": int32(1), "rev": bson.Binary{Data: r.Revision[:]}, "exp": bson.NewDateTimeFromTime(r.ExpiresAt),
		"lab": bson.D{{Key: "principal", Value: "ann"}, {Key: "tenant", Value: "t"}}, "enc": "json", "val": string(r.Value),
	}
	if got := plainly(t, b, "$a.b"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	want = bson.M{
		"_id": "never", "sojourn": int32(1), "rev": bson.Binary{Data: never.Revision[:]}, "enc": "json", "val": bson.Binary{Data: []byte("\xff")},
		"exp": bson.NewDateTimeFromTime(time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)), "ever": true,
	}
	if got := plainly(t, b, "never"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestLastInstant tells an expiry at the end of the year 9999 from none.
func TestLastInstant(t *testing.T) {
	b := open(t, nil)
	r := record("id", "", 0)
	r.ExpiresAt = time.UnixMilli(int64(lastInstant)).UTC()
	seed(t, b, r)
	is := func(step string, want time.Time) {
		t.Helper()
		if got, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); err != nil || !got.ExpiresAt.Equal(want) {
			t.Fatalf("%s: %v, %v, want %v", step, got.ExpiresAt, err, want)
		}
	}
	is("write", r.ExpiresAt)
	for _, step := range []struct {
		mode     driver.TouchMode
		at, want time.Time
	}{
		{driver.TouchClear, time.Time{}, time.Time{}}, {driver.TouchExtend, testNow.Add(time.Hour), time.Time{}},
		{driver.TouchExtend, r.ExpiresAt, time.Time{}}, {driver.TouchSet, testNow.Add(time.Hour), testNow.Add(time.Hour)},
		{driver.TouchExtend, r.ExpiresAt, r.ExpiresAt}, {driver.TouchSet, testNow.Add(time.Minute), testNow.Add(time.Minute)},
	} {
		got, err := b.Touch(t.Context(), testNow, driver.Touch{ID: "id", Mode: step.mode, ExpiresAt: step.at})
		if err != nil || !got.ExpiresAt.Equal(step.want) {
			t.Fatalf("%+v: %v, %v", step, got.ExpiresAt, err)
		}
		is(fmt.Sprint(step), step.want)
	}
}

// TestQueryable finds a record by its value's members, with the vendor's
// client; the copy is the current value's, or none, and is never read back.
func TestQueryable(t *testing.T) {
	b := open(t, &Options{Queryable: true})
	ctx := t.Context()
	found := func(filter bson.D, want ...string) {
		t.Helper()
		cur, err := b.coll.Find(ctx, filter, options.Find().SetSort(idKeys))
		if err != nil {
			t.Fatal(err)
		}
		var docs []struct {
			ID string `bson:"_id"`
		}
		if err := cur.All(ctx, &docs); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range docs {
			ids = append(ids, d.ID)
		}
		if !slices.Equal(ids, want) {
			t.Fatalf("%v finds %v, want %v", filter, ids, want)
		}
	}
	write := func(id, value string, w driver.Write) {
		t.Helper()
		rev := w.Record.Revision
		if w.Record = record(id, "ann", time.Hour); !rev.IsZero() {
			w.Record.Revision = rev
		}
		w.Record.Value = []byte(value)
		if _, err := b.Write(ctx, testNow, w); err != nil {
			t.Fatal(err)
		}
	}
	write("a", `{"customer":{"city":"Ulm"},"total":12.5,"items":[1,2],"$x":{"$y":true}}`, driver.Write{Cond: driver.IfAbsent})
	write("b", `{"customer":{"city":"Bern"},"total":7}`, driver.Write{Cond: driver.IfAny})
	write("c", `{`, driver.Write{Cond: driver.IfAny})
	found(bson.D{{Key: "copy.customer.city", Value: "Ulm"}}, "a")
	found(bson.D{{Key: "copy.total", Value: bson.D{{Key: "$lt", Value: 10}}}}, "b")
	found(bson.D{{Key: "copy.＄x.＄y", Value: true}}, "a")
	found(bson.D{{Key: "copy", Value: bson.D{{Key: "$exists", Value: false}}}}, "c")
	write("a", `{"customer":{"city":"Rom"}}`, driver.Write{Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
	write("b", `{"customer":{"city":"Rom"}}`, driver.Write{Cond: driver.IfPresent})
	found(bson.D{{Key: "copy.customer.city", Value: "Rom"}}, "a", "b")
	if _, err := b.coll.UpdateOne(ctx, byID("b"), bson.D{{Key: "$set", Value: bson.D{{Key: "copy", Value: "damaged"}}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(ctx, testNow, driver.Get{ID: "b"}); err != nil || string(got.Value) != `{"customer":{"city":"Rom"}}` {
		t.Fatalf("%+v, %v", got, err)
	}
	// Another node, without the option, leaves no stale copy.
	plain, err := New(b.coll.Database(), b.coll.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []driver.Write{
		{Record: record("a", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}}, {Record: record("b", "", 0), Cond: driver.IfPresent},
	} {
		if _, err := plain.Write(ctx, testNow, w); err != nil {
			t.Fatal(err)
		}
	}
	found(bson.D{{Key: "copy", Value: bson.D{{Key: "$exists", Value: true}}}})
}

// TestLargest stores what just fits, text and bytes, by each command that writes;
// a value whose copy does not fit beside it has none.
func TestLargest(t *testing.T) {
	t.Parallel()
	b := open(t, &Options{Queryable: true})
	ctx := t.Context()
	var prev model.Record
	for i, w := range []driver.Write{{Cond: driver.IfAbsent}, {Cond: driver.IfAny}, {Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}}} {
		filler := []string{"x", "\xff", "y"}[i]
		w.Record = record(fmt.Sprint(i%2, strings.Repeat("i", model.MaxID-1)), strings.Repeat("p", model.MaxLabel), time.Hour)
		w.Record.Value = []byte(`"` + strings.Repeat(filler, maxValue-2) + `"`)
		if _, err := b.Write(ctx, testNow, w); err != nil {
			t.Fatalf("%v of %q: %v", w.Cond, filler, err)
		}
		got, err := b.Get(ctx, testNow, driver.Get{ID: w.Record.ID})
		if err != nil || !bytes.Equal(got.Value, w.Record.Value) {
			t.Fatalf("%v of %q: %d bytes, %v", w.Cond, filler, len(got.Value), err)
		}
		prev = got
	}
	var ids []string
	for q, pages := (driver.Query{Limit: 10}), 1; ; pages++ { // an answer of mongod's has 16 MB
		p, err := b.Page(ctx, testNow, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		if q.After = p.Next; q.After == "" {
			t.Logf("%d records in %d pages", len(ids), pages)
			break
		}
	}
	if len(ids) != 2 {
		t.Fatalf("%d records", len(ids))
	}
	for _, o := range b.GetMany(ctx, testNow, driver.Gets(ids...)) {
		if o.Err != nil || len(o.Record.Value) != maxValue {
			t.Fatalf("%d bytes, %v", len(o.Record.Value), o.Err)
		}
	}
	w := driver.Write{Record: prev, Cond: driver.IfAny}
	w.Record.Value = append(w.Record.Value, 'x')
	_, err := b.Write(ctx, testNow, w)
	only(t, err, model.ErrTooLarge)
	w.Record.Value = []byte("[" + strings.Repeat("1,", 2<<20) + "1]") // a copy of some 30 MB
	if _, err := b.Write(ctx, testNow, w); err != nil {
		t.Fatal(err)
	}
	w.Record.Value = []byte(strings.Repeat("[", 200) + strings.Repeat("]", 200)) // deeper than the server allows
	if _, err := b.Write(ctx, testNow, w); err != nil {
		t.Fatal(err)
	}
	// Whatever fits is one command.
	var ops []driver.BatchOp
	for i := range 3 {
		w := driver.Write{Record: record(fmt.Sprint("batch", i), "", time.Hour), Cond: driver.IfAbsent}
		w.Record.Value = bytes.Repeat([]byte("x"), 12<<20)
		ops = append(ops, driver.BatchOp{Write: &w})
	}
	for i, o := range b.WriteMany(ctx, testNow, ops) {
		if o.Err != nil {
			t.Errorf("%d of a batch: %v", i, o.Err)
		}
	}
}

// TestConcerns has a client that asks for less than the store needs: what is
// on the wire asks for it all the same.
func TestConcerns(t *testing.T) {
	p := startProxy(t, clientOptions(t).Hosts[0])
	c := clientOf(t, p.through(clientOptions(t)))
	db := c.Database(databaseName, options.Database().SetWriteConcern(writeconcern.Unacknowledged()).
		SetReadConcern(readconcern.Available()).SetReadPreference(readpref.Secondary()))
	b, err := New(db, openOn(t, c, storeName(), nil).coll.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	seed(t, b, base)
	_, err = b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
	steps := []error{err}
	_, err = b.Get(ctx, testNow, driver.Get{ID: "id"})
	steps = append(steps, err)
	_, err = b.Page(ctx, testNow, driver.Query{Limit: 5})
	steps = append(steps, err)
	_, err = b.Count(ctx, testNow, driver.Query{Label: ""})
	steps = append(steps, err, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}))
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	_, sent := p.take()
	for _, command := range sent {
		name := command.Index(0).Key()
		w, _ := command.Lookup("writeConcern", "w").StringValueOK()
		level, _ := command.Lookup("readConcern", "level").StringValueOK()
		mode, _ := command.Lookup("$readPreference", "mode").StringValueOK()
		switch name {
		case "update", "delete", "findAndModify":
			if w != "majority" {
				t.Errorf("%s with the write concern %q", name, w)
			}
		case "find", "aggregate":
			// To one server alone the driver sends primaryPreferred, whatever it is.
			if level != "majority" || mode != "" && mode != "primary" && mode != "primaryPreferred" {
				t.Errorf("%s with the read concern %q and the preference %q", name, level, mode)
			}
		}
	}
	if len(sent) < 7 {
		t.Errorf("%d commands on the wire", len(sent))
	}
}

// TestSessionOfTheCaller has a session in the context: the store's writes are
// no part of its transaction.
func TestSessionOfTheCaller(t *testing.T) {
	b, p := proxied(t, nil)
	s, err := b.coll.Database().Client().StartSession()
	if err != nil {
		t.Skipf("the server has no sessions: %v", err)
	}
	defer s.EndSession(t.Context())
	if err := s.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(mongodriver.NewSessionContext(t.Context(), s), testNow, driver.Write{Record: base, Cond: driver.IfAbsent}); err != nil {
		t.Fatal(err)
	}
	_, sent := p.take()
	if !sent[0].Lookup("startTransaction").IsZero() || sent[0].Lookup("lsid").Equal(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: s.ID()}) {
		t.Errorf("on the wire: %v", sent[0])
	}
	holds("id", base.Revision, base.ExpiresAt)(t, b)
}

// TestCallersClock looks for what decides: the caller's now, in every filter.
func TestCallersClock(t *testing.T) {
	b, p := proxied(t, nil)
	for _, w := range singleWrites() {
		seed(t, b, base)
		p.take()
		if err := w.do(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		_, sent := p.take()
		text := sent[0].String()
		if strings.Contains(text, "$$NOW") || strings.Contains(text, "$currentDate") {
			t.Errorf("the server's clock in %s", text)
		}
	}
}

// TestServerTTL reads the index by which the server reaps.
func TestServerTTL(t *testing.T) {
	b := open(t, &Options{GraceTTL: 10*time.Minute + time.Millisecond})
	ctx := t.Context()
	is := func(step string, b *Backend, want int64) {
		t.Helper()
		for range 2 {
			if err := b.CreateStorage(ctx); err != nil {
				t.Fatal(err)
			}
		}
		have, err := b.indexes(ctx)
		if got, ok := have[keysOf(expiryKeys)]; err != nil || !ok || got.ttl != want {
			t.Fatalf("%s: %+v, %v, want %d", step, have, err, want)
		}
	}
	is("rounded up", b, 601)
	if !canChange(t, b) {
		t.Log("the server has no collMod: a change of Options.GraceTTL leaves its index as it was")
		return
	}
	for _, grace := range []time.Duration{0, -1, time.Minute} {
		again, err := New(b.coll.Database(), b.coll.Name(), &Options{GraceTTL: grace})
		if err != nil {
			t.Fatal(err)
		}
		is(fmt.Sprint(grace), again, map[time.Duration]int64{0: 3600, -1: -1, time.Minute: 60}[grace])
		seed(t, again, base)
		if n, err := again.Count(ctx, testNow, driver.Query{Label: ""}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	}
}

func canChange(t testing.TB, b *Backend) bool {
	t.Helper()
	err := b.coll.Database().RunCommand(t.Context(), bson.D{{Key: "collMod", Value: b.coll.Name()}}).Err()
	return err == nil
}

// TestStorage makes and removes one of two stores in one database.
func TestStorage(t *testing.T) {
	b, neighbour := open(t, &Options{Labels: []string{"principal", "tenant"}}), open(t, nil)
	ctx := t.Context()
	have, err := b.indexes(ctx)
	if err != nil || len(have) != 4 {
		t.Fatalf("%+v, %v", have, err)
	}
	seed(t, b, base)
	seed(t, neighbour, base)
	further, err := New(b.coll.Database(), b.coll.Name(), &Options{Labels: []string{"device", "principal"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = further.Page(ctx, testNow, driver.Query{Label: "device", Value: "d", Limit: 1})
	if err == nil {
		t.Log("the server ignores hints")
	} else if only(t, err, model.ErrUnavailable); !strings.Contains(err.Error(), "CreateStorage") {
		t.Error(err)
	}
	if err := further.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	if have, err := b.indexes(ctx); err != nil || len(have) != 5 {
		t.Fatalf("%+v, %v", have, err)
	}
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := bearers(t, neighbour, "ann"); !slices.Equal(got, []string{"id"}) {
		t.Fatalf("the neighbour has %v", got)
	}
}

// TestMissingCollection is named, and never made by a write.
func TestMissingCollection(t *testing.T) {
	b, err := New(clientOf(t, clientOptions(t)).Database(databaseName), storeName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, get := b.Get(ctx, testNow, driver.Get{ID: "id"})
	_, write := b.Write(ctx, testNow, driver.Write{Record: base, Cond: driver.IfAny})
	_, page := b.Page(ctx, testNow, driver.Query{Limit: 1})
	_, touch := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
	_, sweep := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1})
	many := b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &driver.Write{Record: base, Cond: driver.IfAny}}})[0].Err
	for _, err := range []error{get, write, page, touch, sweep, many, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent})} {
		only(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), b.coll.Name()) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Error(err)
		}
	}
	names, err := b.coll.Database().ListCollectionNames(ctx, bson.D{{Key: "name", Value: b.coll.Name()}})
	if err != nil || slices.Contains(names, b.coll.Name()) {
		t.Fatal(names, err)
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	seed(t, b, base)
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = b.Write(ctx, testNow, driver.Write{Record: base, Cond: driver.IfAny})
	only(t, err, model.ErrUnavailable)
}

// TestForeignDocuments puts what is no record of this version beside records:
// an error for that id alone, which nothing but an upsert overwrites.
func TestForeignDocuments(t *testing.T) {
	newer, _ := labelled("principal").document(&base)
	newer[1].Value = int32(2)
	for name, doc := range map[string]bson.D{
		"foreign":            {{Key: "_id", Value: "id"}, {Key: "name", Value: "Ann"}, {Key: "lab", Value: bson.D{{Key: "principal", Value: "ann"}}}},
		"with other types":   {{Key: "_id", Value: "id"}, {Key: "exp", Value: "soon"}, {Key: "rev", Value: 1}, {Key: "lab", Value: bson.D{{Key: "principal", Value: "ann"}}}},
		"of a newer version": newer,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			ctx := t.Context()
			seed(t, b, record("good", "ann", 0))
			if _, err := b.coll.InsertOne(ctx, doc); err != nil {
				t.Fatal(err)
			}
			if _, err := b.coll.InsertOne(ctx, bson.D{{Key: "_id", Value: bson.NewObjectID()}}); err != nil {
				t.Fatal(err)
			}
			before := plainly(t, b, "id")
			_, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
			only(t, err, model.ErrCorrupt)
			only(t, b.GetMany(ctx, testNow, driver.Gets("id"))[0].Err, model.ErrCorrupt)
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
				for _, keep := range []bool{false, cond != driver.IfAbsent} {
					w := driver.Write{Record: next, Cond: cond, Known: base, Keep: driver.Keep{Expiry: keep}}
					_, err := b.Write(ctx, testNow, w)
					only(t, err, model.ErrCorrupt)
					only(t, b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &w}})[0].Err, model.ErrCorrupt)
				}
			}
			_, err = b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
			only(t, err, model.ErrCorrupt)
			only(t, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}), model.ErrCorrupt)
			if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10}); err != nil || swept.Removed != 0 {
				t.Fatal(swept, err)
			}
			if after := plainly(t, b, "id"); !reflect.DeepEqual(after, before) {
				t.Fatalf("%v became %v", before, after)
			}
			for _, q := range []driver.Query{{Limit: 10}, {Limit: 10, KeysOnly: true}, {Limit: 10, Label: "principal", Value: "ann"}} {
				p, err := b.Page(ctx, testNow, q)
				if err != nil || len(p.Records) != 1 || !slices.Equal(p.Corrupt, []string{"id"}) {
					t.Fatalf("page %+v: %+v, %v", q, p, err)
				}
			}
			seed(t, b, next)
			if got := bearers(t, b, "ann"); !slices.Equal(got, []string{"good"}) {
				t.Fatalf("ann bears %v", got)
			}
		})
	}
}

// TestForeignUniqueIndex has an index of the user's own that a create
// violates: that is no record under the id.
func TestForeignUniqueIndex(t *testing.T) {
	b := open(t, &Options{Queryable: true})
	ctx := t.Context()
	_, err := b.coll.Indexes().CreateOne(ctx, mongodriver.IndexModel{Keys: bson.D{{Key: "copy.of", Value: 1}}, Options: options.Index().SetUnique(true)})
	if err != nil {
		t.Fatal(err)
	}
	seed(t, b, base)
	w := driver.Write{Record: record("other", "", 0), Cond: driver.IfAbsent}
	w.Record.Value = base.Value
	_, err = b.Write(ctx, testNow, w)
	only(t, err, model.ErrUnavailable)
	w.Cond = driver.IfAny
	_, err = b.Write(ctx, testNow, w)
	only(t, err, model.ErrUnavailable)
	only(t, b.WriteMany(ctx, testNow, []driver.BatchOp{{Write: &w}})[0].Err, model.ErrUnavailable)
}

// TestOtherNodesLabels has a node that declares fewer labels than the one that
// wrote.
func TestOtherNodesLabels(t *testing.T) {
	all := open(t, &Options{Labels: []string{"principal", "tenant"}})
	few, err := New(all.coll.Database(), all.coll.Name(), &Options{Labels: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	r := record("id", "ann", time.Hour)
	r.Labels["tenant"] = "t"
	seed(t, all, r)
	got, err := few.Write(ctx, testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
	if err != nil || len(got.Labels) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if n, err := all.Count(ctx, testNow, driver.Query{Label: "tenant", Value: "t"}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := few.Write(ctx, testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	if n, err := all.Count(ctx, testNow, driver.Query{Label: "tenant", Value: "t"}); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

// fake is a server that answers the handshake, and each command as it is told:
// what servers say that no test can bring into that state.
type fake struct{ addr string }

func startFake(t testing.TB, reply func(name string, body bson.Raw) bson.D) fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	serve := func(c net.Conn) {
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		for {
			raw, err := readMessage(in)
			if err != nil || command(raw) == nil {
				return
			}
			body := command(raw)
			name := body.Index(0).Key()
			answer := bson.D{
				{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21},
				{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000},
				{Key: "setName", Value: "rs"}, {Key: "hosts", Value: bson.A{l.Addr().String()}}, {Key: "logicalSessionTimeoutMinutes", Value: 30},
			}
			if name != "hello" && name != "endSessions" {
				if answer = reply(name, body); answer == nil {
					return
				}
			}
			doc, err := bson.Marshal(answer)
			if err != nil {
				return
			}
			out := make([]byte, 21, 21+len(doc))
			binary.LittleEndian.PutUint32(out, uint32(cap(out)))
			copy(out[8:], raw[4:8]) // in answer to
			binary.LittleEndian.PutUint32(out[12:], opMsg)
			if _, err := c.Write(append(out, doc...)); err != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		running.Wait()
	})
	return fake{addr: l.Addr().String()}
}

// on is a backend on the fake server.
func (f fake) on(t testing.TB, opts *Options, change func(*options.ClientOptions)) *Backend {
	t.Helper()
	o := options.Client().ApplyURI("mongodb://" + f.addr + "/?directConnection=true").SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1))
	if change != nil {
		change(o)
	}
	b, err := New(clientOf(t, o).Database("d"), "c", opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func refuse(code int, labels ...string) bson.D {
	d := bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "codeName", Value: "secret"}, {Key: "errmsg", Value: "secret"}}
	if labels != nil {
		d = append(d, bson.E{Key: "errorLabels", Value: labels})
	}
	return d
}

// TestRefusals has a server that refuses every command, in the words of real
// ones: a read-only role, wrong credentials, a server that steps down, a
// majority that cannot be had.
func TestRefusals(t *testing.T) {
	applied := bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 1}, {Key: "nModified", Value: 1}}
	tests := []struct {
		name        string
		reply       bson.D
		write, read error
	}{
		{"a read-only role", refuse(13), model.ErrUnavailable, model.ErrUnavailable},
		{"Atlas refuses", refuse(8000), model.ErrUnavailable, model.ErrUnavailable},
		{"no primary, before anything", refuse(10107, labelRetryable, labelNoWrites), model.ErrUnavailable, model.ErrUnavailable},
		{"no primary, after a retry", refuse(10107, labelRetryable), model.ErrUnknown, model.ErrUnavailable},
		{"stepped down under way", refuse(189, labelRetryable), model.ErrUnknown, model.ErrUnavailable},
		{"shut down under way", refuse(11600, labelRetryable), model.ErrUnknown, model.ErrUnavailable},
		{"out of time", refuse(50), model.ErrUnknown, model.ErrUnavailable},
		{"a router lost its shard", refuse(6), model.ErrUnknown, model.ErrUnavailable},
		{"a code of tomorrow", refuse(99_999), model.ErrUnknown, model.ErrUnavailable},
		{"over the limit", refuse(codeTooLarge), model.ErrTooLarge, model.ErrUnavailable},
		{"hangs up", nil, model.ErrUnknown, model.ErrUnavailable},
		{"no majority", append(slices.Clone(applied), bson.E{Key: "writeConcernError", Value: bson.D{
			{Key: "code", Value: 64}, {Key: "errmsg", Value: "secret"},
		}}), model.ErrUnknown, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // the driver waits before it asks a server again that is no primary
			b := startFake(t, func(string, bson.Raw) bson.D { return test.reply }).on(t, nil, nil)
			b.found.Store(true)
			create := driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfAbsent}
			_, write := b.Write(t.Context(), testNow, create)
			_, touch := b.Touch(t.Context(), testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
			many := b.WriteMany(t.Context(), testNow, []driver.BatchOp{{Write: &create}})[0].Err
			for _, err := range []error{write, touch, many, b.Delete(t.Context(), testNow, driver.Delete{ID: "id", Cond: driver.IfPresent})} {
				only(t, err, test.write)
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the server's words in %v", err)
				}
			}
			if test.read == nil {
				return
			}
			_, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, test.read)
			_, err = b.Page(t.Context(), testNow, driver.Query{Limit: 1})
			only(t, err, test.read)
		})
	}
}

// TestReadOnlyRole may find, but neither change nor look for the collection.
func TestReadOnlyRole(t *testing.T) {
	doc, _ := labelled("principal").document(&base)
	b := startFake(t, func(name string, _ bson.Raw) bson.D {
		if name == "find" {
			return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
				{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.c"}, {Key: "firstBatch", Value: bson.A{doc}},
			}}}
		}
		return refuse(codeUnauthorized)
	}).on(t, nil, nil)
	if got, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); err != nil || got.Revision != base.Revision {
		t.Fatal(got, err)
	}
	_, err := b.Write(t.Context(), testNow, driver.Write{Record: next, Cond: driver.IfAny})
	only(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "permission") {
		t.Error(err)
	}
}

// TestWrongCredentials fails while the connection is made: nothing was sent.
func TestWrongCredentials(t *testing.T) {
	sent := false
	b := startFake(t, func(name string, _ bson.Raw) bson.D {
		sent = sent || name == "update"
		return refuse(18)
	}).on(t, nil, func(o *options.ClientOptions) {
		o.SetAuth(options.Credential{Username: "ann", Password: "hunter2", AuthMechanism: "SCRAM-SHA-256"})
	})
	b.found.Store(true)
	_, err := b.Write(t.Context(), testNow, driver.Write{Record: next, Cond: driver.IfAny})
	only(t, err, model.ErrUnavailable)
	if sent || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("%v, sent: %v", err, sent)
	}
}

// TestTTLRefused has a server without indexes that expire documents, or
// partial ones: plain ones take their place, with a warning.
func TestTTLRefused(t *testing.T) {
	for _, code := range unsupportedCodes {
		var made []string
		var log bytes.Buffer
		empty := bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
			{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.c"}, {Key: "firstBatch", Value: bson.A{}},
		}}}
		b := startFake(t, func(name string, body bson.Raw) bson.D {
			switch name {
			case "listCollections", "listIndexes":
				return empty
			case "createIndexes":
				index := body.Lookup("indexes").Array().Index(0).Document()
				if !index.Lookup("expireAfterSeconds").IsZero() || !index.Lookup("partialFilterExpression").IsZero() {
					return refuse(code)
				}
				made = append(made, index.Lookup("name").StringValue())
			}
			return bson.D{{Key: "ok", Value: 1}}
		}).on(t, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil)
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(made, []string{labelIndex("principal"), expiryIndex}) || !strings.Contains(log.String(), "Sweeper") {
			t.Errorf("code %d: made %q, logged %q", code, made, log.String())
		}
	}
}

// TestUnfitCollections refuses what is no place for records.
func TestUnfitCollections(t *testing.T) {
	for why, spec := range map[string]bson.D{
		"view":      {{Key: "name", Value: "c"}, {Key: "type", Value: "view"}},
		"collation": {{Key: "name", Value: "c"}, {Key: "type", Value: "collection"}, {Key: "options", Value: bson.D{{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}}}}}},
		"capped":    {{Key: "name", Value: "c"}, {Key: "type", Value: "collection"}, {Key: "options", Value: bson.D{{Key: "capped", Value: true}}}},
	} {
		b := startFake(t, func(string, bson.Raw) bson.D {
			return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
				{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.$cmd.listCollections"}, {Key: "firstBatch", Value: bson.A{spec}},
			}}}
		}).on(t, nil, nil)
		_, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
		only(t, err, model.ErrUnavailable)
		if create := b.CreateStorage(t.Context()); !strings.Contains(err.Error(), why) || create == nil || !strings.Contains(create.Error(), why) {
			t.Errorf("%s: %v, %v", why, err, create)
		}
	}
}
