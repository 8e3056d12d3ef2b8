package s3

import (
	"context"
	"net/url"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// target is what a URL says besides bucket and prefix.
type target struct {
	service   internalaws.Target
	pathStyle bool
	options   Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	t.service.Bind(&p)
	p.Switch(&t.pathStyle, "path_style", "The bucket's name is in the path and not in the host name. The default is true with an endpoint.")
	p.Options(&t.options)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

// openURL opens a backend and its client from a URL of the form
// s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true.
// All parameters are optional. The default prefix is "sojourn". Credentials, and
// a region that the URL does not name, come from the environment, shared files
// or the machine's role. With an endpoint, the bucket's name is in the path and
// not in the host name, unless path_style is false. Close closes the client's
// connections.
func openURL(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	t := target{pathStyle: u.Query().Get("endpoint") != ""}
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	endpoint, ok := t.service.BaseEndpoint()
	if !ok || u.Host == "" || u.User != nil {
		return nil, badURL()
	}
	cfg, conns, err := t.service.Config(ctx, parallelism)
	if err != nil {
		return nil, err
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.UsePathStyle = t.pathStyle
		if endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	})
	prefix := strings.TrimPrefix(u.Path, "/")
	if prefix == "" {
		prefix = backends.DefaultName
	}
	b, err := New(client, u.Host, prefix, &t.options)
	if err != nil {
		return nil, err
	}
	b.gate.Own(conns)
	return b, nil
}

func badURL() error {
	return model.NewError(model.ErrInvalid, "the URL is not of the form s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true, without credentials", nil)
}
