package s3

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

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
	account   string
	options   Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	t.service.Bind(&p)
	p.Switch(&t.pathStyle, "path_style", "The bucket's name is in the path and not in the host name. The default is true with an endpoint.")
	p.Text(&t.account, "access_point_account", "The bucket is the name of an access point of this account: 12 digits.")
	p.Options(&t.options)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

// silence is how long a client of a URL waits for the server to send or to take
// something. Then the connection is closed.
const silence = 30 * time.Second

// connectPatience bounds how long such a client tries to connect.
const connectPatience = 10 * time.Second

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
	bucket, err := bucketOf(u)
	if err != nil {
		return nil, err
	}
	endpoint, ok := t.service.BaseEndpoint()
	if !ok {
		return nil, badURL("the endpoint is not an address such as http://localhost:9000, without credentials")
	}
	cfg, conns, err := t.service.Config(ctx, parallelism)
	if err != nil {
		return nil, err
	}
	if conns.Transport != nil {
		conns.Transport.DialContext, conns.Transport.IdleConnTimeout = dialPatiently, silence/2
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
	if t.account != "" {
		bucket = "arn:" + partition(cfg.Region) + ":s3:" + cfg.Region + ":" + t.account + ":accesspoint/" + bucket
	}
	b, err := New(client, bucket, prefix, &t.options)
	if err != nil {
		return nil, err
	}
	b.gate.Own(conns)
	return b, nil
}

// partition returns the part of AWS that a region belongs to, from the region's
// name: us-iso-east-1 is of aws-iso, eu-isoe-west-1 of aws-iso-e, and so on.
func partition(region string) string {
	country, rest, _ := strings.Cut(region, "-")
	part, _, _ := strings.Cut(rest, "-")
	kind, isolated := strings.CutPrefix(part, "iso")
	switch {
	case country == "cn", country == "eusc":
		return "aws-" + country
	case part == "gov":
		return "aws-us-gov"
	case isolated && kind == "":
		return "aws-iso"
	case isolated:
		return "aws-iso-" + kind
	}
	return "aws"
}

// bucketOf returns the bucket's name in a URL.
func bucketOf(u *url.URL) (string, error) {
	switch {
	case u.Opaque != "":
		return "", badURL("two slashes are missing after s3:")
	case u.User != nil:
		return "", badURL("a URL has no credentials: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or the machine's role")
	case u.Host == "":
		return "", badURL("the bucket is missing")
	case strings.Contains(u.Host, ":"):
		return "", badURL("the bucket has a colon: the address of a server is the parameter endpoint")
	}
	return u.Host, nil
}

func badURL(why string) error {
	return model.NewError(model.ErrInvalid, why+"; the form is s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&path_style=true", nil)
}

// dialPatiently opens a connection that ends if the server is silent for long.
func dialPatiently(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectPatience, KeepAlive: silence}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return patient{conn, silence}, nil
}

// patient is a connection whose reads and writes fail after a silence.
type patient struct {
	net.Conn
	most time.Duration
}

func (c patient) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.most)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write also gives the answer its time from now on.
func (c patient) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.most)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
