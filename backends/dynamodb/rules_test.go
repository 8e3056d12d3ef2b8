package dynamodb

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t, nil)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}
