package mongo

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// place returns a backend on a collection that another program made with the
// documents and indexes, and what the collection had then.
func place(t testing.TB, docs []any, indexes ...mongodriver.IndexModel) (*Backend, string) {
	t.Helper()
	b := newBackend(t, connect(t, clientOptions(t)).Database(databaseName), drivertest.Name(), nil)
	ctx := t.Context()
	t.Cleanup(func() { _ = b.coll.Drop(context.WithoutCancel(ctx)) })
	if len(docs) > 0 {
		if _, err := b.coll.InsertMany(ctx, docs); err != nil {
			t.Fatal(err)
		}
	}
	if len(indexes) > 0 {
		if _, err := b.coll.Indexes().CreateMany(ctx, indexes); err != nil {
			t.Fatal(err)
		}
	}
	return b, everything(t, b)
}

// everything returns the documents and indexes of the collection as text.
func everything(t testing.TB, b *Backend) string {
	t.Helper()
	var text strings.Builder
	for _, list := range []func() (*mongodriver.Cursor, error){
		func() (*mongodriver.Cursor, error) {
			return b.coll.Find(t.Context(), bson.D{}, options.Find().SetSort(idKeys))
		},
		func() (*mongodriver.Cursor, error) { return b.coll.Indexes().List(t.Context()) },
	} {
		cur, err := list()
		if err != nil {
			t.Fatal(err)
		}
		found, err := readAll(t.Context(), cur)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range found {
			text.WriteString(raw.String() + "\n")
		}
	}
	return text.String()
}

// TestForeignCollections has collections of another program: CreateStorage and
// DeleteStorage name what they found and leave it as it was.
func TestForeignCollections(t *testing.T) {
	date := bson.NewDateTimeFromTime(time.Now().Add(-time.Hour))
	order := bson.D{{Key: "_id", Value: "order-1"}, {Key: "exp", Value: date}, {Key: "total", Value: 12}}
	index := func(name string, keys bson.D, change ...func(*options.IndexOptionsBuilder)) mongodriver.IndexModel {
		o := options.Index().SetName(name)
		for _, f := range change {
			f(o)
		}
		return mongodriver.IndexModel{Keys: keys, Options: o}
	}
	unique := func(o *options.IndexOptionsBuilder) { o.SetUnique(true) }
	for name, test := range map[string]struct {
		docs    []any
		indexes []mongodriver.IndexModel
		found   string
	}{
		"a date in exp":       {[]any{order}, nil, `"total"`},
		"ids of another type": {[]any{bson.D{{Key: "_id", Value: 7}, {Key: "sojourn", Value: "red"}}}, nil, `"sojourn"`},
		"an index on exp":     {[]any{order}, []mongodriver.IndexModel{index("exp_1", expiryKeys)}, `"exp_1"`},
		"our name":            {[]any{order}, []mongodriver.IndexModel{index(expiryIndex, bson.D{{Key: "made", Value: 1}})}, expiryIndex},
		"our name, unique":    {[]any{order}, []mongodriver.IndexModel{index(expiryIndex, expiryKeys, unique)}, "unique"},
		"our label, unique":   {[]any{order}, []mongodriver.IndexModel{index(labelIndex("principal"), labelKeys("principal"), unique)}, "unique"},
	} {
		t.Run(name, func(t *testing.T) {
			b, before := place(t, test.docs, test.indexes...)
			drivertest.WantForeign(t, b.CreateStorage(t.Context()), test.found)
			if after := everything(t, b); after != before {
				t.Fatalf("CreateStorage made of\n%s\n%s", before, after)
			}
			drivertest.WantKind(t, b.DeleteStorage(t.Context()), model.ErrCorrupt)
			if after := everything(t, b); after != before {
				t.Fatalf("DeleteStorage made of\n%s\n%s", before, after)
			}
		})
	}
}

// TestForeignIndexAlone has an index in the place of ours, in a collection
// without documents.
func TestForeignIndexAlone(t *testing.T) {
	b, before := place(t, nil, mongodriver.IndexModel{Keys: expiryKeys, Options: options.Index().SetName("theirs").SetExpireAfterSeconds(0)})
	if !strings.Contains(before, "theirs") {
		t.Fatal(before)
	}
	drivertest.WantForeign(t, b.CreateStorage(t.Context()), `"theirs"`)
	drivertest.WantForeign(t, b.DeleteStorage(t.Context()), `"theirs"`)
	if after := everything(t, b); after != before {
		t.Fatalf("%s became\n%s", before, after)
	}
}

