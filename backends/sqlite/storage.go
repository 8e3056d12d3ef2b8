package sqlite

import (
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// found is what stands at the place of a store.
type found struct {
	what    string          // the table, view or index with the name, and nothing if there is none
	own     bool            // what is the store's table
	added   []string        // to the table, by another program
	indexes map[string]bool // the store's own, by name
}

// look returns what stands at the place. SQLite keeps the text of each statement.
func (b *Backend) look(ctx context.Context, c conn) (f found, err error) {
	f.indexes = map[string]bool{}
	rows, err := c.QueryContext(ctx, "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name = ? COLLATE NOCASE", b.table)
	if err != nil {
		return f, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return f, err
		}
		switch {
		case kind == "table", kind == "view":
			f.what, f.own = "the "+kind+" "+quoted(name), strings.HasPrefix(text, "CREATE TABLE "+b.name+columns)
			if f.own && text != b.create() {
				f.added = append(f.added, "a column")
			}
		case kind == "index" && text == b.createIndex(name):
			f.indexes[name] = true
		default:
			f.added = append(f.added, "the "+kind+" "+quoted(name))
		}
	}
	return f, rows.Err()
}

// foreign returns ErrCorrupt if another program has the place.
func (f *found) foreign() error {
	if f.what == "" || f.own {
		return nil
	}
	return driverkit.Corrupt(f.what + " is of another program: give the store a table of its own")
}

// CreateStorage creates the table and its missing indexes, in one transaction, and
// then makes Check's checks. It may be repeated, and records stay. It returns
// ErrCorrupt and changes nothing if another program has the name.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	_, err := run(ctx, b, true, time.Time{}, func(ctx context.Context, c conn, _ time.Time) (struct{}, error) {
		return struct{}{}, b.inTx(ctx, c, func() error {
			f, err := b.look(ctx, c)
			if err == nil {
				err = f.foreign()
			}
			if err == nil && f.what == "" {
				_, err = c.ExecContext(ctx, b.create())
			}
			for _, name := range b.indexes() {
				if err == nil && !f.indexes[name] {
					_, err = c.ExecContext(ctx, b.createIndex(name))
				}
			}
			if err != nil && strings.Contains(err.Error(), "already") {
				err = driverkit.Corrupt("another program's table or index has the name of an index, which StoragePlan shows: give the store a table with another name")
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	checks, err := b.Check(ctx)
	if err != nil {
		return err
	}
	return checks.Err()
}

// DeleteStorage drops the table. The table stays if another program has added a
// column, an index or a trigger to it. Then DeleteStorage removes only the records
// and returns ErrCorrupt with what it found.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	left, err := run(ctx, b, true, time.Time{}, func(ctx context.Context, c conn, _ time.Time) (left, err error) {
		err = b.inTx(ctx, c, func() error {
			f, err := b.look(ctx, c)
			if left = f.foreign(); err != nil || left != nil || f.what == "" {
				return err
			}
			do := "DROP TABLE "
			if len(f.added) > 0 {
				do, left = "DELETE FROM ", driverkit.Corrupt("another program has added "+strings.Join(f.added, ", ")+" to "+f.what+": the records are removed, and the table stays")
			}
			_, err = c.ExecContext(ctx, do+b.name)
			return err
		})
		return left, err
	})
	if err != nil {
		return err
	}
	return left
}
