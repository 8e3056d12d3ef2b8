package redis

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The kinds of servers that a URL's scheme may name after a plus sign.
const (
	single   = ""
	cluster  = "cluster"
	sentinel = "sentinel"
	unix     = "unix"
)

// schemes are all of them: the kind, and whether TLS is used.
var schemes = map[string]struct {
	kind string
	tls  bool
}{
	"redis": {single, false}, "redis+cluster": {cluster, false}, "redis+sentinel": {sentinel, false}, "redis+unix": {unix, false},
	"rediss": {single, true}, "rediss+cluster": {cluster, true}, "rediss+sentinel": {sentinel, true},
}

// What go-redis reads from its own URLs for every kind of server. Options for
// reads from replicas are left out here and below.
var (
	texts     = "client_name"
	switches  = "pool_fifo"
	durations = "min_retry_backoff max_retry_backoff dial_timeout read_timeout write_timeout pool_timeout conn_max_idle_time conn_max_lifetime conn_max_lifetime_jitter"
	numbers   = "protocol pool_size min_idle_conns max_idle_conns max_active_conns max_concurrent_dials pipeline_read_buffer_size pipeline_write_buffer_size"
	orOff     = "max_retries pipeline_pool_size" // numbers, with -1 for none
)

// largest keeps go-redis from a panic: it allocates what a number says.
const largest = 1 << 20

const addrDoc = "A further host:port: a node of the cluster, or a sentinel. It may be given more than once. With it, redis and rediss mean a cluster."

// target is what a URL says besides user, host and database.
type target struct {
	kind, name                             string
	tls                                    bool
	addrs                                  []string
	master, sentinelUser, sentinelPassword string
	options                                Options
	passed                                 url.Values // to go-redis
}

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Name(&t.name, "name", "The store's name.")
	p.Options(&t.options)
	switch t.kind {
	case single, cluster:
		p.Texts(&t.addrs, "addr", addrDoc)
	case sentinel:
		p.Texts(&t.addrs, "addr", addrDoc)
		p.Text(&t.master, "master", "The name by which the sentinels know the master. It is required.")
		p.Text(&t.sentinelUser, "sentinel_user", "The user at the sentinels. The URL's own user is the one at the master.")
		p.Secret(&t.sentinelPassword, "sentinel_password", "The password at the sentinels.")
	}
	t.passed = url.Values{}
	pass := func(names string, param backends.Param) {
		for param.Name = range strings.FieldsSeq(names) {
			param.Doc = "An option of go-redis."
			p.Pass(t.passed, param)
		}
	}
	pass(texts, backends.Param{Form: backends.FormText})
	pass(switches, backends.Param{Form: backends.FormSwitch})
	pass(durations, backends.Param{Form: backends.FormDuration})
	pass(numbers, backends.Param{Form: backends.FormNumber, Max: largest})
	pass(orOff, backends.Param{Form: backends.FormNumber, Min: -1, Max: largest})
	switch t.kind {
	case single, unix:
		pass("db", backends.Param{Form: backends.FormNumber, Max: largest})
		pass("idle_timeout max_conn_age", backends.Param{Form: backends.FormDuration})
	case cluster:
		pass("max_redirects dialer_retries", backends.Param{Form: backends.FormNumber, Min: -1, Max: largest})
		pass("failing_timeout_seconds", backends.Param{Form: backends.FormNumber, Max: largest})
		pass("dialer_retry_timeout", backends.Param{Form: backends.FormDuration})
	case sentinel:
		pass("db", backends.Param{Form: backends.FormNumber, Max: largest})
		pass("dialer_retries", backends.Param{Form: backends.FormNumber, Min: -1, Max: largest})
		pass("dialer_retry_timeout", backends.Param{Form: backends.FormDuration})
	}
	if t.tls && t.kind != cluster {
		pass("skip_verify", backends.Param{Form: backends.FormSwitch})
	}
	return &p
}

func init() {
	for scheme, s := range schemes {
		t := target{kind: s.kind, tls: s.tls}
		backends.Register(scheme, openURL, t.params().List()...)
	}
}

// openURL opens a URL of the form
// redis://user:password@host:port/db?name=store, with rediss for TLS. Several
// hosts, with commas or parameters addr=host:port, are nodes of a cluster.
// Redis+cluster, redis+sentinel and redis+unix name other kinds of servers.
// Go-redis reads the other parameters. The backend closes the client that this
// makes.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	t := target{kind: schemes[u.Scheme].kind, tls: schemes[u.Scheme].tls}
	if t.kind == single && (strings.Contains(u.Host, ",") || u.Query().Has("addr")) {
		t.kind = cluster
	}
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	d := new(dialer)
	client, err := t.client(u, d)
	if err != nil {
		return nil, err
	}
	b, err := New(client, t.name, &t.options)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	b.dialer = d
	b.gate.Own(client)
	return b, nil
}

// dialer opens the connections of a client that a URL made, and knows what they
// wait for.
type dialer struct {
	tls     *tls.Config
	timeout time.Duration
	waits   atomic.Pointer[string] // nil after a connection was opened
}

