package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"regexp"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	locked       = "another connection has locked the database"
	foreignTable = "the table is of another program: give the store a table of its own"
)

// results are what SQLite and database/sql say in their errors, in every driver, and
// what it means. After each of them the statement has changed nothing.
var results = []struct{ text, why string }{
	{"constraint failed", "a constraint refuses the row"},
	{"blob too big", "the value exceeds the limit of SQLite"},
	{"no such table", "the table does not exist: call CreateStorage"},
	{"no such column", foreignTable},
	{"has no column named", foreignTable},
	{"because it is a view", foreignTable},
	{"readonly database", "the database is open for reading only"},
	{"disk is full", "the disk or the database is full"},
	{"disk image is malformed", "the file is damaged"},
	{"file is not a database", "the file is not one of SQLite"},
	{"unable to open database", "the file cannot be opened: check its folder and the permissions"},
	{"syntax error", "SQLite is older than " + minVersion},
	{"interrupted", "the program interrupted the statement"},
	{"database is closed", "the database was closed"},
	{sql.ErrConnDone.Error(), "the connection was closed"},
	{sqldriver.ErrBadConn.Error(), "the connection was closed"},
	{sql.ErrTxDone.Error(), "the transaction of In has ended"},
}

// isBusy matches what SQLite says of a lock, and no name in a message.
var isBusy = regexp.MustCompile(`^(sqlite3: )?database (table |schema )?is locked`)

func isLocked(err error) bool { return err != nil && isBusy.MatchString(err.Error()) }

// isRefused reports whether SQLite refused a row, and others may be stored.
func isRefused(err error) bool {
	return strings.Contains(err.Error(), "constraint failed") || strings.Contains(err.Error(), "blob too big")
}

// failed returns the error of a call: the context's own if it ended the call
// before anything changed, ErrUnknown after a write that may have been stored, else
// ErrUnavailable.
func failed(ctx context.Context, err error, write bool) error {
	if err == nil || model.Kind(err) != nil || driverkit.IsContext(err) {
		return err
	}
	text, end := err.Error(), driverkit.Ended(ctx)
	if end != nil && !write && errors.Is(err, errRunning) {
		return end
	}
	if isLocked(err) {
		return model.NewError(model.ErrUnavailable, locked, err)
	}
	for _, r := range results {
		if strings.Contains(text, r.text) {
			return model.NewError(model.ErrUnavailable, r.why, err)
		}
	}
	switch {
	case write && strings.Contains(text, "disk I/O error"): // what a read sees may be lost by a power cut
		return driver.MarkUndecidable(driverkit.WriteError(ctx, err, true, ""))
	case write:
		return driverkit.WriteError(ctx, err, true, "")
	}
	return model.NewError(model.ErrUnavailable, "SQLite failed", err)
}
