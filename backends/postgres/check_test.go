package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestGuards has what other programs made on the table and what acts on writes:
// Check finds it. Removals never reach another program's rows.
func TestGuards(t *testing.T) {
	for _, test := range []struct {
		made, found string
		level       driver.CheckLevel
		keeps       bool // DeleteStorage removes nothing
	}{
		{"CREATE TABLE %o AS SELECT 'id' COLLATE \"C\" AS id; ALTER TABLE %o ADD CONSTRAINT theirs FOREIGN KEY (id) REFERENCES %s ON DELETE CASCADE", "the foreign key theirs", driver.CheckWarning, true},
		{"CREATE TABLE %o AS SELECT 'id' COLLATE \"C\" AS id; ALTER TABLE %o ADD CONSTRAINT theirs FOREIGN KEY (id) REFERENCES %s", "the foreign key theirs", driver.CheckUnsafe, true},
		{"CREATE TABLE %o (id text COLLATE \"C\" PRIMARY KEY); INSERT INTO %o VALUES ('id'), ('old'); ALTER TABLE %s ADD CONSTRAINT theirs FOREIGN KEY (id) REFERENCES %o ON DELETE CASCADE", "the foreign key theirs", driver.CheckWarning, false},
		{"CREATE TABLE %o () INHERITS (%s); INSERT INTO %o SELECT * FROM %s", "the inheritance of", driver.CheckWarning, false},
		{"CREATE TABLE %o (LIKE %s); ALTER TABLE %s INHERIT %o; INSERT INTO %o SELECT * FROM %s", "the inheritance of", driver.CheckWarning, false},
		{"CREATE TABLE %o AS SELECT 1; CREATE RULE theirs AS ON DELETE TO %s DO INSTEAD NOTHING", "the rule theirs", driver.CheckUnsafe, true},
		{"CREATE TABLE %o AS SELECT 1; CREATE TRIGGER theirs BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "the trigger theirs", driver.CheckWarning, false},
		{"CREATE TABLE %o AS SELECT 1; CREATE TRIGGER theirs AFTER DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()", "the trigger theirs", driver.CheckRight, true},
		{"CREATE TABLE %o AS SELECT 1; ALTER TABLE %s ENABLE ROW LEVEL SECURITY", "row-level security", driver.CheckWarning, false},
	} {
		b := open(t, nil)
		drivertest.SeedCalls(t, b)
		theirs := place{table: b.place.table + " theirs"}.name()
		exec(t, b.db, strings.NewReplacer("%s", b.place.name(), "%o", theirs).Replace(test.made))
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		one := checks[len(checks)-1]
		if one.Level != test.level || strings.Contains(one.Seen, test.found) != (test.level != driver.CheckRight) || (one.Fix == "") != (test.level == driver.CheckRight) {
			t.Errorf("%s: %+v", test.made, one)
		}
		err = b.CreateStorage(t.Context())
		if drivertest.WantKind(t, err, map[bool]error{true: model.ErrUnsupported}[test.level == driver.CheckUnsafe]); err != nil && !strings.Contains(err.Error(), test.found) {
			t.Error(err)
		}
		drivertest.WantForeign(t, b.DeleteStorage(t.Context()), test.found)
		var own, others int
		if err := query(t.Context(), b.db, "SELECT (SELECT count(*) FROM ONLY "+b.place.name()+"), (SELECT count(*) FROM ONLY "+theirs+")", nil,
			func(rows pgx.Rows) error { return rows.Scan(&own, &others) }); err != nil {
			t.Fatal(err)
		}
		if own > 0 != test.keeps || others == 0 {
			t.Errorf("%s: %d records and %d rows of the other program are left", test.made, own, others)
		}
		exec(t, b.db, "DROP TABLE "+theirs+" CASCADE")
	}
}

// meddler is a connection that another program uses just before a statement.
type meddler struct {
	DB
	before string // the beginning of the statement
	do     func()
}

func (m *meddler) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := m.DB.Begin(ctx)
	return meddled{tx, m}, err
}

type meddled struct {
	pgx.Tx
	m *meddler
}

func (m meddled) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := m.Tx.Begin(ctx)
	return meddled{tx, m.m}, err
}

func (m meddled) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if strings.HasPrefix(sql, m.m.before) {
		m.m.do()
	}
	return m.Tx.Exec(ctx, sql, args...)
}

