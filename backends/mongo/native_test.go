package mongo

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// wantBearers fails the test unless the records with that principal have the
// ids.
func wantBearers(t testing.TB, b *Backend, principal string, want ...string) {
	t.Helper()
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: principal, Limit: 100, KeysOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range p.Records {
		ids = append(ids, r.ID)
	}
	if !slices.Equal(ids, want) {
		t.Fatalf("%s has the records %v, want %v", principal, ids, want)
	}
}

// wantCount fails the test unless the query counts n records.
func wantCount(t testing.TB, b *Backend, q driver.Query, n int) {
	t.Helper()
	if got, err := b.Count(t.Context(), drivertest.Now, q); err != nil || got != n {
		t.Fatalf("counted %d, %v; want %d", got, err, n)
	}
}

// storedDocument returns the document as any client reads it.
func storedDocument(t testing.TB, b *Backend, id string) bson.M {
	t.Helper()
	var doc bson.M
	c := connect(t, clientOptions(t)).Database(databaseName).Collection(b.coll.Name())
	if err := c.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentInOtherClients(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "tenant"}})
	r := drivertest.Record("$a.b", "ann", time.Hour)
	r.Labels["tenant"] = "t"
	never := drivertest.Record("never", "", 0)
	never.Value = []byte("\xff")
	drivertest.Seed(t, b, r, never)
	for id, want := range map[string]bson.M{
		"$a.b": {
			"_id": "$a.b", "sojourn": int32(1), "rev": bson.Binary{Data: r.Revision[:]}, "exp": bson.NewDateTimeFromTime(r.ExpiresAt),
			"lab": bson.D{{Key: "principal", Value: "ann"}, {Key: "tenant", Value: "t"}}, "enc": "json", "val": string(r.Value),
		},
		"never": {
			"_id": "never", "sojourn": int32(1), "rev": bson.Binary{Data: never.Revision[:]}, "enc": "json", "val": bson.Binary{Data: []byte("\xff")},
			"exp": bson.NewDateTimeFromTime(time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)), "ever": true,
		},
	} {
		if got := storedDocument(t, b, id); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
}

// TestLastInstant tells an expiry at the end of the year 9999 from none.
func TestLastInstant(t *testing.T) {
	b := open(t, nil)
	r := drivertest.Record("id", "", 0)
	last, never, soon := time.UnixMilli(int64(lastInstant)).UTC(), time.Time{}, drivertest.Now.Add(time.Minute)
	r.ExpiresAt = last
	drivertest.Seed(t, b, r)
	drivertest.Holds(t, b, "id", r.Revision, last)
	for _, step := range []struct {
		mode     driver.TouchMode
		at, want time.Time
	}{
		{driver.TouchClear, never, never},
		{driver.TouchExtend, soon, never},
		{driver.TouchExtend, last, never},
		{driver.TouchSet, soon, soon},
		{driver.TouchExtend, last, last},
		{driver.TouchSet, soon, soon},
	} {
		got, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: step.mode, ExpiresAt: step.at})
		if err != nil || !got.ExpiresAt.Equal(step.want) {
			t.Fatalf("%+v: %v, %v", step, got.ExpiresAt, err)
		}
		drivertest.Holds(t, b, "id", r.Revision, step.want)
	}
}

