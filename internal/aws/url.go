// Package aws holds what the backends on AWS services share: the configuration
// that a URL asks for, and the rules for sending a write again.
package aws

import (
	"context"
	"net/http"
	"net/url"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Endpoint returns the query's endpoint, or nil if it has none. It reports
// false if the endpoint is not a URL with a host and without credentials.
func Endpoint(query url.Values) (*string, bool) {
	if !query.Has("endpoint") {
		return nil, true
	}
	text := query.Get("endpoint")
	u, err := url.Parse(text)
	return &text, err == nil && u.Host != "" && u.User == nil
}

// Config returns the configuration for the query's region, and the connections
// of its HTTP client. The client keeps at most idle unused connections for each
// host. Credentials, and a region that the query does not name, come from the
// SDK's usual places: the environment, shared files and the machine's role.
func Config(ctx context.Context, query url.Values, idle int) (awssdk.Config, driverkit.Connections, error) {
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

// noRedirect returns a redirect to the caller, as the SDK's own client does.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
