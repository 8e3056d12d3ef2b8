package mongo

import (
	"context"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, containers.MongoDB(t))) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, containers.MongoDB(t))) }

// harness opens each backend behind a proxy of its own. The client's retries
// are off, so that a lost answer stays lost. TestRetriedWrites has them on.
func harness(t testing.TB, server containers.Server) conformance.Harness {
	t.Helper()
	direct := connect(t, options.Client().ApplyURI(server.URL)).Database(databaseName)
	var proxies sync.Map // *Backend to *proxy
	return conformance.Harness{
		Cases: 533, // all but those on kills and power cuts: see failing
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := newProxy(t)
			o := p.through(t, server).SetRetryWrites(false)
			b := newBackend(t, connect(t, o).Database(databaseName), name, &Options{Labels: []string{"principal", "state"}})
			proxies.Store(b, p)
			return b
		},
		Server:    server.String(),
		Interrupt: failing(server),
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			p, ok := proxies.Load(b)
			if !ok {
				t.Fatal("Open did not return this backend")
			}
			p.(*proxy).Next(faultnet.LoseAnswer)
		},
		Stall: func(t testing.TB, b driver.ModelExpirySupport) func() {
			t.Helper()
			p, ok := proxies.Load(b)
			if !ok {
				t.Fatal("Open did not return this backend")
			}
			p.(*proxy).Stall()
			return func() {}
		},
		// A call waits for the look at the collection, which the first one makes. Calls
		// of a batch also wait for each other: see TestTurnsCount and TestWavesCount.
		Delay: func(t testing.TB, b driver.ModelExpirySupport, d time.Duration) {
			t.Helper()
			own := b.(*Backend)
			own.watch = drivertest.Jumps(d)
			own.found.Store(false)
		},
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			theirs := direct.Collection(name)
			if _, err := theirs.InsertOne(t.Context(), bson.D{{Key: fieldID, Value: "theirs"}, {Key: fieldExpiry, Value: dateOf(time.Unix(1, 0))}, {Key: "total", Value: 12}}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = theirs.Drop(context.WithoutCancel(t.Context())) })
			return func(t testing.TB) {
				t.Helper()
				if n, err := theirs.CountDocuments(t.Context(), bson.D{{Key: "total", Value: 12}}); n != 1 || err != nil {
					t.Fatalf("another program's document was found %d times, %v", n, err)
				}
			}
		},
		Stored: func(t testing.TB, name, id string) []conformance.Part {
			t.Helper()
			return partsOf(t, direct.Collection(name), id)
		},
		Left: func(t testing.TB, name string) int { t.Helper(); return leftIn(t, direct.Collection(name)) },
		// The labels stay: they are what the index has, and other backends
		// keep the index when a record is damaged. So does the format, by which
		// DeleteStorage knows the store's own documents.
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			res, err := direct.Collection(name).UpdateOne(t.Context(), byID(id), bson.D{
				{Key: "$set", Value: bson.D{{Key: fieldValue, Value: bson.Binary{Data: data}}}},
				{Key: "$unset", Value: bson.D{
					{Key: fieldRevision, Value: ""}, {Key: fieldExpiry, Value: ""}, {Key: fieldEncoding, Value: ""},
				}},
			})
			if err != nil || res.MatchedCount != 1 {
				t.Fatal(res, err)
			}
		},
	}
}

// looseFields are the fields that a read returns, with what of a record each one
// holds. MongoDB has a checksum over what it stores: another value in a field
// comes from a command, and is what the document says.
var looseFields = map[string][]string{
	fieldFormat: nil, fieldRevision: {"revision"}, fieldExpiry: {"expiry"}, fieldForever: {"expiry"},
	fieldEncoding: {"encoding"}, fieldValue: {"value"},
}