// TestQueryable finds records by members of their values. The copy follows each
// write and is never read back.
func TestQueryable(t *testing.T) {
	b := open(t, &Options{Queryable: true})
	ctx := t.Context()
	found := func(filter bson.D, want ...string) {
		t.Helper()
		cur, err := b.coll.Find(ctx, filter, options.Find().SetSort(idKeys))
		if err != nil {
			t.Fatal(err)
		}
		docs, err := readAll(ctx, cur)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range docs {
			ids = append(ids, storedID(d))
		}
		if !slices.Equal(ids, want) {
			t.Fatalf("%v finds %v, want %v", filter, ids, want)
		}
	}
	city := func(name string) bson.D { return bson.D{{Key: "copy.customer.city", Value: name}} }
	write := func(b *Backend, id, value string, w driver.Write) {
		t.Helper()
		w.Record = drivertest.Record(id, "ann", time.Hour)
		w.Record.Value = []byte(value)
		if _, err := b.Write(ctx, drivertest.Now, w); err != nil {
			t.Fatal(err)
		}
	}
	write(b, "a", `{"customer":{"city":"Ulm"},"total":12.5,"items":[1,2],"$x":{"$y":true}}`, driver.Write{Cond: driver.IfAbsent})
	write(b, "b", `{"customer":{"city":"Bern"},"total":7}`, driver.Write{Cond: driver.IfAny})
	write(b, "c", `{`, driver.Write{Cond: driver.IfAny})
	found(city("Ulm"), "a")
	found(bson.D{{Key: "copy.total", Value: bson.D{{Key: "$lt", Value: 10}}}}, "b")
	found(bson.D{{Key: "copy.＄x.＄y", Value: true}}, "a")
	found(bson.D{{Key: "copy", Value: bson.D{{Key: "$exists", Value: false}}}}, "c")
	const rome = `{"customer":{"city":"Rom"}}`
	write(b, "a", rome, driver.Write{Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
	write(b, "b", rome, driver.Write{Cond: driver.IfPresent})
	found(city("Rom"), "a", "b")
	if _, err := b.coll.UpdateOne(ctx, byID("b"), bson.D{{Key: "$set", Value: bson.D{{Key: "copy", Value: "damaged"}}}}); err != nil {
		t.Fatal(err)
	}
	if got := drivertest.Get(t, b, "b"); string(got.Value) != rome {
		t.Fatalf("got %+v", got)
	}
	// A node without the option removes the copy.
	plain := another(t, b, nil)
	write(plain, "a", `{}`, driver.Write{Cond: driver.IfPresent, Keep: driver.Keep{Labels: true}})
	write(plain, "b", `{}`, driver.Write{Cond: driver.IfPresent})
	found(hasField("copy"))
}

// TestLargest stores the largest value, as text and as bytes, with each command
// that writes. A copy that does not fit beside its value is left out.
func TestLargest(t *testing.T) {
	t.Parallel()
	b := open(t, &Options{Queryable: true})
	ctx := t.Context()
	var stored model.Record
	for i, w := range []driver.Write{{Cond: driver.IfAbsent}, {Cond: driver.IfAny}, {Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}}} {
		filler := []string{"x", "\xff", "y"}[i]
		w.Record = drivertest.Record(fmt.Sprint(i%2, strings.Repeat("i", model.MaxID-1)), strings.Repeat("p", model.MaxLabel), time.Hour)
		w.Record.Value = []byte(`"` + strings.Repeat(filler, maxValue-2) + `"`)
		if _, err := b.Write(ctx, drivertest.Now, w); err != nil {
			t.Fatalf("%v of %q: %v", w.Cond, filler, err)
		}
		if stored = drivertest.Get(t, b, w.Record.ID); !bytes.Equal(stored.Value, w.Record.Value) {
			t.Fatalf("%v of %q: got %d bytes", w.Cond, filler, len(stored.Value))
		}
	}
	var ids []string
	q, pages := driver.Query{Limit: 10}, 0
	for more := true; more; more = q.After != "" { // an answer of mongod has 16 MB at most
		p, err := b.Page(ctx, drivertest.Now, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		q.After = p.Next
		pages++
	}
	if len(ids) != 2 {
		t.Fatalf("listed %d records in %d pages, want 2", len(ids), pages)
	}
	for _, o := range b.GetMany(ctx, drivertest.Now, driver.Gets(ids...)) {
		if o.Err != nil || len(o.Record.Value) != maxValue {
			t.Fatalf("%d bytes, %v", len(o.Record.Value), o.Err)
		}
	}
	for _, test := range []struct {
		name  string
		value []byte
		want  error
	}{
		{"one byte more", append(stored.Value, 'x'), model.ErrTooLarge},
		{"a copy of 30 MB", []byte("[" + strings.Repeat("1,", 2<<20) + "1]"), nil},
		{"deeper than the server allows", []byte(strings.Repeat("[", 200) + strings.Repeat("]", 200)), nil},
	} {
		r := stored
		r.Value = test.value
		if err := upsert(ctx, b, r); model.Kind(err) != test.want {
			t.Fatalf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	var large []model.Record
	for i := range 3 {
		r := drivertest.Record(fmt.Sprint("batch", i), "", time.Hour)
		r.Value = bytes.Repeat([]byte("x"), 12<<20)
		large = append(large, r)
	}
	drivertest.Seed(t, b, large...) // needs more than one command
}

// TestConcerns has a database with weaker concerns than the store needs: each
// command names the store's own.
func TestConcerns(t *testing.T) {
	p := newProxy(t)
	c := connect(t, p.through(t, containers.MongoDB(t)))
	weak := c.Database(databaseName, options.Database().SetWriteConcern(writeconcern.Unacknowledged()).
		SetReadConcern(readconcern.Available()).SetReadPreference(readpref.Secondary()))
	b := newBackend(t, weak, openOn(t, c, nil).coll.Name(), nil)
	base := drivertest.SeedCalls(t, b)
	calls := drivertest.Pick(t, append(drivertest.Writes(base), drivertest.Reads()...), "clear", "get", "page", "count", "delete")
	for _, call := range calls {
		if err := call.Do(t.Context(), b); err != nil {
			t.Fatalf("%s: %v", call.Name, err)
		}
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
				t.Errorf("%s has the write concern %q", name, w)
			}
		case "find", "aggregate":
			// To a single server the driver sends primaryPreferred in any case.
			if level != "majority" || mode != "" && mode != "primary" && mode != "primaryPreferred" {
				t.Errorf("%s has the read concern %q and the preference %q", name, level, mode)
			}
		}
	}
	if len(sent) < 7 {
		t.Errorf("sent %d commands, want 7 or more", len(sent))
	}
}

// TestSessionOfCaller has a transaction in the context, which the write does
// not take part in.
func TestSessionOfCaller(t *testing.T) {
	b, p := proxied(t, nil)
	s, err := b.coll.Database().Client().StartSession()
	if err != nil {
		t.Skipf("the server has no sessions: %v", err)
	}
	defer s.EndSession(t.Context())
	if err := s.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	r := drivertest.Record("id", "ann", time.Hour)
	if _, err := b.Write(mongodriver.NewSessionContext(t.Context(), s), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
		t.Fatal(err)
	}
	_, sent := p.take()
	if !sent[0].Lookup("startTransaction").IsZero() || sent[0].Lookup("lsid").Equal(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: s.ID()}) {
		t.Errorf("the command has the caller's session: %v", sent[0])
	}
	drivertest.Holds(t, b, "id", r.Revision, r.ExpiresAt)
}

// TestCallersClock checks that no write uses the server's clock.
func TestCallersClock(t *testing.T) {
	b, p := proxied(t, nil)
	for i := range drivertest.Writes(model.Record{}) {
		c := drivertest.Writes(drivertest.SeedCalls(t, b))[i]
		p.take()
		if err := c.Do(t.Context(), b); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		_, sent := p.take()
		if text := sent[0].String(); strings.Contains(text, "$$NOW") || strings.Contains(text, "$currentDate") {
			t.Errorf("%s uses the server's clock: %s", c.Name, text)
		}
	}
}

// TestServerTTL reads the index by which the server expires documents.
func TestServerTTL(t *testing.T) {
	b := open(t, &Options{GraceTTL: 10*time.Minute + time.Millisecond})
	ctx := t.Context()
	create := func(b *Backend, want int64) {
		t.Helper()
		for range 2 {
			if err := b.CreateStorage(ctx); err != nil {
				t.Fatal(err)
			}
		}
		have, err := b.indexes(ctx)
		if got := named(have, expiryIndex); err != nil || got == nil || got.ttl != want {
			t.Fatalf("indexes %+v, %v; want an expiry after %d seconds", have, err, want)
		}
	}
	create(b, 601) // rounded up
	if err := b.coll.Database().RunCommand(ctx, bson.D{{Key: "collMod", Value: b.coll.Name()}}).Err(); err != nil {
		t.Log("the server has no collMod: a change of Options.GraceTTL leaves its index as it is")
		return
	}
	for _, test := range []struct {
		grace time.Duration
		want  int64
	}{{0, 3600}, {-1, -1}, {time.Minute, 60}} {
		again := another(t, b, &Options{GraceTTL: test.grace})
		create(again, test.want)
		drivertest.Seed(t, again, drivertest.Record("id", "ann", time.Hour))
		wantCount(t, again, driver.Query{}, 1)
	}
}

// TestStorage creates and deletes one of two stores in one database.
func TestStorage(t *testing.T) {
	b, neighbour := open(t, &Options{Labels: []string{"principal", "tenant"}}), open(t, nil)
	ctx := t.Context()
	wantIndexes := func(n int) {
		t.Helper()
		if have, err := b.indexes(ctx); err != nil || len(have) != n {
			t.Fatalf("indexes %+v, %v; want %d", have, err, n)
		}
	}
	wantIndexes(4)
	base := drivertest.Record("id", "ann", time.Hour)
	drivertest.Seed(t, b, base)
	drivertest.Seed(t, neighbour, base)
	more := another(t, b, &Options{Labels: []string{"device", "principal"}})
	_, err := more.Page(ctx, drivertest.Now, driver.Query{Label: "device", Value: "d", Limit: 1})
	if err == nil {
		t.Log("the server ignores the name of a missing index")
	} else if drivertest.WantKind(t, err, model.ErrUnavailable); !strings.Contains(err.Error(), "CreateStorage") {
		t.Errorf("%v does not name CreateStorage", err)
	}
	if err := more.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	wantIndexes(5)
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wantBearers(t, neighbour, "ann", "id")
}

// TestMissingCollection makes each call without the collection: the error names
// it, and no write creates it.
func TestMissingCollection(t *testing.T) {
	b := newBackend(t, connect(t, clientOptions(t)).Database(databaseName), drivertest.Name(), nil)
	ctx := t.Context()
	base := drivertest.Record("id", "ann", time.Hour)
	calls := slices.DeleteFunc(append(drivertest.Writes(base), drivertest.Reads()...), func(c drivertest.Call) bool { return c.Name == "ping" })
	calls = append(calls, drivertest.Call{Name: "write many", Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
		return driver.WriteMany(ctx, b, drivertest.Now, []driver.BatchOp{{Write: &driver.Write{Record: base, Cond: driver.IfAny}}})[0].Err
	}})
	for _, c := range calls {
		err := c.Do(ctx, b)
		if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), b.coll.Name()) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Errorf("%s: %v, want %v with the collection and CreateStorage", c.Name, err, model.ErrUnavailable)
		}
	}
	names, err := b.coll.Database().ListCollectionNames(ctx, bson.D{{Key: "name", Value: b.coll.Name()}})
	if err != nil || slices.Contains(names, b.coll.Name()) {
		t.Fatalf("collections %v, %v", names, err)
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	drivertest.Seed(t, b, base)
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	drivertest.WantKind(t, upsert(ctx, b, base), model.ErrUnavailable)
}

