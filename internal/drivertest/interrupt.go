package drivertest

import (
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Interrupt returns how the suite interrupts the calls of a backend on a server: a
// step is a request. Open opens a backend whose client sends through the steps.
// With a seed, the server carries out the request that is interrupted.
func Interrupt(open func(t testing.TB, name string, through *faultnet.Steps) driver.ModelExpirySupport) *conformance.Interrupt {
	var nodes sync.Map // driver.ModelExpirySupport to *faultnet.Steps
	return &conformance.Interrupt{
		Ways: []conformance.Way{conformance.Fail, conformance.Kill},
		Each: 5, // a step takes the time of some thirty requests
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			t.Helper()
			s := &faultnet.Steps{}
			b := open(t, name, s)
			nodes.Store(b, s)
			return b
		},
		Arm: func(t testing.TB, b driver.ModelExpirySupport, in conformance.Interruption) func() bool {
			t.Helper()
			s, ok := nodes.Load(b)
			if !ok {
				t.Fatal("Interrupt.Open did not return this backend")
			}
			return s.(*faultnet.Steps).Break(faultnet.Break{Step: in.Step, Answer: in.Seed != 0, Ends: in.Way == conformance.Kill})
		},
	}
}
