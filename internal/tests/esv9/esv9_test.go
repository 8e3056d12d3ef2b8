package esv9

import (
	"net/http"
	"os"
	"strings"
	"testing"

	es "github.com/elastic/go-elasticsearch/v9"

	"github.com/sojourn-go/sojourn/backends/elasticsearch"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// eager is a configuration that sends everything again that the client can.
func eager(address string) es.Config {
	return es.Config{
		Addresses: []string{address}, MaxRetries: 9, RetryOnStatus: []int{429, 500, 502, 503, 504}, CompressRequestBody: true,
		RetryOnError: func(*http.Request, error) bool { return true },
	}
}

// clients makes a client of each kind.
var clients = map[string]func(es.Config) (elasticsearch.Client, error){
	"plain":                      func(c es.Config) (elasticsearch.Client, error) { return es.NewClient(c) },
	"typed":                      func(c es.Config) (elasticsearch.Client, error) { return es.NewTypedClient(c) },
	"base":                       func(c es.Config) (elasticsearch.Client, error) { return es.NewBaseClient(c) },
	"without compression":        func(c es.Config) (elasticsearch.Client, error) { c.CompressRequestBody = false; return es.NewClient(c) },
	"with a pool of compressors": func(c es.Config) (elasticsearch.Client, error) { c.PoolCompressor = true; return es.NewClient(c) },
}

func isWrite(name string) bool { return name == "_bulk" }

// proxied returns a backend on an index of its own, behind a proxy that names a
// request by the last element of its path.
func proxied(t *testing.T, open func(es.Config) (elasticsearch.Client, error)) (*elasticsearch.Backend, *faultnet.HTTPProxy) {
	t.Helper()
	wire := faultnet.NewHTTPProxy(t, containers.Elasticsearch(t).URL, &faultnet.HTTPOptions{
		Name: func(r *http.Request, _ []byte) string { return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] },
	})
	client, err := open(eager(wire.URL()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := elasticsearch.New(client, drivertest.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, wire
}

// TestClients makes every call with every kind of client, and loses writes: each
// is sent once, though the client would send it again.
func TestClients(t *testing.T) {
	for name, open := range clients {
		t.Run(name, func(t *testing.T) {
			b, wire := proxied(t, open)
			base := drivertest.SeedCalls(t, b)
			for _, c := range append(drivertest.Reads(), drivertest.Pick(t, drivertest.Writes(base), "update", "touch", "delete")...) {
				if err := c.Do(t.Context(), b); err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
			drivertest.LostWrites(t, drivertest.Lost{
				Open: func(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) {
					for _, id := range []string{"new", "plain"} {
						if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
							drivertest.WantKind(t, err, model.ErrNotFound)
						}
					}
					return b, wire
				},
				Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.LoseRequest, faultnet.CutAnswer},
				Calls: func(t testing.TB, base model.Record) []drivertest.Call {
					return drivertest.Pick(t, drivertest.Writes(base), "create", "upsert", "update", "compare-and-set", "touch", "delete")
				},
				IsWrite: isWrite,
			})
			if err := b.DeleteStorage(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRefusesUnusableClients gives clients that could not send.
func TestRefusesUnusableClients(t *testing.T) {
	errs := map[string]error{}
	for name, c := range map[string]elasticsearch.Client{"nil": (*es.Client)(nil), "empty": &es.Client{}, "empty and typed": &es.TypedClient{}} {
		_, errs[name] = elasticsearch.New(c, "carts", nil)
	}
	drivertest.NewErrors(t, "elasticsearch", errs)
}
