package faultnet_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// openWith stands for the author's own function.
func openWith(testing.TB, *http.Client, string) driver.ModelExpirySupport { return nil }

// Harness.Interrupt of a backend that sends requests over HTTP. One with
// connections gives DialContext to its client instead.
func ExampleSteps() {
	var nodes sync.Map // driver.ModelExpirySupport to *faultnet.Steps
	interrupt := &conformance.Interrupt{
		Ways: []conformance.Way{conformance.Fail, conformance.Kill},
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			steps := &faultnet.Steps{}
			b := openWith(t, &http.Client{Transport: steps.RoundTripper(nil)}, name)
			nodes.Store(b, steps)
			return b
		},
		Arm: func(_ testing.TB, b driver.ModelExpirySupport, in conformance.Interruption) func() bool {
			steps, _ := nodes.Load(b)
			return steps.(*faultnet.Steps).Break(faultnet.Break{Step: in.Step, Answer: in.Seed != 0, Ends: in.Way == conformance.Kill})
		},
	}
	_ = conformance.Harness{Interrupt: interrupt}
}
