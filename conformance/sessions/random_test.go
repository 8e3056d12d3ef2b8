package sessions

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func inMemory() conformance.Harness {
	space := memory.NewSpace()
	return conformance.Harness{Open: func(t testing.TB, name string) driver.ModelExpirySupport {
		b, err := memory.New(space, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}}
}

func TestRandomSequences(t *testing.T) { RunRandom(t, inMemory()) }
