package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// ownColumns are the columns that create makes, with their types and collations.
var ownColumns = []string{"id text C", "format smallint", "rev uuid", "exp bigint", "lab jsonb", "enc text", "val bytea"}

// found is what stands at the place of a store.
type found struct {
	kind     string            // of pg_class: "r" is a table; empty if there is nothing
	unlogged bool              // the table is lost in a crash
	columns  []string          // name, type and collation
	indexes  map[string]string // by name: "", or "invalid"
	guards   []guard
}

// guard is what another program made and what may act on each write.
type guard struct {
	what  string
	level driver.CheckLevel
	keeps bool // a removal of records may reach beyond the table, or not succeed
}

// guards is the query for them. Each begins with its level, and with k if it
// keeps records.
const guards = `SELECT CASE WHEN conrelid = c.oid THEN '1' WHEN confdeltype IN ('a', 'r') THEN '2k' ELSE '1k' END || ' the foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass
		FROM pg_constraint WHERE contype = 'f' AND c.oid IN (conrelid, confrelid)
	UNION ALL SELECT CASE WHEN tgtype & 3 = 3 THEN '1' ELSE '0' END || CASE WHEN tgtype & 8 = 8 THEN 'k' ELSE '' END || ' the trigger ' || quote_ident(tgname)
		FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal
	UNION ALL SELECT '2k the rule ' || quote_ident(rulename) FROM pg_rewrite WHERE ev_class = c.oid
	UNION ALL SELECT '1 the inheritance of ' || inhrelid::regclass || ' from ' || inhparent::regclass FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)
	UNION ALL SELECT CASE WHEN row_security_active(c.oid) THEN '2k' ELSE '1' END || ' row-level security' WHERE c.relrowsecurity`

// look returns what stands at the place.
func (b *Backend) look(ctx context.Context, db DB) (f found, err error) {
	f.indexes = map[string]string{}
	err = query(ctx, db, `SELECT c.relkind::text, c.relpersistence = 'u',
	ARRAY(SELECT attname || ' ' || format_type(atttypid, atttypmod) || coalesce(' ' || (SELECT collname FROM pg_collation WHERE oid = attcollation AND collname <> 'default'), '')
		FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
	ARRAY(SELECT CASE WHEN indisvalid THEN '' ELSE 'invalid' END || ' ' || i.relname
		FROM pg_index JOIN pg_class AS i ON i.oid = indexrelid WHERE indrelid = c.oid AND NOT indisprimary),
	ARRAY(`+guards+`)
	FROM pg_class AS c WHERE c.oid = to_regclass($1::text)`, []any{b.place.name()}, func(rows pgx.Rows) error {
		var indexes, guards []string
		err := rows.Scan(&f.kind, &f.unlogged, &f.columns, &indexes, &guards)
		for _, x := range guards {
			how, what, _ := strings.Cut(x, " ")
			f.guards = append(f.guards, guard{what, driver.CheckLevel(how[0] - '0'), strings.HasSuffix(how, "k")})
		}
		for _, x := range indexes {
			valid, name, _ := strings.Cut(x, " ")
			f.indexes[name] = valid
		}
		return err
	})
	return f, err
}

// foreign says why the place is not the store's own, or nothing.
func (f *found) foreign() string {
	if f.kind != "r" {
		return "it is no plain table"
	}
	for _, want := range ownColumns {
		if !slices.Contains(f.columns, want) {
			return "it has no column " + want + " but " + strings.Join(f.columns, ", ")
		}
	}
	return ""
}

// added says what another program added to the table, or nothing, and whether it
// keeps the records.
func (f *found) added(p place) (what string, keeps bool) {
	for _, g := range f.guards {
		if what = g.what; g.keeps {
			return what, true
		}
	}
	for _, column := range f.columns {
		if !slices.Contains(ownColumns, column) {
			what = "the column " + column
		}
	}
	for name := range f.indexes {
		// An index of a label that is no longer declared is the store's too.
		if !strings.HasPrefix(name, p.table+" ") && !strings.HasPrefix(name, "sojourn ") {
			what = "the index " + strconv.Quote(name)
		}
	}
	return what, false
}

