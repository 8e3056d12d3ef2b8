package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"

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
	checks, err := checkServer(ctx, db)
	if err != nil {
		return nil, readError(ctx, err)
	}
	f, err := b.look(ctx, db)
	if err != nil {
		return nil, readError(ctx, err)
	}
	return append(checks, b.checkTable(&f)...), nil
}

// checkServer looks at the server and the session.
func checkServer(ctx context.Context, db DB) (driver.Checks, error) {
	var version int
	var standby bool
	var readOnly, encoding, client, isolation, commit, fsync string
	err := query(ctx, db, `SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery(), current_setting('transaction_read_only'),
	current_setting('server_encoding'), current_setting('client_encoding'), current_setting('default_transaction_isolation'),
	current_setting('synchronous_commit'), current_setting('fsync')`, nil, func(rows pgx.Rows) error {
		return rows.Scan(&version, &standby, &readOnly, &encoding, &client, &isolation, &commit, &fsync)
	})
	finding := func(name, seen, need string, right bool, level driver.CheckLevel, fix string) driver.Finding {
		if right {
			level, fix = driver.CheckRight, ""
		}
		return driver.Finding{Name: name, Level: level, Seen: seen, Need: need, Fix: fix}
	}
	state := "a server that takes writes"
	if standby {
		state = "a standby"
	} else if readOnly == "on" {
		state = "a session that is read-only"
	}
	return driver.Checks{
		finding("version", "PostgreSQL "+strconv.Itoa(version), "PostgreSQL "+strconv.Itoa(minVersion)+" or later", version >= minVersion,
			driver.CheckUnsafe, "use a newer server"),
		finding("state", state, "a server that takes writes", !standby && readOnly == "off",
			driver.CheckUnsafe, "connect to the primary, for example with target_session_attrs=read-write"),
		finding("encoding", encoding+" and "+client, "UTF8 of the database and the client", encoding == "UTF8" && client == "UTF8",
			driver.CheckUnsafe, "use a database WITH ENCODING 'UTF8', and no other client_encoding"),
		finding("isolation", isolation, "read committed", isolation == "read committed",
			driver.CheckWarning, "set default_transaction_isolation: writes at the same time are sent again"),
		finding("durability", "synchronous_commit "+commit+", fsync "+fsync, "synchronous_commit on and fsync on", commit != "off" && fsync == "on",
			driver.CheckWarning, "set both: a crash may lose an acknowledged write"),
	}, err
}

// checkTable compares the table with what CreateStorage makes.
func (b *Backend) checkTable(f *found) driver.Checks {
	table := driver.Finding{Name: "table", Seen: "it is there", Need: "a table of the store's own"}
	switch what := f.foreign(); {
	case f.kind == "":
		table.Level, table.Seen, table.Fix = driver.CheckUnsafe, "none", "call CreateStorage"
	case what != "":
		table.Level, table.Seen, table.Fix = driver.CheckUnsafe, what, ownPlace
	case f.unlogged:
		table.Level, table.Seen, table.Fix = driver.CheckWarning, "an unlogged table", "ALTER TABLE … SET LOGGED: a crash empties it"
	}
	if table.Level == driver.CheckUnsafe {
		return driver.Checks{table}
	}
	indexes := driver.Finding{Name: "indexes", Seen: "all", Need: "the index on the expiry and one for each label"}
	var lacking []string
	for _, x := range b.place.indexes(b.gate.Labels()) {
		if state, ok := f.indexes[x.name]; !ok || state != "" {
			lacking = append(lacking, strconv.Quote(x.name))
		}
	}
	if slices.Sort(lacking); len(lacking) > 0 {
		indexes.Level, indexes.Seen = driver.CheckWarning, "not valid, or not there: "+strings.Join(lacking, ", ")
		indexes.Fix = "drop what is not valid and call CreateStorage: listings and sweeps read the whole table"
	}
	return driver.Checks{table, indexes, f.checkGuards()}
}

// checkGuards looks at what other programs made on the table.
func (f *found) checkGuards() driver.Finding {
	one := driver.Finding{Name: "additions", Seen: "none that matters", Need: "nothing that may drop a write, keep a record from its removal, or spread one to other rows"}
	var all []string
	for _, g := range f.guards {
		if g.level != driver.CheckRight {
			all = append(all, g.what)
		}
		one.Level = max(one.Level, g.level)
	}
	if len(all) > 0 {
		one.Seen, one.Fix = strings.Join(all, ", "), "drop it, or "+ownPlace
	}
	return one
}
