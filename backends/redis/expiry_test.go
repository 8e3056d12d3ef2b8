package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestSweepEndsWithAWrongIndex has a live record that the index by expiry takes
// for a due one: the sweep leaves it and ends.
func TestSweepEndsWithAWrongIndex(t *testing.T) {
	b := open(t, nil)
	rec := drivertest.Put(t, b, drivertest.Record("id", "ann", time.Hour))
	wrong := goredis.Z{Score: float64(drivertest.Now.UnixMilli()), Member: rec.ID}
	if err := b.client.ZAdd(t.Context(), b.bucket(rec.ID).due, wrong).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for name, onExpire := range map[string]func(model.Record) error{"silent": nil, "announced": func(model.Record) error { return nil }} {
		swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 1, OnExpire: onExpire})
		if err != nil || swept.Removed != 0 {
			t.Errorf("%s: %+v, %v", name, swept, err)
		}
	}
	drivertest.Holds(t, b, rec.ID, rec.Revision, rec.ExpiresAt)
}

// TestTurnsCount has operations of a batch that are sent again one after another,
// because records bear labels that the node does not declare. The second one waits
// for the first, and its record expires meanwhile (rule R100).
func TestTurnsCount(t *testing.T) {
	all := open(t, nil)
	few := createOn(t, all.client, all.name, &Options{Labels: []string{}})
	reads := []time.Duration{0, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour}
	few.watch = func() time.Duration {
		at := reads[0]
		reads = reads[1:]
		return at
	}
	a, b := drivertest.Record("a", "ann", time.Hour), drivertest.Record("b", "ann", time.Hour)
	drivertest.Seed(t, all, a, b)
	out := few.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{
		{Delete: &driver.Delete{ID: "a", Cond: driver.IfPresent}}, {Delete: &driver.Delete{ID: "b", Cond: driver.IfPresent}},
	})
	if out[0].Err != nil || !errors.Is(out[1].Err, model.ErrNotFound) {
		t.Errorf("deletes: %v, %v", out[0].Err, out[1].Err)
	}
	reads = []time.Duration{0, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour}
	drivertest.Seed(t, all, a, b)
	out = few.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{
		{Write: &driver.Write{Record: drivertest.Record("a", "", 3*time.Hour), Cond: driver.IfPresent}},
		{Write: &driver.Write{Record: drivertest.Record("b", "", 3*time.Hour), Cond: driver.IfPresent}},
	})
	if out[0].Err != nil || !errors.Is(out[1].Err, model.ErrNotFound) {
		t.Errorf("updates: %v, %v", out[0].Err, out[1].Err)
	}
}

// TestLaterScriptsCount has a count by label whose second script waits for the
// first, while the records expire (rule R100). The first one counts a hundred of
// the label's entries, or has the entries of expired records to visit.
func TestLaterScriptsCount(t *testing.T) {
	const bearing = 150
	for expired, want := range map[int]int{bearing + 10: countStep, bearing - 10: 0} {
		b := open(t, &Options{Labels: []string{"principal"}, Buckets: 1})
		var recs []model.Record
		for i := range bearing + expired {
			r := drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
			if i >= bearing {
				r.Labels, r.ExpiresAt = map[string]string{"principal": "bob"}, drivertest.Now
			}
			recs = append(recs, r)
		}
		drivertest.Seed(t, b, recs...)
		var reads int
		b.watch = func() time.Duration { reads++; return time.Duration(min(reads-1, 1)) * 2 * time.Hour }
		if n, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != want || reads < 2 {
			t.Errorf("beside %d expired records: counted %d after %d looks at the stopwatch, %v; want %d", expired, n, reads, err, want)
		}
	}
}
