package drivertest

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// node is a backend whose client is closed with it: the suite opens hundreds.
type node struct {
	driverkit.Wrapper
	steps *faultnet.Steps
	close func() error
}

// Close closes the backend and its client.
func (n *node) Close() error {
	err := n.Wrapper.Close()
	if n.close != nil {
		_ = n.close() // a client that is interrupted may not end as it should
	}
	return err
}

// Interrupt returns how the suite interrupts the calls of a backend on a server: a
// step is a request. Open opens a backend whose client sends through the steps, and
// returns what closes the client. That may be nil. With a seed, the server carries
// out the request that is interrupted.
func Interrupt(open func(t testing.TB, name string, through *faultnet.Steps) (driver.ModelExpirySupport, func() error)) *conformance.Interrupt {
	return &conformance.Interrupt{
		Ways: []conformance.Way{conformance.Fail, conformance.Kill},
		Each: 5, // a step takes the time of some thirty requests
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			t.Helper()
			n := &node{steps: &faultnet.Steps{}}
			b, closes := open(t, name, n.steps)
			n.Wrapper, n.close = driverkit.Wrap(b), closes
			return n
		},
		Arm: func(t testing.TB, b driver.ModelExpirySupport, in conformance.Interruption) func() bool {
			t.Helper()
			n, ok := b.(*node)
			if !ok {
				t.Fatal("Interrupt.Open did not return this backend")
			}
			return n.steps.Break(faultnet.Break{Step: in.Step, Answer: in.Seed != 0, Ends: in.Way == conformance.Kill})
		},
	}
}