// corrupt returns the ErrCorrupt for a place with something that this package
// did not make.
func (b *Backend) corrupt(what, then string) error {
	return driverkit.Corrupt("the table " + b.place.name() + " has what another program made: " + what + "; " + then)
}

const ownPlace = "give the store a table of its own"

// inOne runs do in a transaction that no other CreateStorage or DeleteStorage of
// this store runs beside.
func (b *Backend) inOne(ctx context.Context, do func(tx pgx.Tx) error) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	db, release, err := b.acquire(ctx, &driverkit.Waited{})
	if err != nil {
		return err
	}
	defer release()
	return failed(ctx, pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1::bigint)", b.place.key()); err != nil {
			return err
		}
		return do(tx)
	}))
}

// CreateStorage creates the table and its missing indexes, in one transaction.
// Several nodes may call it at once. An index on a table that has records blocks
// writes until it is built. An administrator can run the statements of StoragePlan
// with CONCURRENTLY instead.
//
// It returns ErrCorrupt and changes nothing if another program's table, view or
// index has the place, and ErrUnsupported if a check of Check is unsafe.
func (b *Backend) CreateStorage(ctx context.Context) error {
	return b.inOne(ctx, func(tx pgx.Tx) error {
		checks, err := checkServer(ctx, tx, &driverkit.Clock{})
		if err == nil {
			err = checks.Err()
		}
		if err != nil {
			return err
		}
		f, err := b.look(ctx, tx)
		if err != nil {
			return err
		}
		if f.kind == "" {
			_, err = tx.Exec(ctx, b.place.create())
		} else if what := f.foreign(); what != "" {
			err = b.corrupt(what, ownPlace)
		} else {
			err = driver.Checks{f.checkGuards()}.Err()
		}
		if err != nil {
			return err
		}
		for _, x := range b.place.indexes(b.gate.Labels()) {
			if _, exists := f.indexes[x.name]; exists {
				continue
			}
			_, err := tx.Exec(ctx, b.place.createIndex(x))
			if codeOf(err) == codeTaken {
				return b.corrupt("something else has the name "+strconv.Quote(x.name)+" of an index", ownPlace)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteStorage drops the table. The table stays if another program added a
// column, an index or a trigger to it, or has a view on it. Then DeleteStorage
// removes only the records and returns ErrCorrupt with what it found. It removes
// nothing if that could reach another program's rows or leave some records: with
// a foreign key on the table, a trigger on deletes, a rule, or row-level security
// that is in force.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	what, then := "", "the records are removed, and the table stays"
	err := b.inOne(ctx, func(tx pgx.Tx) error {
		for locked := false; ; locked = true {
			f, err := b.look(ctx, tx)
			if err != nil || f.kind == "" {
				return err
			}
			added, keeps := f.added(b.place)
			switch foreign := f.foreign(); {
			case foreign != "":
				what, then = foreign, ownPlace
				return nil
			case keeps:
				what, then = added, "nothing is removed: drop it first"
				return nil
			case added != "":
				what = added
			case !locked:
				err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error { // a savepoint
					_, err := inner.Exec(ctx, "DROP TABLE "+b.place.name())
					return err
				})
				if codeOf(err) != codeDependents {
					return err
				}
				what = "a view or another object depends on it"
			}
			sql := "LOCK TABLE ONLY " + b.place.name() + " IN SHARE ROW EXCLUSIVE MODE" // no foreign key is made from now on
			if locked {
				sql = "DELETE FROM ONLY " + b.place.name()
			}
			if _, err := tx.Exec(ctx, sql); err != nil || locked {
				return err
			}
		}
	})
	if err == nil && what != "" {
		err = b.corrupt(what, then)
	}
	return err
}

// failed returns the error of a transaction on the storage.
func failed(ctx context.Context, err error) error {
	if err == nil || model.Kind(err) != nil {
		return err
	}
	return readError(ctx, err)
}

// StoragePlan returns the statements that create the same storage as
// CreateStorage, for programs that lack the permission.
func (b *Backend) StoragePlan() string {
	plan := b.place.create() + ";\n"
	for _, x := range b.place.indexes(b.gate.Labels()) {
		plan += b.place.createIndex(x) + ";\n"
	}
	return plan
}
