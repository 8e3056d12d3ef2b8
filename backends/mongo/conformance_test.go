package mongo

import (
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t, containers.MongoDB(t))) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t, containers.MongoDB(t))) }

// cases is how many cases of the suite run here: all.
const cases = 404

// harness opens each backend behind a proxy of its own. The client's retries
// are off, so that an answer that is lost stays lost: what the server makes of
// a write that comes twice is a test of faults_test.go.
func harness(t testing.TB, server containers.Server) conformance.Harness {
	t.Helper()
	own := clientOf(t, options.Client().ApplyURI(server.URL)).Database(databaseName)
	var proxies sync.Map // of *Backend
	return conformance.Harness{
		Cases: cases,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t, server.Addr)
			o := p.through(options.Client().ApplyURI(server.URL)).SetRetryWrites(false)
			b, err := New(clientOf(t, o).Database(databaseName), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			proxies.Store(b, p)
			return b
		},
		Server: server.String(),
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			p, ok := proxies.Load(b)
			if !ok {
				t.Fatal("a backend that Open did not return")
			}
			p.(*proxy).play(loseAnswer)
		},
		// The labels stay: here they are the index, which damage to a record
		// leaves alone elsewhere.
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			res, err := own.Collection(name).UpdateOne(t.Context(), byID(id), bson.D{
				{Key: "$set", Value: bson.D{{Key: fieldValue, Value: bson.Binary{Data: data}}}},
				{Key: "$unset", Value: bson.D{{Key: fieldFormat, Value: ""}, {Key: fieldRev, Value: ""}, {Key: fieldExpiry, Value: ""}, {Key: fieldCodec, Value: ""}}},
			})
			if err != nil || res.MatchedCount != 1 {
				t.Fatal(res, err)
			}
		},
	}
}
