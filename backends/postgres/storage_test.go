package postgres

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// placed returns a backend whose place has what the statements made: %s is the
// table.
func placed(t *testing.T, statements ...string) *Backend {
	t.Helper()
	b := newBackend(t, connect(t, poolConfig(t)), drivertest.Name(), nil)
	t.Cleanup(func() {
		kind := "TABLE"
		if len(statements) > 0 && strings.HasPrefix(statements[0], "CREATE VIEW") {
			kind = "VIEW"
		}
		exec(t, b.db, "DROP "+kind+" IF EXISTS "+b.place.name()+" CASCADE")
	})
	for _, s := range statements {
		exec(t, b.db, strings.ReplaceAll(s, "%s", b.place.name()))
	}
	return b
}

// everything returns what stands at the place, and its rows.
func everything(t *testing.T, b *Backend) string {
	t.Helper()
	f, err := b.look(t.Context(), b.db)
	if err != nil {
		t.Fatal(err)
	}
	text := f.kind + strings.Join(f.columns, ",")
	text += strings.Join(slices.Sorted(maps.Keys(f.indexes)), ",")
	if f.kind != "" {
		var rows string
		if err := query(t.Context(), b.db, "SELECT coalesce(string_agg(x::text, ';'), '') FROM "+b.place.name()+" AS x", nil, scanOne(&rows)); err != nil {
			t.Fatal(err)
		}
		text += rows
	}
	return text
}

// TestForeignPlaces has tables and views of other programs: they stay as they
// are, and the message names them.
func TestForeignPlaces(t *testing.T) {
	for made, found := range map[string]string{
		"CREATE TABLE %s AS SELECT 12 AS total":                                                 "total integer",
		"CREATE VIEW %s AS SELECT 12 AS total":                                                  "no plain table",
		"CREATE TABLE %s (id text PRIMARY KEY, format smallint, rev uuid)":                      "no column id text C",
		"CREATE TABLE %s (id text, exp bigint, lab jsonb, val bytea) PARTITION BY RANGE (exp);": "no plain table",
	} {
		b := placed(t, made)
		before := everything(t, b)
		drivertest.WantForeign(t, b.CreateStorage(t.Context()), found)
		drivertest.WantForeign(t, b.DeleteStorage(t.Context()), found)
		if after := everything(t, b); after != before {
			t.Errorf("%s: %q became %q", made, before, after)
		}
		checks, err := b.Check(t.Context())
		if err != nil || checks.Err() == nil {
			t.Errorf("%s: %v, %v", made, checks, err)
		}
	}
}

// TestAdditionsStay has what other programs add to the store's table.
func TestAdditionsStay(t *testing.T) {
	for added, found := range map[string]string{
		"ALTER TABLE %s ADD COLUMN total int":            "the column total integer",
		`CREATE INDEX "theirs of this test" ON %s (val)`: "the index",
		"CREATE TRIGGER theirs BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()": "the trigger",
	} {
		b := open(t, nil)
		drivertest.SeedCalls(t, b)
		exec(t, b.db, strings.ReplaceAll(added, "%s", b.place.name()))
		if err := b.CreateStorage(t.Context()); err != nil { // it does no harm
			t.Fatal(err)
		}
		drivertest.WantForeign(t, b.DeleteStorage(t.Context()), found)
		drivertest.Gone(t, b, "id")
		if what := everything(t, b); !strings.Contains(what, "id text C") {
			t.Errorf("%s: left is %q", added, what)
		}
	}
}

// TestTakenNameOfAnIndex has another table with the name of an index.
func TestTakenNameOfAnIndex(t *testing.T) {
	b := placed(t)
	taken := place{table: b.place.indexes(nil)[0].name}.name()
	exec(t, b.db, "CREATE TABLE "+taken+" (total int)")
	drivertest.WantForeign(t, b.CreateStorage(t.Context()), "name")
	if what := everything(t, b); what != "" {
		t.Errorf("left is %q", what)
	}
	exec(t, b.db, "DROP TABLE "+taken)
}

// TestManyCreateTheStorage has nodes that create and delete the storage at once.
func TestManyCreateTheStorage(t *testing.T) {
	b := placed(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := b.CreateStorage(t.Context()); err != nil {
				t.Error(drivertest.Causes(err))
			}
		})
	}
	all.Wait()
	drivertest.SeedCalls(t, b)
}

