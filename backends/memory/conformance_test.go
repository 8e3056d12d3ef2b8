package memory_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry"
)

func TestConformance(t *testing.T) {
	space := memory.NewSpace()
	conformance.Run(t, conformance.Harness{
		Open: func(t testing.TB, name string) expiry.ModelExpirySupport {
			b, err := memory.New(space, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			return &conformance.Lossy{ModelExpirySupport: b}
		},
		LoseNext: conformance.LoseNext,
		Server:   "in process",
	})
}
