package postgres

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Codes of the server that this package handles one by one.
const (
	codeNoTable    = "42P01"
	codeTaken      = "42P07"
	codeDependents = "2BP01"
	codeCanceled   = "57014"
)

// codes says what codes of the server mean, or classes of codes by their first
// two characters. The server's own text may quote a value, so a message has only
// the code and the text here.
var codes = map[string]string{
	"08":           "the connection to the server failed",
	"0A":           "the server does not support the statement",
	"22":           "the server refuses a value",
	"22001":        "the value exceeds the server's limit",
	"22021":        "the database's encoding is not UTF8",
	"22P05":        "the database's encoding is not UTF8",
	"23":           "a constraint of the table refuses the row",
	"25006":        "the server or the session is read-only",
	"25P02":        "the transaction has failed: roll it back",
	"26000":        "the prepared statement is not known: with a proxy that shares connections, use default_query_exec_mode=cache_describe or exec",
	"28":           "the server refuses the credentials",
	codeDependents: "another object depends on the table",
	"3D000":        "the database does not exist",
	"3F000":        "the schema does not exist",
	"40":           "the server met a conflict between writes",
	"42501":        "the user lacks a permission",
	"42703":        "the table lacks a column",
	codeNoTable:    "the table does not exist: call CreateStorage",
	"42P05":        "the prepared statement exists: with a proxy that shares connections, use default_query_exec_mode=cache_describe or exec",
	codeTaken:      "the name is taken",
	"53":           "the server lacks memory, disk space or connections",
	"54":           "the value exceeds the server's limit",
	"55P03":        "the server did not get a lock in time",
	codeCanceled:   "the server cancelled the statement, for its time limit or by request",
	"57":           "the server is starting or shutting down",
	"58":           "the server met a system error",
}

var (
	errEndedTx = model.NewError(model.ErrInvalid, "the transaction has ended: take a Backend from In for each transaction", pgx.ErrTxClosed)
	errNoTx    = model.NewError(model.ErrInvalid, "the transaction of In is nil", nil)
)

// codeOf returns the server's code, or nothing.
func codeOf(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// codeText returns the text of a code for a message.
func codeText(code string) string {
	why := codes[code]
	if why == "" && len(code) == 5 {
		why = codes[code[:2]]
	}
	if why == "" {
		return "code " + code
	}
	return "code " + code + ": " + why
}

// applied reports whether a write may have been applied although the server, or
// a proxy before it, sent an error with that code.
func applied(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	severity := cmp.Or(pg.SeverityUnlocalized, pg.Severity)
	if severity == "PANIC" { // also after the commit, for the log's disk was full
		return true
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08":
		return true
	case "53", "57", "28", "3D":
		return false
	default:
		return pg.Code == "40003" || severity != "ERROR"
	}
}

// refused reports whether the error of a write says that the server refused it
// and changed nothing.
func refused(err error) bool {
	return codeOf(err) != "" && !errors.Is(err, model.ErrUnknown)
}

// conflicted reports whether the server refused a write because of another one
// at the same time.
func conflicted(err error) bool { return refused(err) && strings.HasPrefix(codeOf(err), "40") }

// unsentError returns the error of a call for which there was no connection.
func unsentError(ctx context.Context, err error) error {
	if code := codeOf(err); code != "" {
		return model.NewError(model.ErrUnavailable, codeText(code), err)
	}
	if end := driverkit.Ended(ctx); end != nil {
		return driverkit.EndedWhile(end, driverkit.DialReason(err))
	}
	if errors.Is(err, puddle.ErrClosedPool) {
		return driverkit.WriteError(ctx, err, false, "the pool is closed")
	}
	return driverkit.WriteError(ctx, err, false, "")
}

// readError returns the error of a read: the context's own if it ended the call,
// ErrCorrupt for a column of another type, else ErrUnavailable.
func readError(ctx context.Context, err error) error {
	var column pgx.ScanArgError
	code := codeOf(err)
	switch {
	case errors.Is(err, pgx.ErrTxClosed):
		return errEndedTx
	case errors.As(err, &column):
		return model.NewError(model.ErrCorrupt, driverkit.WhyForeign, err)
	case code == codeCanceled && driverkit.Ended(ctx) != nil:
		return driverkit.Ended(ctx)
	case code != "":
		return model.NewError(model.ErrUnavailable, codeText(code), err)
	case pgconn.SafeToRetry(err):
		return unsentError(ctx, err)
	}
	return driverkit.ReadError(ctx, err)
}

// writeError returns the error of a write. It is ErrUnknown unless the server
// refused the write or nothing was sent.
func writeError(ctx context.Context, err error) error {
	code := codeOf(err)
	switch {
	case errors.Is(err, pgx.ErrTxClosed):
		return errEndedTx
	case applied(err), code == codeCanceled && driverkit.Ended(ctx) != nil:
		return model.NewError(model.ErrUnknown, codeText(code), driverkit.WithContext(ctx, err))
	case code == "22001", strings.HasPrefix(code, "54"):
		return model.NewError(model.ErrTooLarge, codeText(code), err)
	case code != "":
		return model.NewError(model.ErrUnavailable, codeText(code), err)
	case pgconn.SafeToRetry(err):
		return unsentError(ctx, err)
	}
	return driverkit.WriteError(ctx, err, true, "")
}
