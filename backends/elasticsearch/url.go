package elasticsearch

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

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
		return nil, badURL("the URL has no host after //")
	}
	name := strings.TrimPrefix(u.Path, "/")
	if name == "" {
		name = backends.DefaultName
	}
	settings, err := t.settings(u)
	if err != nil {
		return nil, err
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	transport.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = dialTimeout
	client, err := elastictransport.NewClient(append(settings, elastictransport.WithTransport(transport))...)
	if err != nil {
		return nil, badURL("the client library refuses a host") // its error may quote the address
	}
	b, err := New(&ownClient{client}, name, &t.options)
	if err != nil {
		return nil, err
	}
	b.gate.Own(driverkit.Connections{Transport: transport})
	return b, nil
}

// ownClient is the transport of go-elasticsearch without its API, which has 860
// packages (ADR 58). As that library does, it refuses other servers.
type ownClient struct{ *elastictransport.Client }

// Perform sends a request to a node.
func (c *ownClient) Perform(req *http.Request) (*http.Response, error) {
	answer, err := c.Client.Perform(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 == 2 && answer.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		_ = answer.Body.Close()
		return nil, errProduct
	}
	return answer, nil
}

// settings returns those of the client: the nodes and the credentials.
func (t *target) settings(u *url.URL) ([]elastictransport.Option, error) {
	scheme, port := "http", "9200"
	if u.Scheme == schemeTLS {
		scheme, port = "https", "443"
	}
	hosts, err := backends.Hosts(u, t.addrs, port)
	if err != nil {
		return nil, err
	}
	nodes := make([]*url.URL, 0, len(hosts))
	for _, host := range hosts {
		nodes = append(nodes, &url.URL{Scheme: scheme, Host: host})
	}
	settings := []elastictransport.Option{elastictransport.WithURLs(nodes...), elastictransport.WithUserAgent("sojourn")}
	user, password, apiKey := "", "", t.apiKey
	switch {
	case u.User != nil:
		user = u.User.Username()
		password, _ = u.User.Password()
		switch {
		case t.apiKey != "":
			return nil, badURL("the URL has both a user and api_key")
		case user == "":
			return nil, badURL("the URL has no user before the password")
		case password == "":
			return nil, badURL("the URL's user has no password")
		}
	case apiKey == "":
		if apiKey = os.Getenv("ELASTICSEARCH_API_KEY"); apiKey == "" {
			user, password = os.Getenv("ELASTICSEARCH_USERNAME"), os.Getenv("ELASTICSEARCH_PASSWORD")
		}
	}
	switch {
	case apiKey != "":
		settings = append(settings, elastictransport.WithAPIKey(apiKey))
	case user != "" || password != "":
		settings = append(settings, elastictransport.WithBasicAuth(user, password))
	}
	return settings, nil
}

// idleConnections is the number of idle connections that the client keeps. The
// default of net/http is two, so that most concurrent calls would open a new one.
const idleConnections = 64

// dialTimeout is how long a connection to a node may take: then the client tries
// another one. Options.RequestTimeout limits the whole request.
const dialTimeout = 5 * time.Second

func badURL(why string) error {
	return model.NewError(model.ErrInvalid, why+": the form is elasticsearch+https://user:password@host:9200/index, or elasticsearch://… for plain HTTP; commas separate several hosts; instead of a user with a password there may be the parameter api_key", nil)
}