// TestPlanIsWhatCreateStorageMakes makes the storage by hand.
func TestPlanIsWhatCreateStorageMakes(t *testing.T) {
	made := open(t, nil)
	b := placed(t)
	exec(t, b.db, b.StoragePlan())
	norm := func(b *Backend) string { return strings.ReplaceAll(everything(t, b), b.place.table, "x") }
	if norm(made) != norm(b) {
		t.Errorf("the plan makes %q, CreateStorage %q", norm(b), norm(made))
	}
	checks, err := b.Check(t.Context())
	if err != nil || checks.Err() != nil {
		t.Fatal(checks, err)
	}
	for _, f := range checks {
		if f.Level != driver.CheckRight && f.Name != "durability" { // the tests' server does not sync
			t.Errorf("%+v", f)
		}
	}
}

// TestSchemaAndLongNames has a store in a schema, and names that leave no room
// for those of the indexes.
func TestSchemaAndLongNames(t *testing.T) {
	pool := connect(t, poolConfig(t))
	exec(t, pool, `CREATE SCHEMA IF NOT EXISTS "Other"`)
	o := &Options{Schema: "Other", Labels: []string{"principal", "a" + strings.Repeat("b", 63)}}
	name := strings.Repeat("n", 30) + ` "ü" ` + drivertest.Name()[len(drivertest.Name())-12:]
	b := newBackend(t, pool, name, o)
	t.Cleanup(func() { exec(t, pool, "DROP TABLE IF EXISTS "+b.place.name()) })
	for range 2 {
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(drivertest.Causes(err))
		}
	}
	drivertest.SeedCalls(t, b)
	elsewhere := newBackend(t, pool, name, nil)
	_, err := elsewhere.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "CreateStorage") {
		t.Error(err)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(drivertest.Causes(err))
	}
}

// TestNewLabelGetsItsIndex declares a label later.
func TestNewLabelGetsItsIndex(t *testing.T) {
	b := open(t, nil)
	r := drivertest.Record("id", "ann", time.Hour)
	drivertest.Seed(t, b, r)
	wider := newBackend(t, b.db, b.place.table, &Options{Labels: []string{"principal", "state"}})
	checks, err := wider.Check(t.Context())
	if err != nil || checks[len(checks)-2].Level != driver.CheckWarning {
		t.Fatal(checks, err)
	}
	if err := wider.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Labels["state"], r.Revision = "new", model.NewRevision()
	drivertest.Seed(t, wider, r)
	if got := drivertest.Get(t, b, "id"); len(got.Labels) != 2 {
		t.Errorf("the node that does not declare the label reads %v", got.Labels)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestChecksOfASession has a session that cannot write and one with another
// encoding.
func TestChecksOfASession(t *testing.T) {
	for setting, value := range map[string]string{"default_transaction_read_only": "on", "client_encoding": "LATIN1"} {
		c := poolConfig(t)
		c.ConnConfig.RuntimeParams[setting] = value
		b := newBackend(t, connect(t, c), drivertest.Name(), nil)
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		drivertest.WantKind(t, checks.Err(), model.ErrUnsupported)
		drivertest.WantKind(t, b.CreateStorage(t.Context()), model.ErrUnsupported)
	}
}

// TestDeleteInTransaction deletes the storage in a transaction that is rolled
// back.
func TestDeleteInTransaction(t *testing.T) {
	b := open(t, nil)
	drivertest.SeedCalls(t, b)
	tx := begin(t, pgx.TxOptions{})
	if err := b.In(tx).DeleteStorage(t.Context()); err != nil {
		t.Fatal(drivertest.Causes(err))
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	drivertest.Get(t, b, "id")
}

// TestLeastPermissions makes every call as a role with the permissions that the
// package names, and no other ones.
func TestLeastPermissions(t *testing.T) {
	owner := open(t, nil)
	name := drivertest.Name()
	role := pgx.Identifier{name}.Sanitize()
	exec(t, owner.db, "CREATE ROLE "+role)
	t.Cleanup(func() { exec(t, owner.db, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	exec(t, owner.db, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+owner.place.name()+" TO "+role)
	c := poolConfig(t)
	c.ConnConfig.RuntimeParams["role"] = name
	b := newBackend(t, connect(t, c), owner.place.table, nil)
	everyCall(t, b)
	if checks, err := b.Check(t.Context()); err != nil || checks.Err() != nil {
		t.Error(checks, err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Errorf("nothing is missing: %s", drivertest.Causes(err))
	}
	err := b.DeleteStorage(t.Context())
	if drivertest.WantKind(t, err, model.ErrUnavailable); codeOf(err) != "42501" {
		t.Errorf("%v, want code 42501", err)
	}
	_, err = newBackend(t, b.db, owner.place.table+" other", nil).Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
}
