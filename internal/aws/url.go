// Package aws holds what the backends on AWS services share: the configuration
// that a URL asks for, and the rules for sending a write again.
package aws

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Target is what a URL says about the service.
type Target struct{ Region, Endpoint, Profile string }

// Bind binds the parameters region, endpoint and profile.
func (t *Target) Bind(p *backends.Params) {
	p.Text(&t.Region, "region", "The region. By default the environment or the profile names it.")
	p.Text(&t.Endpoint, "endpoint", "The address of another server, such as http://localhost:8000.")
	p.Text(&t.Profile, "profile", "The profile of the shared files of AWS. By default the environment names it.")
}

// BaseEndpoint returns the endpoint for the client's options, or nil if there
// is none. It reports false if the endpoint is not a URL with a host and
// without credentials.
func (t *Target) BaseEndpoint() (*string, bool) {
	if t.Endpoint == "" {
		return nil, true
	}
	u, err := url.Parse(t.Endpoint)
	return &t.Endpoint, err == nil && u.Host != "" && u.User == nil
}

// Config returns the configuration for the target, and the connections of its
// HTTP client. The client keeps at most idle unused connections for each host.
// Credentials, and what the target does not name, come from the SDK's usual
// places: the environment, shared files and the machine's role.
func (t *Target) Config(ctx context.Context, idle int) (awssdk.Config, driverkit.Connections, error) {
	var conns driverkit.Connections
	var load []func(*config.LoadOptions) error
	if t.Region != "" {
		load = append(load, config.WithRegion(t.Region))
	}
	if t.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(t.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		detail := "the AWS configuration of this machine cannot be read"
		if t.Profile != "" {
			detail += fmt.Sprintf(", or does not have the profile %q", t.Profile)
		}
		return cfg, conns, model.NewError(model.ErrInvalid, detail, err)
	}
	if cfg.Region == "" {
		return cfg, conns, model.NewError(model.ErrInvalid, "no region: neither the URL nor the AWS configuration names one", nil)
	}
	if cfg.HTTPClient == nil { // the SDK makes one only for a CA bundle of the environment
		cfg.HTTPClient = awshttp.NewBuildableClient()
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
