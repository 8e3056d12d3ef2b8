package dynamodb

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }

// harness opens each backend behind a proxy of its own. Each store is a table.
func harness(t testing.TB) conformance.Harness {
	t.Helper()
	own := client(t)
	return conformance.Harness{
		Cases: 404,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := New(clientAt(t, startProxy(t).URL(), marked), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			return drivertest.NewCallLoser(b)
		},
		Server:   containers.DynamoDB(t).String(),
		LoseNext: drivertest.LoseNext,
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			it := recordKey(id)
			it["data"] = blob(data)
			putItem(t, own, name, it)
		},
	}
}
