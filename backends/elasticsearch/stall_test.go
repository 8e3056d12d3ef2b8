package elasticsearch

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestStalled has a server that stops answering: each call ends with its
// context, whatever the client retries.
func TestStalled(t *testing.T) {
	b, p := proxied(t)
	drivertest.Stalled(t, b, p.Stall)
}
