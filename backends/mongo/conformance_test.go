package mongo

import (
	"sync"
	"testing"

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
const cases = 404

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
			b := newBackend(t, connect(t, o).Database(databaseName), name, nil)
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