// TestForeignDocuments stores documents that are not records of this version:
// they are ErrCorrupt for their id alone, and only an upsert overwrites them.
func TestForeignDocuments(t *testing.T) {
	base, next := drivertest.Record("id", "ann", time.Hour), drivertest.Record("id", "bob", time.Hour)
	newer, _ := labelled("principal").document(&base)
	newer[1].Value = int32(2)
	ann := bson.E{Key: "lab", Value: bson.D{{Key: "principal", Value: "ann"}}}
	for name, doc := range map[string]bson.D{
		"foreign":     {{Key: "_id", Value: "id"}, {Key: "name", Value: "Ann"}, ann},
		"other types": {{Key: "_id", Value: "id"}, {Key: "exp", Value: "soon"}, {Key: "rev", Value: 1}, ann},
		"newer":       newer,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			ctx := t.Context()
			drivertest.Seed(t, b, drivertest.Record("good", "ann", 0))
			if _, err := b.coll.InsertMany(ctx, []any{doc, bson.D{{Key: "_id", Value: bson.NewObjectID()}}}); err != nil {
				t.Fatal(err)
			}
			before := storedDocument(t, b, "id")
			calls := drivertest.Pick(t, append(drivertest.Writes(base), drivertest.Reads()...), "get", "get many", "touch", "clear", "delete", "delete known")
			for _, c := range calls {
				if err := c.Do(ctx, b); model.Kind(err) != model.ErrCorrupt {
					t.Errorf("%s: %v, want %v", c.Name, err, model.ErrCorrupt)
				}
			}
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
				for _, keep := range []bool{false, cond != driver.IfAbsent} {
					w := driver.Write{Record: next, Cond: cond, Known: base, Keep: driver.Keep{Expiry: keep}}
					_, err := b.Write(ctx, drivertest.Now, w)
					drivertest.WantKind(t, err, model.ErrCorrupt)
					drivertest.WantKind(t, b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{{Write: &w}})[0].Err, model.ErrCorrupt)
				}
			}
			if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10}); err != nil || swept.Removed != 0 {
				t.Fatal(swept, err)
			}
			if after := storedDocument(t, b, "id"); !reflect.DeepEqual(after, before) {
				t.Fatalf("%v became %v", before, after)
			}
			for _, q := range []driver.Query{{Limit: 10}, {Limit: 10, KeysOnly: true}, {Limit: 10, Label: "principal", Value: "ann"}} {
				p, err := b.Page(ctx, drivertest.Now, q)
				if err != nil || len(p.Records) != 1 || !slices.Equal(p.Corrupt, []string{"id"}) {
					t.Fatalf("page %+v: %+v, %v", q, p, err)
				}
			}
			drivertest.Seed(t, b, next)
			wantBearers(t, b, "ann", "good")
		})
	}
}

