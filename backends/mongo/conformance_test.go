package mongo

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, containers.MongoDB(t))) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, containers.MongoDB(t))) }

// cases is the number of cases of the suite that run here: all.
const cases = 437

// harness opens each backend behind a proxy of its own. The client's retries
// are off, so that a lost answer stays lost. TestRetriedWrites has them on.
func harness(t testing.TB, server containers.Server) conformance.Harness {
	t.Helper()
	direct := connect(t, options.Client().ApplyURI(server.URL)).Database(databaseName)
	var proxies sync.Map // *Backend to *proxy
	return conformance.Harness{
		Cases: cases,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := newProxy(t)
			o := p.through(t, server).SetRetryWrites(false)
			b := newBackend(t, connect(t, o).Database(databaseName), name, &Options{Labels: []string{"principal", "state"}})
			proxies.Store(b, p)
			return b
		},
		Server: server.String(),
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
