package elasticsearch

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// schemeTLS is the scheme for https.
const schemeTLS = "elasticsearch+https"

// target is what a URL says besides user, hosts and index.
type target struct {
	addrs   []string
	apiKey  string
	options Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Texts(&t.addrs, "addr", "A further node, host:port. It may be given more than once.")
	p.Secret(&t.apiKey, "api_key", "The API key, instead of user and password. The environment's ELASTICSEARCH_API_KEY keeps it out of the URL.")
	p.Options(&t.options)
	return &p
}

func init() {
	for _, scheme := range []string{backendName, schemeTLS} {
		backends.Register(scheme, openURL, new(target).params().List()...)
	}
}

// openURL returns a backend with a client of its own. The URL has the form
// elasticsearch+https://user:password@host:9200/index, or elasticsearch://… for
// plain HTTP. Commas separate several hosts. The default port is 443, or 9200
// for plain HTTP. The default index is backends.DefaultName. If the URL has no
// user and no API key, the environment may have one: ELASTICSEARCH_API_KEY, or
// ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD. Close closes the client's
// connections.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	var t target
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	if u.Host == "" || u.Opaque != "" {
		return nil, badURL()
	}
	name := strings.TrimPrefix(u.Path, "/")
	if name == "" {
		name = backends.DefaultName
	}
	cfg, err := t.config(u)
	if err != nil {
		return nil, err
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	cfg.Transport = transport
	client, err := es.NewClient(cfg)
	if err != nil {
		return nil, badURL() // the library's error may quote the address
	}
	b, err := New(client, name, &t.options)
	if err != nil {
		return nil, err
	}
	b.gate.Own(driverkit.Connections{Transport: transport})
	return b, nil
}

// config returns the client's configuration: the nodes and the credentials.
func (t *target) config(u *url.URL) (es.Config, error) {
	var cfg es.Config
	scheme, port := "http", "9200"
	if u.Scheme == schemeTLS {
		scheme, port = "https", "443"
	}
	hosts, err := backends.Hosts(u, t.addrs, port)
	if err != nil {
		return cfg, err
	}
	for _, host := range hosts {
		cfg.Addresses = append(cfg.Addresses, (&url.URL{Scheme: scheme, Host: host}).String())
	}
	switch {
	case u.User != nil:
		cfg.Username = u.User.Username()
		cfg.Password, _ = u.User.Password()
		if cfg.Username == "" || cfg.Password == "" || t.apiKey != "" {
			return cfg, badURL()
		}
	case t.apiKey != "":
		cfg.APIKey = t.apiKey
	case os.Getenv("ELASTICSEARCH_API_KEY") != "":
		cfg.APIKey = os.Getenv("ELASTICSEARCH_API_KEY")
	default:
		cfg.Username, cfg.Password = os.Getenv("ELASTICSEARCH_USERNAME"), os.Getenv("ELASTICSEARCH_PASSWORD")
	}
	return cfg, nil
}

// idleConnections is the number of idle connections that the client keeps. The
// default of net/http is two, so that most concurrent calls would open a new one.
const idleConnections = 64

func badURL() error {
	return model.NewError(model.ErrInvalid, "the URL must have the form elasticsearch+https://user:password@host:9200/index, or elasticsearch://… for plain HTTP; commas separate several hosts; there may be a user with a password, or the parameter api_key", nil)
}
