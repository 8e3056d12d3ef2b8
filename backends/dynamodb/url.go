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

// target is what a URL says besides the table.
type target struct {
	service internalaws.Target
	options Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	t.service.Bind(&p)
	p.Options(&t.options)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

// openURL returns a backend and creates its client from a URL of the form
// dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000. All
// parameters are optional. Credentials, and what the URL does not name, come
// from the SDK's usual places: the environment, shared files and the machine's
// role. Close closes the client's connections.
func openURL(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	var t target
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	endpoint, ok := t.service.BaseEndpoint()
	if !ok || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" {
		return nil, badURL()
	}
	cfg, connections, err := t.service.Config(ctx, parallelism)
	if err != nil {
		return nil, err
	}
	client := awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		if endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	})
	b, err := New(client, u.Host, &t.options)
	if err != nil {
		return nil, err
	}
	b.gate.Own(connections)
	return b, nil
}

func badURL() error {
	return model.NewError(model.ErrInvalid, "the form is dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000, without credentials", nil)
}
