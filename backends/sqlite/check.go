package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// minVersion is the oldest SQLite that has what the statements need.
const minVersion = "3.38"

// state is what Check looks at.
type state struct {
	version, journal string
	old              bool
	sync, timeout    int
	found
}

// Check looks at the version and the settings of a connection, and at the table
// and its indexes. It changes nothing.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	s, err := run(ctx, b, false, time.Time{}, func(ctx context.Context, c conn, _ time.Time) (s state, err error) {
		rows, err := c.QueryContext(ctx, `SELECT sqlite_version(), CAST(substr(sqlite_version(), 3) AS REAL) < 38, (SELECT journal_mode FROM pragma_journal_mode),
	(SELECT synchronous FROM pragma_synchronous), (SELECT timeout FROM pragma_busy_timeout)`)
		if err != nil {
			return s, err
		}
		for rows.Next() && err == nil {
			err = rows.Scan(&s.version, &s.old, &s.journal, &s.sync, &s.timeout)
		}
		if _ = rows.Close(); err == nil {
			err = rows.Err()
		}
		if err == nil {
			s.found, err = b.look(ctx, c)
		}
		return s, err
	})
	if err != nil {
		return nil, err
	}
	journal := driver.CheckWarning
	if s.journal == "off" {
		journal = driver.CheckUnsafe // a statement that fails is not undone
	}
	table, missing := s.what, ""
	for _, name := range b.indexes() {
		if !s.indexes[name] {
			missing += " " + quoted(name)
		}
	}
	if table == "" {
		table = "none"
	}
	place := driverkit.Finding("table", "a table of the store's own", table, s.own, driver.CheckUnsafe, "call CreateStorage, or give the store a table of its own")
	place.Missing = s.what == ""
	return driver.Checks{
		driverkit.Finding("version", "SQLite "+minVersion+" or later", "SQLite "+s.version, !s.old, driver.CheckUnsafe, "use a newer driver"),
		driverkit.Finding("journal", "journal_mode wal", "journal_mode "+s.journal, s.journal == "wal", journal, "set it: readers and writers wait for each other"),
		driverkit.Finding("durability", "synchronous 2 (FULL) or 3", fmt.Sprint("synchronous ", s.sync), s.sync >= 2, driver.CheckWarning, "set it: a power cut may lose an acknowledged write"),
		driverkit.Finding("waits", "busy_timeout 0", fmt.Sprint("busy_timeout ", s.timeout), s.timeout == 0, driver.CheckWarning, "set it: the backend waits by itself, and counts only its own waits"),
		place,
		driverkit.Finding("indexes", "the index on the expiry and one for each label", "missing:"+missing, missing == "", driver.CheckWarning, "call CreateStorage: listings and sweeps read the whole table"),
	}, nil
}
