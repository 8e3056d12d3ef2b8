package postgres

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// settings are the parameters of URLs that pgx reads, and those settings of a
// session that a store may need.
var settings = strings.Fields(`host port user password passfile sslmode sslkey sslcert sslrootcert sslpassword sslsni sslnegotiation
	krbsrvname krbspn target_session_attrs service servicefile connect_timeout application_name options channel_binding require_auth
	min_protocol_version max_protocol_version default_query_exec_mode statement_cache_capacity description_cache_capacity
	pool_max_conns pool_min_conns pool_min_idle_conns pool_max_conn_lifetime pool_max_conn_idle_time pool_health_check_period
	pool_max_conn_lifetime_jitter search_path statement_timeout lock_timeout idle_in_transaction_session_timeout role`)

// target is what a URL says besides user, hosts and database.
type target struct {
	table   string
	options Options
	passed  url.Values // to pgx
}

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Name(&t.table, "table", "The table.")
	p.Options(&t.options)
	t.passed = url.Values{}
	for _, name := range settings {
		p.Pass(t.passed, backends.Param{
			Name: name, Doc: "An option of pgx's own URLs, or a setting of PostgreSQL's sessions.", Form: backends.FormText,
			Secret: strings.HasSuffix(name, "password") || name == "options",
		})
	}
	return &p
}

func init() {
	for _, scheme := range []string{"postgres", "postgresql"} {
		var t target
		backends.Register(scheme, openURL, t.params().List()...)
	}
}

const form = "the form is postgres://user:password@host:port/database?table=name, with further parameters of pgx"

// connectLimit bounds the opening of a connection, unless the URL says another
// time. pgx waits for two minutes.
const connectLimit = 5 * time.Second

// openURL returns a backend for a URL of the form
// postgres://user:password@host:port/database?table=name with further
// parameters of pgx. The backend's Close closes its pool.
func openURL(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	var t target
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	own := *u
	own.RawQuery = encoded(t.passed)
	service := t.passed.Has("service")
	switch {
	case own.Opaque != "", own.Host == "" && !t.passed.Has("host") && !service:
		return nil, badURL()
	case strings.Trim(own.Path, "/") == "" && !service:
		return nil, model.NewError(model.ErrInvalid, "the URL has no database: "+form, nil)
	case own.Host != "":
		if _, err := backends.Hosts(u, nil, "5432"); err != nil {
			return nil, err
		}
	}
	config, err := pgxpool.ParseConfig(own.String())
	if err != nil {
		return nil, t.culprit()
	}
	if config.ConnConfig.ConnectTimeout == 0 { // neither the URL, the environment nor a service has one
		config.ConnConfig.ConnectTimeout = connectLimit
	}
	client, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, badURL()
	}
	b, err := New(client, t.table, &t.options)
	if err != nil {
		client.Close()
		return nil, err
	}
	b.gate.Own(driverkit.Closer(closePatience, client.Close))
	return b, nil
}

// closePatience bounds how long Close waits for the calls under way. A connection
// whose call does not end closes with that call.
const closePatience = 5 * time.Second

// culprit names the parameter that pgx refuses, without the text of pgx, which
// may quote a password.
func (t *target) culprit() error {
	for _, name := range slices.Sorted(maps.Keys(t.passed)) {
		alone := url.URL{Scheme: "postgres", Host: "localhost", Path: "/db", RawQuery: encoded(url.Values{name: t.passed[name]})}
		if _, err := pgxpool.ParseConfig(alone.String()); err != nil {
			return model.NewError(model.ErrInvalid, "pgx refuses the value of the parameter "+strconv.Quote(name), nil)
		}
	}
	return badURL()
}

// encoded writes a space as %20: pgx, as libpq, takes a plus sign for itself.
func encoded(values url.Values) string { return strings.ReplaceAll(values.Encode(), "+", "%20") }

// badURL returns the ErrInvalid for a URL. It leaves out the parser's text,
// which may quote a password.
func badURL() error { return model.NewError(model.ErrInvalid, form, nil) }
