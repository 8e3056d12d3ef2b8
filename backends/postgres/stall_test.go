package postgres

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestStalled has a server that stops answering, on a pool and on a connection
// of its own.
func TestStalled(t *testing.T) {
	front := newFront(t)
	b := openOn(t, connect(t, through(t, poolConfig(t), front, nil)), nil)
	drivertest.Stalled(t, b, front.Stall)
}