// TestDamagedFieldsStay has records of which another program has changed one field.
// No write but an upsert touches them, and each says why.
func TestDamagedFieldsStay(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	fields := map[string]bson.D{
		"ever beside an expiry":  {{Key: fieldForever, Value: true}},
		"ever of another type":   {{Key: fieldForever, Value: 1}},
		"labels of another type": {{Key: fieldLabels, Value: "ann"}},
		"label of another type":  {{Key: fieldLabels + ".principal", Value: 7}},
		"no encoding":            {{Key: fieldEncoding, Value: nil}},
		"revision of a text":     {{Key: fieldRevision, Value: "0123456789abcdef"}},
	}
	if comparesLengths(t, b.coll) {
		fields["short revision"] = bson.D{{Key: fieldRevision, Value: bson.Binary{Data: []byte("0123456789abcde")}}}
		fields["revision of another subtype"] = bson.D{{Key: fieldRevision, Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte("0123456789abcdef")}}}
		fields["long revision"] = bson.D{{Key: fieldRevision, Value: bson.Binary{Data: []byte("0123456789abcdefg")}}}
	} else {
		t.Log("the server compares bytes before lengths: only reads find a revision of another length")
	}
	for name, damage := range fields {
		for state, lives := range map[string]time.Duration{"live": time.Hour, "expired": -time.Hour} {
			base := drivertest.Record("id", "ann", lives)
			drivertest.Seed(t, b, base)
			if res, err := b.coll.UpdateOne(ctx, byID("id"), bson.D{{Key: "$set", Value: damage}}); err != nil || res.ModifiedCount != 1 {
				t.Fatal(res, err)
			}
			before := storedDocument(t, b, "id")
			calls := drivertest.Pick(t, drivertest.Writes(base), "update", "touch", "extend", "clear", "delete")
			for _, c := range calls {
				if err := c.Do(ctx, b); model.Kind(err) != model.ErrCorrupt {
					t.Errorf("%s, %s: %s: %v, want %v", name, state, c.Name, err, model.ErrCorrupt)
				}
			}
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent} {
				w := driver.Write{Record: drivertest.Record("id", "bob", time.Hour), Cond: cond, Known: base, Keep: driver.Keep{Labels: cond == driver.IfPresent}}
				_, err := b.Write(ctx, drivertest.Now, w)
				drivertest.WantKind(t, err, model.ErrCorrupt)
				drivertest.WantKind(t, b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{{Write: &w}})[0].Err, model.ErrCorrupt)
			}
			if after := storedDocument(t, b, "id"); !reflect.DeepEqual(after, before) {
				t.Errorf("%s, %s: %v became %v", name, state, before, after)
			}
		}
	}
}

