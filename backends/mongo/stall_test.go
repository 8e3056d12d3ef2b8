package mongo

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestStalled has the driver's defaults, retries included, and a listing whose
// cursor is open when the server stops.
func TestStalled(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.Stalled(t, b, p.Stall)
}
