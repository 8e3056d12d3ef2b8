package dynamodb

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// target is what a URL says besides the table.
type target struct {
	service internalaws.Target
	arn     string
	options Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	t.service.Bind(&p)
	p.Text(&t.arn, "table_arn", "The ARN of the table, for one in another account. The URL's host is empty or the same name.")
	p.Options(&t.options)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

// The limits of time of a client that a URL opens. A response has at most 16 MB.
const (
	dialTimeout   = 5 * time.Second
	headerTimeout = 10 * time.Second
	wholeTimeout  = 30 * time.Second
)

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
	table, err := t.read(u)
	if err != nil {
		return nil, err
	}
	endpoint, ok := t.service.BaseEndpoint()
	if !ok || endpoint != nil && !strings.HasPrefix(*endpoint, "http://") && !strings.HasPrefix(*endpoint, "https://") {
		return nil, badURL("the endpoint does not begin with http:// or https:// and a host, or it has credentials")
	}
	cfg, connections, err := t.service.Config(ctx, parallelism)
	if err != nil {
		return nil, err
	}
	if connections.Transport != nil {
		connections.Transport.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
		connections.Transport.ResponseHeaderTimeout = headerTimeout
	}
	if c, ok := cfg.HTTPClient.(*http.Client); ok {
		c.Timeout = wholeTimeout
	}
	client := awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		if endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	})
	b, err := New(client, table, &t.options)
	if err != nil {
		return nil, err
	}
	b.gate.Own(connections)
	return b, nil
}

// read returns the table of a URL, and sets what its parameters imply.
func (t *target) read(u *url.URL) (table string, err error) {
	switch {
	case u.User != nil:
		return "", badURL("it has credentials, which come from the environment, a profile or the machine's role")
	case u.Opaque != "":
		return "", badURL("two slashes are missing before the table")
	case u.Path != "" && u.Path != "/":
		return "", badURL("there is a path after the table")
	case u.Host == "" && t.arn == "":
		return "", badURL("it names no table")
	}
	table = u.Host
	if t.arn != "" {
		region, name, ok := cutARN(t.arn)
		if !ok || u.Host != "" && u.Host != name {
			return "", badURL("table_arn is not of the form arn:aws:dynamodb:REGION:ACCOUNT:table/NAME with the table of the URL")
		}
		table = t.arn
		if t.service.Region == "" {
			t.service.Region = region
		}
	}
	return table, nil
}

func badURL(why string) error {
	return model.NewError(model.ErrInvalid, why+": the form is dynamodb://table?region=eu-west-1&endpoint=http://localhost:8000", nil)
}
