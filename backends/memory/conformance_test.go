package memory_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// harness has no Damage: only this package can reach the records.
func harness() conformance.Harness {
	space := memory.NewSpace()
	return conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := memory.New(space, name, &memory.Options{Labels: []string{"principal", "state"}})
			if err != nil {
				t.Fatal(err)
			}
			return conformance.NewLossy(b)
		},
		LoseNext: conformance.LoseNext,
		Server:   "in process",
		Cases:    425,
	}
}

func TestConformance(t *testing.T) { conformance.Run(t, harness()) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness()) }
