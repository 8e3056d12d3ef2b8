package dynamodb

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens each backend behind a proxy of its own. A store is a table of
// its own.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	server := containers.DynamoDB(t)
	own := client(t)
	return conformance.Harness{
		Cases: 404,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			p := startProxy(t, server.URL)
			b, err := New(clientAt(t, p.url, marking), name, nil)
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
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			it := recordKey(id)
			it["data"] = blob(data)
			putItem(t, own, name, it)
		},
	}
}
