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

func init() {
	backends.Register("elasticsearch", openURL)
	backends.Register("elasticsearch+https", openURL)
}

// openURL returns a backend with a client of its own. The URL has the form
// elasticsearch+https://user:password@host:9200/index, or elasticsearch://… for
// plain HTTP. The default port is 443, or 9200 for plain HTTP. The default index
// is backends.DefaultName. If the URL has no user, the environment may have
// one: ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and
// ELASTICSEARCH_PASSWORD. Close closes the client's connections.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	if err := backends.Only(u); err != nil {
		return nil, err
	}
	if u.Hostname() == "" || u.Opaque != "" || u.Fragment != "" {
		return nil, badURL()
	}
	name := strings.TrimPrefix(u.Path, "/")
	if name == "" {
		name = backends.DefaultName
	}
	scheme, port := "http", "9200"
	if u.Scheme == "elasticsearch+https" {
		scheme, port = "https", "443"
	}
	host := u.Host
	if u.Port() == "" {
		host = strings.TrimSuffix(host, ":") + ":" + port
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	cfg := es.Config{Addresses: []string{(&url.URL{Scheme: scheme, Host: host}).String()}, Transport: transport}
	switch {
	case u.User != nil:
		cfg.Username = u.User.Username()
		cfg.Password, _ = u.User.Password()
		if cfg.Username == "" || cfg.Password == "" {
			return nil, badURL()
		}
	case os.Getenv("ELASTICSEARCH_API_KEY") != "":
		cfg.APIKey = os.Getenv("ELASTICSEARCH_API_KEY")
	default:
		cfg.Username, cfg.Password = os.Getenv("ELASTICSEARCH_USERNAME"), os.Getenv("ELASTICSEARCH_PASSWORD")
	}
	client, err := es.NewClient(cfg)
	if err != nil {
		return nil, badURL() // the library's error may quote the address
	}
	b, err := New(client, name, nil)
	if err != nil {
		return nil, err
	}
	b.gate.Own(driverkit.Connections{Transport: transport})
	return b, nil
}

// idleConnections is the number of idle connections that the client keeps. The
// default of net/http is two, so that most concurrent calls would open a new one.
const idleConnections = 64

func badURL() error {
	return model.NewError(model.ErrInvalid, "the URL must have the form elasticsearch+https://user:password@host:9200/index, or elasticsearch://… for plain HTTP; user and password are optional", nil)
}
