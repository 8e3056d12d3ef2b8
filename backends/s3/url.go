package s3

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func init() { backends.Register("s3", openURL) }

// openURL makes a backend and its client of a URL of the form
// s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true.
// The prefix is "sojourn" where there is none. All parameters may be left out;
// what they do not say, and the credentials, come from the usual places:
// environment, shared files, the machine's role. With an endpoint the bucket
// stands in the path rather than in the host's name, unless path_style is false.
// The client's connections are closed with the backend.
func openURL(ctx context.Context, u *url.URL) (expiry.ModelExpirySupport, error) {
	if err := backends.Only(u, "region", "endpoint", "path_style"); err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, badURL()
	}
	query := u.Query()
	endpoint := query.Get("endpoint")
	if e, err := url.Parse(endpoint); err != nil || query.Has("endpoint") && (e.Host == "" || e.User != nil) {
		return nil, badURL()
	}
	pathStyle := endpoint != ""
	if query.Has("path_style") {
		var err error
		if pathStyle, err = strconv.ParseBool(query.Get("path_style")); err != nil {
			return nil, badURL()
		}
	}
	var load []func(*config.LoadOptions) error
	if region := query.Get("region"); region != "" {
		load = append(load, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, model.Fault(model.ErrInvalid, "the AWS configuration of this machine cannot be read", err)
	}
	if cfg.Region == "" {
		return nil, model.Fault(model.ErrInvalid, "no region: neither the URL nor the AWS configuration names one", nil)
	}
	var conns connections
	if buildable, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		conns.transport = buildable.GetTransport()
		conns.transport.MaxIdleConnsPerHost = parallelism
		cfg.HTTPClient = &http.Client{Transport: conns.transport, CheckRedirect: noRedirect}
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.UsePathStyle = pathStyle
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	prefix := strings.TrimPrefix(u.Path, "/")
	if prefix == "" {
		prefix = backends.DefaultName
	}
	b, err := New(client, u.Host, prefix, nil)
	if err != nil {
		return nil, err
	}
	b.owned = conns
	return b, nil
}

// connections are those of a client that a URL made.
type connections struct{ transport *http.Transport }

// Close closes those that are idle; the others close when their calls end.
func (c connections) Close() error {
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	return nil
}

// noRedirect answers a redirect as it is, as the SDK's own client does.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func badURL() error {
	return model.Fault(model.ErrInvalid, "the form is s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true, without credentials", nil)
}
