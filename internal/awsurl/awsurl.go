// Package awsurl makes the AWS SDK's configuration that a backend's URL asks
// for, by its parameters region and endpoint.
package awsurl

import (
	"context"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Endpoint returns the endpoint, nil where there is none, and whether it is
// one: a URL with a host and without credentials.
func Endpoint(query url.Values) (*string, bool) {
	if !query.Has("endpoint") {
		return nil, true
	}
	text := query.Get("endpoint")
	u, err := url.Parse(text)
	return &text, err == nil && u.Host != "" && u.User == nil
}

// Config returns the configuration, and the connections of its HTTP client,
// which keeps so many idle for each host. What the parameters do not say, and
// the credentials, come from the usual places: environment, shared files, the
// machine's role.
func Config(ctx context.Context, query url.Values, idle int) (aws.Config, driverkit.Connections, error) {
	var conns driverkit.Connections
	var load []func(*config.LoadOptions) error
	if region := query.Get("region"); region != "" {
		load = append(load, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return cfg, conns, model.NewError(model.ErrInvalid, "the AWS configuration of this machine cannot be read", err)
	}
	if cfg.Region == "" {
		return cfg, conns, model.NewError(model.ErrInvalid, "no region: neither the URL nor the AWS configuration names one", nil)
	}
	if buildable, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		conns.Transport = buildable.GetTransport()
		conns.Transport.MaxIdleConnsPerHost = idle
		cfg.HTTPClient = &http.Client{Transport: conns.Transport, CheckRedirect: noRedirect}
	}
	return cfg, conns, nil
}

// noRedirect answers a redirect as it is, as the SDK's own client does.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
