package foreign

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	_ "modernc.org/sqlite"             // registers the driver "sqlite"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// dialect is what SQL servers differ in.
type dialect struct {
	driver      string
	millis      string // the column expiry in milliseconds since 1970
	placeholder string // with the number of a parameter
	passed      []string
}

var dialects = map[string]dialect{
	"postgres": {"pgx", "floor(extract(epoch from expiry) * 1000)::bigint", "$%d", []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "search_path"}},
	"sqlite":   {"sqlite", "cast(round((expiry - 2440587.5) * 86400000.0) as integer)", "?%d", nil},
}

type sqlTarget struct {
	table  string
	passed url.Values
}

func (t *sqlTarget) params(server string) *backends.Params {
	var p backends.Params
	t.passed = url.Values{}
	for _, name := range dialects[server].passed {
		p.Pass(t.passed, backends.Param{Name: name, Form: backends.FormText, Doc: "An option of the driver."})
	}
	p.Text(&t.table, "table", "The table of the sessions. The default is sessions.")
	return &p
}

func init() {
	for name := range dialects {
		backends.Register("scs+"+name, openSQL, new(sqlTarget).params(name).List()...)
	}
}

// openSQL opens a URL of the form scs+postgres://user:password@host/database or
// scs+sqlite:FILE, with table=sessions.
func openSQL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	library, own := split(u)
	t := sqlTarget{table: "sessions"}
	if err := t.params(own.Scheme).Parse(u); err != nil {
		return nil, err
	}
	own.RawQuery = t.passed.Encode()
	d, dsn := dialects[own.Scheme], own.String()
	if d.driver == "sqlite" {
		path, err := backends.File(&own, u.Scheme+":FILE?table=sessions")
		if err != nil {
			return nil, err
		}
		at := url.URL{Path: filepath.ToSlash(path)}
		dsn = "file:" + at.EscapedPath() + "?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(d.driver, dsn)
	if err != nil {
		return nil, model.NewError(model.ErrInvalid, "the URL is not one of "+own.Scheme, nil)
	}
	db.SetMaxOpenConns(4)
	return &Source{scheme: u.Scheme, kind: kinds[library], server: &sqlServer{db, d, quote(t.table)}}, nil
}

// quote quotes the name of a table, with a schema in front or not.
func quote(table string) string {
	parts := strings.Split(table, ".")
	for i := range parts {
		parts[i] = `"` + strings.ReplaceAll(parts[i], `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

type sqlServer struct {
	db      *sql.DB
	dialect dialect
	table   string
}

func (s *sqlServer) close() error { return s.db.Close() }

func (s *sqlServer) list(ctx context.Context, after string, limit int) ([]entry, string, error) {
	p := s.dialect.placeholder
	entries, err := s.query(ctx, fmt.Sprintf("where token > "+p+" order by token limit "+p, 1, 2), after, limit)
	if err != nil || len(entries) < limit {
		return entries, "", err
	}
	return entries, entries[len(entries)-1].name, nil
}

func (s *sqlServer) get(ctx context.Context, names []string) ([]entry, error) {
	if len(names) == 0 {
		return nil, nil
	}
	args, marks := make([]any, len(names)), make([]string, len(names))
	for i := range names {
		args[i], marks[i] = names[i], fmt.Sprintf(s.dialect.placeholder, i+1)
	}
	return s.query(ctx, "where token in ("+strings.Join(marks, ", ")+")", args...)
}

func (s *sqlServer) query(ctx context.Context, where string, args ...any) (entries []entry, err error) {
	rows, err := s.db.QueryContext(ctx, "select token, data, "+s.dialect.millis+" from "+s.table+" "+where, args...) //nolint:gosec // the table's name is quoted
	if err != nil {
		return nil, refused(ctx, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e entry
		var millis int64
		if err := rows.Scan(&e.name, &e.value, &millis); err != nil {
			return nil, refused(ctx, err)
		}
		e.expires = time.UnixMilli(millis).UTC()
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, refused(ctx, err)
	}
	return entries, nil
}

func refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return model.NewError(model.ErrUnavailable, "the table cannot be read: "+err.Error(), err)
}