// TestSharedCollection has another program that writes to the store's
// collection: DeleteStorage removes the records, and the index that would
// remove the other documents.
func TestSharedCollection(t *testing.T) {
	ctx := t.Context()
	theirs := bson.D{{Key: "_id", Value: "order-1"}, {Key: "exp", Value: bson.NewDateTimeFromTime(drivertest.Now)}, {Key: "total", Value: 1}}
	b, before := place(t, []any{theirs})
	if _, err := b.coll.DeleteMany(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	newer := bson.D{{Key: "_id", Value: "newer"}, {Key: "sojourn", Value: 2}}
	if _, err := b.coll.InsertMany(ctx, []any{theirs, newer}); err != nil {
		t.Fatal(err)
	}
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour), drivertest.Record("b", "", 0))
	drivertest.WantForeign(t, b.CreateStorage(ctx), `"total"`)
	for range 2 {
		drivertest.WantForeign(t, b.DeleteStorage(ctx), `"total"`)
		if after := everything(t, b); after != before {
			t.Fatalf("%s became\n%s", before, after)
		}
	}
	if _, err := b.coll.DeleteMany(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	if exists, err := b.checkCollection(ctx); exists || err != nil {
		t.Fatal(exists, err)
	}
}

// TestUserIndex has an index that the user added: DeleteStorage removes all but
// that.
func TestUserIndex(t *testing.T) {
	b, ctx := open(t, &Options{Queryable: true}), t.Context()
	if _, err := b.coll.Indexes().CreateOne(ctx, mongodriver.IndexModel{Keys: bson.D{{Key: "copy.of", Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour))
	if err := b.CreateStorage(ctx); err != nil {
		t.Fatal(err)
	}
	drivertest.WantForeign(t, b.DeleteStorage(ctx), "copy.of")
	if have, err := b.indexes(ctx); err != nil || len(have) != 2 {
		t.Fatal(have, err)
	}
	drivertest.Gone(t, b, "a")
}

func TestIndexOf(t *testing.T) {
	want := index{name: labelIndex("a"), keys: keysOf(labelKeys("a")), part: labelField("a")}
	definition := func(more ...bson.E) bson.D {
		return append(bson.D{{Key: "name", Value: want.name}, {Key: "key", Value: labelKeys("a")}}, more...)
	}
	for name, test := range map[string]struct {
		have bson.D
		ours bool
	}{
		"plain":                 {definition(), true},
		"partial":               {definition(bson.E{Key: "partialFilterExpression", Value: hasField("lab.a")}), true},
		"partial by another":    {definition(bson.E{Key: "partialFilterExpression", Value: hasField("lab.b")}), false},
		"partial by a value":    {definition(bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "lab.a", Value: "x"}}}), false},
		"unique and partial":    {definition(bson.E{Key: "unique", Value: true}, bson.E{Key: "partialFilterExpression", Value: hasField("lab.a")}), false},
		"sparse":                {definition(bson.E{Key: "sparse", Value: true}), false},
		"with a collation":      {definition(bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "de"}}}), false},
		"simple collation":      {definition(bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "simple"}}}), true},
		"expires documents":     {definition(bson.E{Key: "expireAfterSeconds", Value: 5}), false},
		"a text index":          {bson.D{{Key: "name", Value: want.name}, {Key: "key", Value: bson.D{{Key: "lab.a", Value: "text"}, {Key: "_id", Value: 1}}}}, false},
		"descending":            {bson.D{{Key: "name", Value: want.name}, {Key: "key", Value: bson.D{{Key: "lab.a", Value: -1}, {Key: "_id", Value: 1}}}}, false},
		"orders of other types": {bson.D{{Key: "name", Value: want.name}, {Key: "key", Value: bson.D{{Key: "lab.a", Value: 1.0}, {Key: "_id", Value: int64(1)}}}}, true},
	} {
		raw, err := bson.Marshal(test.have)
		if err != nil {
			t.Fatal(err)
		}
		have := indexOf(raw)
		if what := have.inPlaceOf(&want); (what == "") != test.ours || have.ours() != test.ours {
			t.Errorf("%s: %+v: %q, ours %v", name, have, what, have.ours())
		}
	}
}
