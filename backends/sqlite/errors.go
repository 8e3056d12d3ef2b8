package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var (
	errLocked  = errors.New("another connection has locked the database")
	errRefused = errors.New("refused for its row")
)

// results are what SQLite says in its errors, in English in every driver, and what
// it means. After each of them the statement has changed nothing.
var results = []struct {
	text, why string
	is        error // a mark, or nil
}{
	{"database is locked", errLocked.Error(), errLocked},
	{"database table is locked", errLocked.Error(), errLocked},
	{"database schema is locked", errLocked.Error(), errLocked},
	{"constraint failed", "a constraint refuses the row", errRefused},
	{"string or blob too big", "the value exceeds the limit of SQLite", errRefused},
	{"no such table", "the table does not exist: call CreateStorage", nil},
	{"no such column", "the table lacks a column", nil},
	{"has no column named", "the table lacks a column", nil},
	{"readonly database", "the database is open for reading only", nil},
	{"database or disk is full", "the disk or the database is full", nil},
	{"disk image is malformed", "the file is damaged", nil},
	{"file is not a database", "the file is not one of SQLite", nil},
	{"unable to open database", "the file cannot be opened: check its folder and the permissions", nil},
	{"syntax error", "SQLite is older than " + minVersion, nil},
	{"interrupted", "the statement was interrupted", nil},
	{"sql: database is closed", "the database was closed, by the program that opened it", nil},
	{sql.ErrConnDone.Error(), "the connection was closed", nil},
	{sqldriver.ErrBadConn.Error(), "the connection was closed", nil},
	{sql.ErrTxDone.Error(), "the transaction of In has ended", nil},
}

func isLocked(err error) bool { return errors.Is(err, errLocked) }

func isRefused(err error) bool { return errors.Is(failed(context.Background(), err, true), errRefused) }

// failed returns the error of a call: of a write after which nobody knows what is
// stored ErrUnknown, else the context's own if it has ended, or ErrUnavailable.
func failed(ctx context.Context, err error, write bool) error {
	if err == nil || model.Kind(err) != nil {
		return err
	}
	text := err.Error()
	for _, r := range results {
		if !strings.Contains(text, r.text) {
			continue
		}
		if end := driverkit.Ended(ctx); end != nil && r.text == "interrupted" {
			return end
		}
		kind := model.ErrUnavailable
		if strings.HasSuffix(r.text, "too big") {
			kind = model.ErrTooLarge
		}
		return model.NewError(kind, r.why, errors.Join(r.is, err))
	}
	switch end := driverkit.Ended(ctx); {
	case write && driverkit.IsContext(err): // of a transaction, before its commit
		return err
	case write && strings.Contains(text, "disk I/O error"): // what a read sees may be lost by a power cut
		return driver.MarkUndecidable(driverkit.WriteError(ctx, err, true, ""))
	case write:
		return driverkit.WriteError(ctx, err, true, "")
	case end != nil:
		return end
	}
	return model.NewError(model.ErrUnavailable, "SQLite failed", err)
}
