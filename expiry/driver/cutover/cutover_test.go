package cutover_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
)

// wrapper makes one of the wrappers from the old and the new backend.
type wrapper func(old, new driver.ModelExpirySupport, opts *cutover.Options) (driver.ModelExpirySupport, error) //nolint:predeclared // the other side of old

func dualWrite(old, new driver.ModelExpirySupport, opts *cutover.Options) (driver.ModelExpirySupport, error) { //nolint:predeclared // the other side of old
	return cutover.NewDualWrite(old, new, opts)
}

func dualRead(old, new driver.ModelExpirySupport, opts *cutover.Options) (driver.ModelExpirySupport, error) { //nolint:predeclared // the other side of old
	return cutover.NewDualRead(old, new, opts)
}

func open(t testing.TB, space *memory.Space, name string) *memory.Backend {
	t.Helper()
	b, err := memory.New(space, name, &memory.Options{Labels: []string{"principal", "state"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// harness opens a wrapper over two stores in memory, whose lost answers the
// suite makes.
func harness(wrap wrapper) conformance.Harness {
	oldSpace, newSpace := memory.NewSpace(), memory.NewSpace()
	return conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			t.Helper()
			b, err := wrap(open(t, oldSpace, name), open(t, newSpace, name), nil)
			if err != nil {
				t.Fatal(err)
			}
			return conformance.NewLossy(b)
		},
		LoseNext: conformance.LoseNext,
	}
}

func TestDualWriteConformance(t *testing.T) { conformance.Run(t, harness(dualWrite)) }
func TestDualReadConformance(t *testing.T)  { conformance.Run(t, harness(dualRead)) }
func TestDualWriteSessions(t *testing.T)    { sessions.Run(t, harness(dualWrite)) }
func TestDualReadSessions(t *testing.T)     { sessions.Run(t, harness(dualRead)) }