// TestForeignUniqueIndex violates a unique index that the user created, which
// does not mean that a record has the id.
func TestForeignUniqueIndex(t *testing.T) {
	b := open(t, &Options{Queryable: true})
	ctx := t.Context()
	_, err := b.coll.Indexes().CreateOne(ctx, mongodriver.IndexModel{Keys: bson.D{{Key: "copy.of", Value: 1}}, Options: options.Index().SetUnique(true)})
	if err != nil {
		t.Fatal(err)
	}
	drivertest.Seed(t, b, drivertest.Record("id", "", 0))
	w := driver.Write{Record: drivertest.Record("other", "", 0)}
	w.Record.Value = drivertest.Get(t, b, "id").Value
	for _, w.Cond = range []driver.Condition{driver.IfAbsent, driver.IfAny} {
		_, err = b.Write(ctx, drivertest.Now, w)
		drivertest.WantKind(t, err, model.ErrUnavailable)
		drivertest.WantKind(t, b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{{Write: &w}})[0].Err, model.ErrUnavailable)
	}
}

// TestLabelsOfOtherNode has a node that declares fewer labels than the one that
// wrote the record.
func TestLabelsOfOtherNode(t *testing.T) {
	all := open(t, &Options{Labels: []string{"principal", "tenant"}})
	few := another(t, all, &Options{Labels: []string{}})
	r := drivertest.Record("id", "ann", time.Hour)
	r.Labels["tenant"] = "t"
	drivertest.Seed(t, all, r)
	both := driver.Keep{Expiry: true, Labels: true}
	for _, test := range []struct {
		keep   driver.Keep
		labels int
		count  int
	}{{both, 2, 1}, {driver.Keep{}, 0, 0}} {
		got, err := few.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfPresent, Keep: test.keep})
		if err != nil || len(got.Labels) != test.labels {
			t.Fatalf("%+v, %v; want %d labels", got, err, test.labels)
		}
		wantCount(t, all, driver.Query{Label: "tenant", Value: "t"}, test.count)
	}
}
