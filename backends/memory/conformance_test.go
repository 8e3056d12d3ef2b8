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
		// A record is a value of Go. Its bytes in memory have no checksum.
		Stored: func(_ testing.TB, name, id string) []conformance.Part {
			value, put := memory.Value(space, name, id)
			return []conformance.Part{{
				Name: "value in memory", Bytes: value, Loose: []string{"value"},
				Put: func(_ testing.TB, data []byte) bool { put(data); return true },
			}}
		},
		Left:   func(_ testing.TB, name string) int { return memory.Left(space, name) },
		Server: "in process",
		Cases:  498,
	}
}

func TestConformance(t *testing.T) { conformance.Run(t, harness()) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness()) }
