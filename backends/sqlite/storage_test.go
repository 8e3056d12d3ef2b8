package sqlite

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// everything returns the schema of the database.
func everything(t testing.TB, b *Backend) (text string) {
	t.Helper()
	must(t, b.db.QueryRow("SELECT coalesce(group_concat(sql, char(10)), '') FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name)").Scan(&text))
	return text
}

// placed returns a backend without storage, after the statements: %s is its table.
func placed(t testing.TB, statements ...string) *Backend {
	t.Helper()
	db, _ := openDB(t, filepath.Join(memoryDir(t), "db"))
	b := newOn(t, db, `a "place"`, "principal")
	for _, s := range statements {
		execute(t, db, strings.ReplaceAll(s, "%s", b.name))
	}
	return b
}

// TestPlacesOfOthers has tables and views of other programs: they stay as they
// are, and the message names them.
func TestPlacesOfOthers(t *testing.T) {
	for made, found := range map[string]string{
		"CREATE TABLE %s AS SELECT 12 AS total":                          `the table "a ""place"""`,
		`CREATE TABLE "A ""Place""" (total int)`:                         `the table "A ""Place"""`,
		"CREATE VIEW %s AS SELECT 12 AS total":                           `the view "a ""place"""`,
		"CREATE TABLE %s (id BLOB PRIMARY KEY NOT NULL, format INTEGER)": "the table",
		"CREATE VIRTUAL TABLE %s USING fts5(total)":                      "the table",
		`CREATE TABLE t (x); CREATE INDEX %s ON t (x)`:                   "has the name",
		`CREATE TABLE t (x); CREATE INDEX "a ""place"" expiry" ON t (x)`: "has the name",
		`CREATE TABLE "a ""place"" label principal" (x)`:                 "has the name",
	} {
		b := placed(t, made)
		before := everything(t, b)
		drivertest.WantForeign(t, b.CreateStorage(t.Context()), found)
		if after := everything(t, b); after != before {
			t.Errorf("%s: %q became %q", made, before, after)
		}
		checks, err := b.Check(t.Context())
		if err != nil || checks.Err() == nil {
			t.Errorf("%s: %v, %v", made, checks, err)
		}
		if found == "has the name" {
			must(t, b.DeleteStorage(t.Context())) // there is nothing of the store
		} else {
			drivertest.WantForeign(t, b.DeleteStorage(t.Context()), found)
		}
		if after := everything(t, b); after != before {
			t.Errorf("%s: %q became %q", made, before, after)
		}
	}
}

// TestAdditionsStay has what other programs add to the store's table.
func TestAdditionsStay(t *testing.T) {
	for added, found := range map[string]string{
		"ALTER TABLE %s ADD COLUMN total INT":                             "a column",
		`CREATE INDEX "theirs" ON %s (val)`:                               `the index "theirs"`,
		`CREATE TRIGGER "theirs" AFTER UPDATE ON %s BEGIN SELECT 12; END`: `the trigger "theirs"`,
	} {
		b := placed(t)
		must(t, b.CreateStorage(t.Context()))
		execute(t, b.db, strings.ReplaceAll(added, "%s", b.name))
		before := everything(t, b)
		must(t, b.CreateStorage(t.Context())) // it does no harm
		drivertest.SeedCalls(t, b)
		drivertest.WantForeign(t, b.DeleteStorage(t.Context()), found)
		drivertest.Gone(t, b, "id")
		if after := everything(t, b); after != before {
			t.Errorf("%s: %q became %q", added, before, after)
		}
	}
}

// TestDeleteLeavesNothing deletes the storage of a node that declared more labels.
func TestDeleteLeavesNothing(t *testing.T) {
	b := placed(t)
	wider := newOn(t, b.db, b.table, "principal", "state")
	must(t, wider.CreateStorage(t.Context()))
	must(t, b.DeleteStorage(t.Context()))
	must(t, b.DeleteStorage(t.Context()))
	if left := everything(t, b); left != "" {
		t.Errorf("left is %q", left)
	}
}

// TestCreatedByManyAtOnce has many nodes create the storage.
func TestCreatedByManyAtOnce(t *testing.T) {
	path := filepath.Join(memoryDir(t), "db")
	var all sync.WaitGroup
	for range 8 {
		db, _ := openDB(t, path)
		b := newOn(t, db, "store", "principal")
		all.Go(func() {
			if err := b.CreateStorage(t.Context()); err != nil {
				t.Error(drivertest.Causes(err))
			}
		})
	}
	all.Wait()
}