// dial opens a connection. The TLS handshake ends with the context too.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.note("it waited for a connection to " + addr)
	c, err := (&net.Dialer{Timeout: d.timeout, KeepAlive: keepAlive}).DialContext(ctx, network, addr)
	if err == nil && d.tls != nil {
		d.note("it waited for " + addr + " to begin with TLS: without TLS the scheme is redis and not rediss")
		c, err = d.handshake(ctx, c, addr)
	}
	if err != nil {
		if why := driverkit.DialReason(err); why != "" && ctx.Err() == nil {
			d.note(why)
		}
		return nil, err
	}
	d.waits.Store(nil)
	return c, nil
}

const keepAlive = time.Minute

func (d *dialer) handshake(ctx context.Context, c net.Conn, addr string) (net.Conn, error) {
	cfg := d.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	secure := tls.Client(c, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
	}
	return secure, nil
}

func (d *dialer) note(what string) { d.waits.Store(&what) }

// why returns what connections wait for, or why the last one failed. It is empty
// for a client that no URL made.
func (d *dialer) why() string {
	if d == nil {
		return ""
	}
	if what := d.waits.Load(); what != nil {
		return *what
	}
	return ""
}

// client returns the client for the URL. It notices the deadline of a context
// while it waits for an answer. It dials once: calls that are sent again dial
// again.
func (t *target) client(u *url.URL, d *dialer) (goredis.UniversalClient, error) {
	own := url.URL{Scheme: "redis", User: u.User, Path: u.Path, RawQuery: t.passed.Encode()}
	if t.tls {
		own.Scheme = "rediss"
	}
	if u.Opaque != "" || (u.Host == "") != (t.kind == unix) {
		return nil, t.badURL()
	}
	if t.kind == unix {
		own.Scheme = unix
	} else {
		port := "6379"
		if t.kind == sentinel {
			port = "26379"
		}
		hosts, err := backends.Hosts(u, t.addrs, port)
		if err != nil {
			return nil, err
		}
		own.Host = hosts[0]
		if t.kind != single {
			t.passed["addr"] = hosts[1:]
			own.RawQuery = t.passed.Encode()
		}
	}
	database := 0
	if path := strings.Trim(u.Path, "/"); path != "" && t.kind != unix {
		var err error
		if database, err = strconv.Atoi(path); err != nil || database < 0 {
			return nil, model.NewError(model.ErrInvalid, "the URL's path is not the number of a database, such as /0", nil)
		}
	}
	switch t.kind {
	case cluster:
		o, err := goredis.ParseClusterURL(own.String())
		if err != nil {
			return nil, t.badURL()
		}
		if database != 0 {
			return nil, model.NewError(model.ErrInvalid, "a Redis Cluster has one database, 0, and the URL's path names another", nil)
		}
		o.ContextTimeoutEnabled = true
		d.tls, d.timeout, o.Dialer = o.TLSConfig, orDefault(o.DialTimeout), d.dial
		o.DialerRetries = max(o.DialerRetries, 1)
		return goredis.NewClusterClient(o), nil
	case sentinel:
		own.User = nil
		if t.master == "" {
			return nil, model.NewError(model.ErrInvalid, "the URL lacks the parameter master, the name by which the sentinels know the master", nil)
		}
		o, err := goredis.ParseFailoverURL(own.String())
		if err != nil {
			return nil, t.badURL()
		}
		o.MasterName, o.SentinelUsername, o.SentinelPassword = t.master, t.sentinelUser, t.sentinelPassword
		if u.User != nil {
			o.Username = u.User.Username()
			o.Password, _ = u.User.Password()
		}
		if o.TLSConfig != nil {
			o.TLSConfig.ServerName = "" // each server is verified by its own name
		}
		o.ContextTimeoutEnabled = true
		d.tls, d.timeout, o.Dialer = o.TLSConfig, orDefault(o.DialTimeout), d.dial
		o.DialerRetries = max(o.DialerRetries, 1)
		return goredis.NewFailoverClient(o), nil
	default:
		o, err := goredis.ParseURL(own.String())
		if err != nil {
			return nil, t.badURL()
		}
		o.ContextTimeoutEnabled = true
		d.tls, d.timeout, o.Dialer = o.TLSConfig, orDefault(o.DialTimeout), d.dial
		o.DialerRetries = max(o.DialerRetries, 1)
		return goredis.NewClient(o), nil
	}
}

// orDefault returns the time limit of a dial, of go-redis if none is given.
func orDefault(limit time.Duration) time.Duration {
	if limit == 0 {
		return 5 * time.Second
	}
	return limit
}

// badURL does not wrap the parser's error, which may quote a password.
func (t *target) badURL() error {
	form := "redis://user:password@host:port/db?name=store"
	switch t.kind {
	case cluster:
		form = "redis+cluster://user:password@host1:port,host2:port?name=store"
	case sentinel:
		form = "redis+sentinel://user:password@sentinel1:port,sentinel2:port/db?master=name&name=store"
	case unix:
		form = "redis+unix://user:password@/path/to/socket?db=0&name=store"
	}
	return model.NewError(model.ErrInvalid, "the URL is not "+form+", with options of go-redis as further parameters", nil)
}
