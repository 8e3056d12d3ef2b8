package postgres

import (
	"testing"

	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t, nil)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, open(t, &Options{Labels: []string{"owner", "state"}}))
}

func TestStat(t *testing.T) {
	b := open(t, nil)
	exec(t, b.db, "INSERT INTO "+b.place.name()+" VALUES ('bad', 2, gen_random_uuid(), NULL, NULL, 'json', '')")
	drivertest.Stats(t, b, "bad")
}

func TestEndedContexts(t *testing.T) { drivertest.EndedContexts(t, open(t, nil), nil) }
