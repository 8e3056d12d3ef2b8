package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Above returns the harness with a wrapper around what every Store of the
// suite stands on: it plants the bugs of a front.
func (h Harness) Above(f func(driver.ModelExpirySupport) driver.ModelExpirySupport) Harness {
	h.above = f
	return h
}

// LeakWait returns the harness with another time for goroutines to end.
func (h Harness) LeakWait(d time.Duration) Harness {
	h.leakWait = d
	return h
}
