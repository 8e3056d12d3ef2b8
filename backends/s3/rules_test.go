package s3

import (
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestTouchAtRevision(t *testing.T) { drivertest.TouchesAtRevision(t, open(t)) }

func TestEntriesStay(t *testing.T) {
	drivertest.EntriesStay(t, openOn(t, client(t), &Options{Labels: []string{"owner", "state"}}))
}

func TestStat(t *testing.T) {
	b := open(t)
	putObject(t, b, recordKey(placeOf("bad").name), []byte("not a record"))
	drivertest.Stats(t, b, "bad")
}

// TestStatOfLargeValue reads no more than the head.
func TestStatOfLargeValue(t *testing.T) {
	b, p := proxied(t, nil)
	rec := drivertest.Record("large", "ann", time.Hour)
	rec.Value = make([]byte, 1<<20)
	drivertest.Seed(t, b, rec)
	p.takeSize()
	got, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "large"})
	if size := p.takeSize(); err != nil || got.Size != 1<<20 || size > 8<<10 {
		t.Fatalf("%+v, %v; %d bytes were sent", got, err, size)
	}
}