// comparesLengths reports whether the server compares the lengths of binary values
// before their bytes, as MongoDB does: then a write finds a revision of another
// length.
func comparesLengths(t testing.TB, c *mongodriver.Collection) bool {
	t.Helper()
	find := bson.D{{Key: "find", Value: c.Name()}, {Key: "filter", Value: bson.D{{Key: "$expr", Value: bson.D{
		{Key: "$lt", Value: bson.A{bson.Binary{Data: []byte{9}}, bson.Binary{Data: []byte{0, 0}}}},
	}}}}, {Key: "limit", Value: 1}}
	raw, err := c.Database().RunCommand(t.Context(), find).Raw()
	if err != nil {
		t.Fatal(err)
	}
	found, err := raw.Lookup("cursor", "firstBatch").Array().Values()
	if err != nil {
		t.Fatal(err)
	}
	return len(found) > 0
}

// partsOf returns the fields of a document. Their bytes are those of BSON without
// lengths.
func partsOf(t testing.TB, c *mongodriver.Collection, id string) (parts []conformance.Part) {
	t.Helper()
	doc, err := c.FindOne(t.Context(), byID(id)).Raw()
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, v bson.RawValue, loose []string) {
		data := v.Value
		switch v.Type {
		case bson.TypeString:
			data = []byte(v.StringValue())
		case bson.TypeBinary:
			_, data = v.Binary()
		}
		parts = append(parts, conformance.Part{Name: "field " + name, Bytes: data, Loose: loose, Unjudged: name == fieldValue || name == fieldRevision && !comparesLengths(t, c), Put: func(t testing.TB, data []byte) bool {
			t.Helper()
			var value any
			switch {
			case v.Type == bson.TypeString && utf8.Valid(data):
				value = string(data)
			case v.Type == bson.TypeBinary:
				value = bson.Binary{Data: data}
			case v.Type == bson.TypeBoolean && len(data) == 1 && data[0] < 2, v.Type == bson.TypeInt32 && len(data) == 4, v.Type == bson.TypeDateTime && len(data) == 8:
				value = bson.RawValue{Type: v.Type, Value: data}
			default:
				return false
			}
			res, err := c.UpdateOne(t.Context(), byID(id), bson.D{{Key: "$set", Value: bson.D{{Key: name, Value: value}}}})
			if err != nil || res.MatchedCount != 1 {
				t.Fatal(res, err)
			}
			return true
		}})
	}
	for name, loose := range looseFields {
		if v, err := doc.LookupErr(name); err == nil {
			add(name, v, loose)
		}
	}
	if labels, ok := doc.Lookup(fieldLabels).DocumentOK(); ok {
		all, err := labels.Elements()
		if err != nil {
			t.Fatal(err)
		}
		for _, label := range all {
			add(fieldLabels+"."+label.Key(), label.Value(), []string{"labels"})
		}
	}
	return parts
}

// leftIn counts a collection with its indexes, its documents, their fields and
// their labels.
func leftIn(t testing.TB, c *mongodriver.Collection) (n int) {
	t.Helper()
	indexes, err := c.Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := readAll(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		fields, err := doc.Elements()
		if err != nil {
			t.Fatal(err)
		}
		n += 1 + len(fields)
		if labels, ok := doc.Lookup(fieldLabels).DocumentOK(); ok {
			names, err := labels.Elements()
			if err != nil {
				t.Fatal(err)
			}
			n += len(names)
		}
	}
	return n + len(indexes)
}

// failing lets requests fail, but for the driver's own commands. It kills no client:
// the driver of a dead one looks for its server in each call, until the selection
// times out. A power cut is the server's.
func failing(server containers.Server) *conformance.Interrupt {
	in := drivertest.Interrupt(func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error) {
		t.Helper()
		through.Skip = func(raw []byte) bool {
			body := command(raw)
			return body == nil || ownCommand(body.Index(0).Key())
		}
		c, err := mongodriver.Connect(options.Client().ApplyURI(server.URL).SetDirect(true).SetRetryWrites(false).SetDialer(through))
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.WithoutCancel(t.Context())
		return newBackend(t, c.Database(databaseName), name, &Options{Labels: []string{"principal", "state"}}), func() error {
			return c.Disconnect(ctx)
		}
	})
	in.Ways = []conformance.Way{conformance.Fail}
	return in
}
