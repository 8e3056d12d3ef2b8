package otelsojourn_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// harness has memory below a wrapper with spans and metrics. The cases on stored
// bytes and on what is left run in package memory, which alone can reach them.
func harness() conformance.Harness {
	space, r := memory.NewSpace(), newRecorder()
	return conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := memory.New(space, name, &memory.Options{Labels: []string{"principal", "state"}})
			if err != nil {
				t.Fatal(err)
			}
			return wrap(t, conformance.NewLossy(b), r.opts)
		},
		LoseNext: conformance.LoseNext,
		Server:   "in process",
		Cases:    482,
	}
}

func TestConformance(t *testing.T) { conformance.Run(t, harness()) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness()) }
