package elasticsearch

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens each backend on a client of its own, of the library's own
// configuration with its retries, whose transport can lose answers. A store is
// an index of its own.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	server := containers.Elasticsearch(t)
	own := client(t)
	shared := pool(t)
	return conformance.Harness{
		Cases: 404,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := New(clientOn(t, server.URL, &losing{shared}), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			return &lossy{Backend: b}
		},
		Server: server.String(),
		LoseNext: func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			l, ok := b.(*lossy)
			if !ok {
				t.Fatal("a backend that Open did not return")
			}
			l.armed.Store(true)
		},
		// The document keeps its place in listings, by id, label and expiry.
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			b := Backend{client: own, name: name}
			body, err := marshal(map[string][]string{"ids": {id}})
			if err != nil {
				t.Fatal(err)
			}
			_, text := request(t, own, http.MethodPost, "/"+name+"/_mget", string(body))
			var res struct {
				Docs []struct {
					Source map[string]any `json:"_source"`
				} `json:"docs"`
			}
			if err := json.Unmarshal([]byte(text), &res); err != nil || len(res.Docs) != 1 || res.Docs[0].Source == nil {
				t.Fatal(text, err)
			}
			doc := res.Docs[0].Source
			for _, field := range []string{fieldFormat, fieldRevision, fieldEncoding, fieldValue} {
				delete(doc, field)
			}
			doc[fieldBytes] = base64.StdEncoding.EncodeToString(data)
			if r := b.bulk(t.Context(), []action{{verb: "index", id: id, source: doc}})[0]; !r.ok() {
				t.Fatal(r)
			}
		},
	}
}