// TestPlanIsWhatCreateStorageMakes makes the storage by hand.
func TestPlanIsWhatCreateStorageMakes(t *testing.T) {
	made, byHand := placed(t), placed(t)
	must(t, made.CreateStorage(t.Context()))
	execute(t, byHand.db, byHand.StoragePlan())
	if a, b := everything(t, made), everything(t, byHand); a != b {
		t.Errorf("the plan makes %q, CreateStorage %q", b, a)
	}
	must(t, byHand.CreateStorage(t.Context()))
}

// TestCheck has settings and storage that are not as they should be.
func TestCheck(t *testing.T) {
	for setting, want := range map[string]driver.Finding{
		"PRAGMA synchronous = normal":     {Name: "durability", Level: driver.CheckWarning},
		"PRAGMA busy_timeout = 5000":      {Name: "waits", Level: driver.CheckWarning},
		"PRAGMA journal_mode = delete":    {Name: "journal", Level: driver.CheckWarning},
		"PRAGMA journal_mode = off":       {Name: "journal", Level: driver.CheckUnsafe},
		`DROP INDEX "a ""place"" expiry"`: {Name: "indexes", Level: driver.CheckWarning},
		"DROP TABLE %s":                   {Name: "table", Level: driver.CheckUnsafe},
		"SELECT 1":                        {},
	} {
		b := placed(t)
		b.db.SetMaxOpenConns(1)
		must(t, b.CreateStorage(t.Context()))
		execute(t, b.db, strings.ReplaceAll(setting, "%s", b.name))
		checks, err := b.Check(t.Context())
		must(t, err)
		for _, f := range checks {
			level := driver.CheckRight
			if f.Name == want.Name {
				level = want.Level
			}
			if f.Name == "indexes" && want.Name == "table" {
				level = driver.CheckWarning
			}
			if f.Level != level || f.Seen == "" || f.Need == "" || (f.Fix == "") != (level == driver.CheckRight) {
				t.Errorf("%s: %+v, want the level %s", setting, f, level)
			}
		}
		if len(checks) != 6 {
			t.Errorf("%d checks, want 6", len(checks))
		}
		if want.Level == driver.CheckUnsafe && want.Name == "journal" {
			drivertest.WantKind(t, b.CreateStorage(t.Context()), model.ErrUnsupported)
		}
	}
}

// TestNoHalfRecord writes what another program might: the table's constraints
// refuse half a record. What they let through is ErrCorrupt for each call, and
// only an upsert replaces it.
func TestNoHalfRecord(t *testing.T) {
	for _, column := range []string{"id = NULL", "format = 0", "format = '1x'", "rev = x'00'", "rev = zeroblob(16)", "exp = 1e20", "exp = 253402300800000", "lab = '[]'", "lab = 'x'", "lab = '{a:1}'", "enc = NULL", "val = 'text'"} {
		b, _ := fresh(t)
		drivertest.SeedCalls(t, b)
		if _, err := b.db.Exec(`UPDATE "store" SET ` + column); err == nil {
			t.Errorf("%s is not refused", column)
		}
	}
	for column, why := range map[string]string{"format = 2": "newer", `lab = '{"principal": 1}'`: "complete", `lab = '{"state": {"a": "b"}}'`: "complete"} {
		b, _ := fresh(t)
		base := drivertest.SeedCalls(t, b)
		drivertest.Seed(t, b, drivertest.Record("other", "ann", time.Hour))
		execute(t, b.db, `UPDATE "store" SET `+column+` WHERE id IN (CAST('id' AS BLOB), CAST('old' AS BLOB))`)
		for _, c := range append(drivertest.Writes(base), drivertest.Pick(t, drivertest.Reads(), "get")...) {
			if c.Name == "upsert" || c.Name == "create" || c.Name == "create labelled" {
				continue
			}
			if err := c.Do(t.Context(), b); model.Kind(err) != model.ErrCorrupt || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %s: %v", column, c.Name, err)
			}
		}
		for _, onExpire := range []func(model.Record) error{nil, func(r model.Record) error { return fmt.Errorf("announced %q", r.ID) }} {
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 5, OnExpire: onExpire})
			if err != nil || swept != (driver.Swept{}) {
				t.Errorf("%s: swept %+v, %v", column, swept, err)
			}
		}
		p, err := b.Page(t.Context(), now, driver.Query{Limit: 5})
		if err != nil || len(p.Records) != 1 || strings.Join(p.Corrupt, " ") != "id old" {
			t.Errorf("%s: %d records, %q, %v", column, len(p.Records), p.Corrupt, err)
		}
		drivertest.Seed(t, b, base)
		drivertest.Get(t, b, "id")
	}
}