// TestGuardsWhileDeleting has a foreign key that another program makes right before
// the table would be dropped, or its records removed.
func TestGuardsWhileDeleting(t *testing.T) {
	for _, before := range []string{"DROP TABLE", "LOCK TABLE"} {
		b := open(t, nil)
		drivertest.SeedCalls(t, b)
		theirs := place{table: b.place.table + " theirs"}.name()
		exec(t, b.db, "CREATE TABLE "+theirs+` AS SELECT 'id' COLLATE "C" AS id`)
		if before == "LOCK TABLE" {
			exec(t, b.db, "ALTER TABLE "+b.place.name()+" ADD COLUMN total int")
		}
		m := &meddler{DB: b.db, before: before, do: func() {
			exec(t, b.db, "ALTER TABLE "+theirs+" ADD CONSTRAINT theirs FOREIGN KEY (id) REFERENCES "+b.place.name()+" ON DELETE CASCADE")
		}}
		drivertest.WantForeign(t, newBackend(t, m, b.place.table, nil).DeleteStorage(t.Context()), "the foreign key theirs")
		drivertest.Get(t, b, "id")
		rows := 0
		if err := query(t.Context(), b.db, "SELECT count(*) FROM "+theirs, nil, scanOne(&rows)); err != nil || rows != 1 {
			t.Errorf("%d rows of the other program, %v; want 1", rows, err)
		}
		exec(t, b.db, "DROP TABLE "+theirs)
	}
}

// TestRowLevelSecurity has a user who would not see all rows: no call takes a
// hidden record for a missing one in silence.
func TestRowLevelSecurity(t *testing.T) {
	owner := open(t, nil)
	drivertest.SeedCalls(t, owner)
	name := drivertest.Name()
	role := pgx.Identifier{name}.Sanitize()
	exec(t, owner.db, "CREATE ROLE "+role)
	t.Cleanup(func() { exec(t, owner.db, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	exec(t, owner.db, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+owner.place.name()+" TO "+role)
	exec(t, owner.db, "ALTER TABLE "+owner.place.name()+" ENABLE ROW LEVEL SECURITY")
	c := poolConfig(t)
	c.ConnConfig.RuntimeParams["role"] = name
	b := newBackend(t, connect(t, c), owner.place.table, nil)
	checks, err := b.Check(t.Context())
	if err != nil || !strings.Contains(checks.Err().Error(), "row-level security") {
		t.Fatal(checks, err)
	}
	drivertest.WantKind(t, b.CreateStorage(t.Context()), model.ErrUnsupported)
	drivertest.WantForeign(t, b.DeleteStorage(t.Context()), "row-level security")
	drivertest.Get(t, owner, "id")
}

// TestInheritingTables has rows of a table that inherits from the store's: no call
// takes them for records or changes them.
func TestInheritingTables(t *testing.T) {
	b := open(t, nil)
	theirs := place{table: b.place.table + " theirs"}.name()
	exec(t, b.db, "CREATE TABLE "+theirs+" () INHERITS ("+b.place.name()+")")
	for range 3 {
		drivertest.Seed(t, b, drivertest.Expired("id", "ann"))
		exec(t, b.db, "INSERT INTO "+theirs+" SELECT * FROM ONLY "+b.place.name())
	}
	exec(t, b.db, "UPDATE "+theirs+" SET exp = NULL")
	drivertest.Gone(t, b, "id")
	if n, err := b.Count(t.Context(), drivertest.Now, driver.Query{}); err != nil || n != 0 {
		t.Errorf("%d records, %v", n, err)
	}
	s, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 10})
	if err != nil || s.Removed != 1 {
		t.Errorf("swept %+v, %v", s, err)
	}
	for _, call := range drivertest.Writes(drivertest.SeedCalls(t, b)) {
		if err := call.Do(t.Context(), b); err != nil && model.Kind(err) == nil {
			t.Errorf("%s: %v", call.Name, err)
		}
	}
	exec(t, b.db, "DELETE FROM ONLY "+b.place.name())
	rows := 0
	if err := query(t.Context(), b.db, "SELECT count(*) FROM "+theirs+" WHERE exp IS NULL", nil, scanOne(&rows)); err != nil || rows != 3 {
		t.Errorf("%d rows of the other program, %v; want 3", rows, err)
	}
	exec(t, b.db, "DROP TABLE "+theirs)
}
