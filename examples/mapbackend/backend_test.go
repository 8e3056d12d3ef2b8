package main

import (
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestConformance(t *testing.T) {
	var maps sync.Map // one Map for each name
	conformance.Run(t, conformance.Harness{
		Open: func(_ testing.TB, name string) driver.ModelExpirySupport {
			m, _ := maps.LoadOrStore(name, NewMap(name))
			return NewBackend(m.(*Map))
		},
	})
}
