package s3

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

func init() { backends.Register("s3", openURL) }

// openURL opens a backend and its client from a URL of the form
// s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true.
// All parameters are optional. The default prefix is "sojourn". Credentials, and
// a region that the URL does not name, come from the environment, shared files
// or the machine's role. With an endpoint, the bucket's name is in the path and
// not in the host name, unless path_style is false. Close closes the client's
// connections.
func openURL(ctx context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	if err := backends.Only(u, "region", "endpoint", "path_style"); err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, badURL()
	}
	query := u.Query()
	endpoint, ok := internalaws.Endpoint(query)
	if !ok {
		return nil, badURL()
	}
	pathStyle := endpoint != nil
	if query.Has("path_style") {
		var err error
		if pathStyle, err = strconv.ParseBool(query.Get("path_style")); err != nil {
			return nil, badURL()
		}
	}
	cfg, conns, err := internalaws.Config(ctx, query, parallelism)
	if err != nil {
		return nil, err
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.UsePathStyle = pathStyle
		if endpoint != nil {
			o.BaseEndpoint = endpoint
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
	b.gate.Own(conns)
	return b, nil
}

func badURL() error {
	return model.NewError(model.ErrInvalid, "the URL is not of the form s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true, without credentials", nil)
}
