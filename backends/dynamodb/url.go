package dynamodb

import (
	"context"
	"net/url"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

func init() { backends.Register(backendName, openURL) }

// openURL returns a backend and creates its client from a URL of the form
// dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000. Both
// parameters are optional. Credentials, and what the URL does not name, come
// from the SDK's usual places: the environment, shared files and the machine's
// role. Close closes the client's connections.
func openURL(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	if err := backends.Only(u, "region", "endpoint"); err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, badURL()
	}
	query := u.Query()
	endpoint, ok := internalaws.Endpoint(query)
	if !ok {
		return nil, badURL()
	}
	cfg, connections, err := internalaws.Config(ctx, query, parallelism)
	if err != nil {
		return nil, err
	}
	client := awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		if endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	})
	b, err := New(client, u.Host, nil)
	if err != nil {
		return nil, err
	}
	b.gate.Own(connections)
	return b, nil
}

func badURL() error {
	return model.NewError(model.ErrInvalid, "the form is dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000, without credentials", nil)
}
