package elasticsearch

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestTouchAtRevision(t *testing.T) {
	t.Parallel()
	drivertest.TouchesAtRevision(t, open(t, nil))
}

func TestEntriesStay(t *testing.T) {
	t.Parallel()
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}
