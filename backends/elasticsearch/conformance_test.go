package elasticsearch

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens each backend with a client of its own, whose transport can lose
// answers. The client retries by default. Each store is an index of its own.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	server := containers.Elasticsearch(t)
	own := client(t)
	shared := pool(t)
	losing := roundTripper(func(r *http.Request) (*http.Response, error) {
		res, err := shared.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, "/_bulk") || !drivertest.Loses(r.Context()) {
			return res, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return nil, io.ErrUnexpectedEOF
	})
	return conformance.Harness{
		Cases: 428,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			var stalled atomic.Bool
			stalling := roundTripper(func(r *http.Request) (*http.Response, error) {
				if stalled.Load() {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return losing.RoundTrip(r)
			})
			b := newBackend(t, clientOn(t, server.URL, stalling), name, &Options{Labels: []string{"principal", "state"}})
			return drivertest.NewCallLoser(b).StalledBy(func() { stalled.Store(true) })
		},
		Stall: drivertest.Stall,
		Occupy: func(t testing.TB, name string) func(testing.TB) {
			t.Helper()
			theirs := name + "-theirs"
			request(t, own, http.MethodPut, "/"+theirs, `{"aliases":{"`+name+`":{}}}`)
			request(t, own, http.MethodPost, "/"+theirs+"/_bulk?refresh", `{"index":{"_id":"1"}}`+"\n"+`{"total":12}`+"\n")
			t.Cleanup(func() {
				res, err := own.Indices.Delete([]string{theirs}, own.Indices.Delete.WithContext(context.WithoutCancel(t.Context())))
				if err == nil {
					_ = res.Body.Close()
				}
			})
			return func(t testing.TB) {
				t.Helper()
				if text := request(t, own, http.MethodGet, "/"+theirs+"/_doc/1", ""); !strings.Contains(text, `"total":12`) {
					t.Fatalf("another program's document is %s", text)
				}
			}
		},
		Server:   server.String(),
		LoseNext: drivertest.LoseNext,
		// The document keeps its place in listings, by id, label and expiry.
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			b := newBackend(t, own, name, nil)
			doc := sourceOf(t, own, name, id)
			for _, field := range []string{fieldFormat, fieldRevision, fieldEncoding, fieldValue} {
				delete(doc, field)
			}
			doc[fieldBytes] = base64.StdEncoding.EncodeToString(data)
			if r := b.bulk(t.Context(), []action{{verb: "index", id: id, source: func() any { return doc }}})[0]; !r.ok() {
				t.Fatal(b.itemError(&r))
			}
		},
	}
}
