package postgres

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// minVersion is the oldest server that has what the statements need.
const minVersion = 13

// Check looks at the server's version, state, encoding and settings, and at the
// table and its indexes. It changes nothing.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	db, release, err := b.acquire(ctx, &driverkit.Waited{})
	if err != nil {
		return nil, err
	}
	defer release()
	clock := driverkit.Clock{Sent: time.Now(), Step: time.Microsecond}
	checks, err := checkServer(ctx, db, &clock)
	if err != nil {
		return nil, readError(ctx, err)
	}
	f, err := b.look(ctx, db)
	if err != nil {
		return nil, readError(ctx, err)
	}
	return append(append(checks, clock.Finding()), b.checkTable(&f)...), nil
}

// checkServer looks at the server and the session, and reads the server's clock.
func checkServer(ctx context.Context, db DB, clock *driverkit.Clock) (driver.Checks, error) {
	var version int
	var standby bool
	var readOnly, encoding, client, isolation, commit, fsync string
	err := query(ctx, db, `SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery(), current_setting('transaction_read_only'),
	current_setting('server_encoding'), current_setting('client_encoding'), current_setting('default_transaction_isolation'),
	current_setting('synchronous_commit'), current_setting('fsync'), clock_timestamp()`, nil, func(rows pgx.Rows) error {
		return rows.Scan(&version, &standby, &readOnly, &encoding, &client, &isolation, &commit, &fsync, &clock.Server)
	})
	clock.Got = time.Now()
	state := "a server that takes writes"
	if standby {
		state = "a standby"
	} else if readOnly == "on" {
		state = "a session that is read-only"
	}
	return driver.Checks{
		driverkit.Finding("version", "PostgreSQL "+strconv.Itoa(minVersion)+" or later", "PostgreSQL "+strconv.Itoa(version), version >= minVersion,
			driver.CheckUnsafe, "use a newer server"),
		driverkit.Finding("state", "a server that takes writes", state, !standby && readOnly == "off",
			driver.CheckUnsafe, "connect to the primary, for example with target_session_attrs=read-write"),
		driverkit.Finding("encoding", "UTF8 of the database and the client", encoding+" and "+client, encoding == "UTF8" && client == "UTF8",
			driver.CheckUnsafe, "use a database WITH ENCODING 'UTF8', and no other client_encoding"),
		driverkit.Finding("isolation", "read committed", isolation, isolation == "read committed",
			driver.CheckWarning, "set default_transaction_isolation: writes at the same time are sent again"),
		driverkit.Finding("durability", "synchronous_commit on and fsync on", "synchronous_commit "+commit+", fsync "+fsync, commit != "off" && fsync == "on",
			driver.CheckWarning, "set both: a crash may lose an acknowledged write"),
	}, err
}

// checkTable compares the table with what CreateStorage makes.
func (b *Backend) checkTable(f *found) driver.Checks {
	const name, need = "table", "a table of the store's own"
	foreign := f.foreign()
	switch {
	case f.kind == "":
		return driver.Checks{{Name: name, Level: driver.CheckUnsafe, Missing: true, Seen: "none", Need: need, Fix: "call CreateStorage"}}
	case foreign != "":
		return driver.Checks{driverkit.Finding(name, need, foreign, false, driver.CheckUnsafe, ownPlace)}
	}
	kind := "it is there"
	if f.unlogged {
		kind = "an unlogged table"
	}
	var lacking []string
	for _, x := range b.place.indexes(b.gate.Labels()) {
		if state, ok := f.indexes[x.name]; !ok || state != "" {
			lacking = append(lacking, strconv.Quote(x.name))
		}
	}
	indexes := "all"
	if len(lacking) > 0 {
		indexes = "not valid, or not there: " + strings.Join(lacking, ", ")
	}
	return driver.Checks{
		driverkit.Finding(name, need, kind, !f.unlogged, driver.CheckWarning, "ALTER TABLE … SET LOGGED: a crash empties it"),
		driverkit.Finding("indexes", "the index on the expiry and one for each label", indexes, len(lacking) == 0,
			driver.CheckWarning, "drop what is not valid and call CreateStorage: listings and sweeps read the whole table"),
		f.checkGuards(),
	}
}

// checkGuards looks at what other programs made on the table.
func (f *found) checkGuards() driver.Finding {
	level, seen := driver.CheckRight, []string(nil)
	for _, g := range f.guards {
		if g.level != driver.CheckRight {
			level, seen = max(level, g.level), append(seen, g.what)
		}
	}
	return driverkit.Finding("additions", "nothing that may drop a write, keep a record from its removal, or spread one to other rows",
		cmp.Or(strings.Join(seen, ", "), "none that matters"), len(seen) == 0, level, "drop it, or "+ownPlace)
}
