package sessions_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestSessionsOnMemory(t *testing.T) {
	space := memory.NewSpace()
	sessions.Run(t, conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := memory.New(space, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Server: "in process",
	})
}
