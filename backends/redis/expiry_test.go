package redis

import (
	"context"
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
