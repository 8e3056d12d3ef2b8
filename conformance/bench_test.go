package conformance_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func BenchmarkMemory(b *testing.B) {
	space := memory.NewSpace()
	conformance.Benchmarks(b, conformance.Harness{Open: func(t testing.TB, name string) driver.ModelExpirySupport {
		m, err := memory.New(space, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
}
