package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestClock has a function in front of the server's that tells another time.
func TestClock(t *testing.T) {
	owner := open(t, nil)
	schema := pgx.Identifier{drivertest.Name()}.Sanitize()
	exec(t, owner.db, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { exec(t, owner.db, "DROP SCHEMA "+schema+" CASCADE") })
	for _, test := range []struct {
		off, seen string
		level     driver.CheckLevel
	}{
		{"0 s", "clock", driver.CheckRight},
		{"10 s", "ahead by 9.", driver.CheckWarning},
		{"-10 s", "behind by 9.", driver.CheckWarning},
		{"1 h", "ahead by 59m59", driver.CheckUnsafe},
		{"-1 h", "behind by 59m59", driver.CheckUnsafe},
	} {
		exec(t, owner.db, "CREATE OR REPLACE FUNCTION "+schema+".clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + interval '"+test.off+"' $$")
		c := poolConfig(t)
		c.ConnConfig.RuntimeParams["search_path"] = schema + ", pg_catalog, public"
		b := newBackend(t, connect(t, c), owner.place.table, nil)
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		one := drivertest.Finding(t, checks, "clock")
		if one.Level != test.level || test.level != driver.CheckRight && !strings.Contains(one.Seen, test.seen) {
			t.Errorf("%s: %+v, want %v", test.off, one, test.level)
		}
		drivertest.WantKind(t, b.CreateStorage(t.Context()), nil) // whatever the clock is
	}
}
