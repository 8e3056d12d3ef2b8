package dynamodb

import (
	"context"
	"net/http"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func init() { backends.Register("dynamodb", openURL) }

// openURL makes a backend and its client of a URL of the form
// dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000. Both
// parameters may be left out; what they do not say, and the credentials, come
// from the usual places: environment, shared files, the machine's role. The
// client's connections are closed with the backend.
func openURL(ctx context.Context, u *url.URL) (expiry.ModelExpirySupport, error) {
	if err := backends.Only(u, "region", "endpoint"); err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, badURL()
	}
	query := u.Query()
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
		cfg.HTTPClient = &http.Client{Transport: conns.transport, CheckRedirect: noRedirect}
	}
	client := awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		if endpoint := query.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	if e, err := url.Parse(query.Get("endpoint")); err != nil || query.Has("endpoint") && (e.Host == "" || e.User != nil) {
		return nil, badURL()
	}
	b, err := New(client, u.Host, nil)
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
	return model.Fault(model.ErrInvalid, "the form is dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000, without credentials", nil)
}
