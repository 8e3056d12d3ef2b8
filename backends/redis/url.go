package redis

import (
	"context"
	"net/url"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func init() {
	for _, scheme := range []string{"redis", "rediss"} {
		backends.Register(scheme, openURL)
	}
}

// openURL opens a URL of the form
// redis://user:password@host:port/db?name=store, with rediss for TLS. One or
// more parameters addr=host:port name further nodes of a cluster. Go-redis
// reads the other parameters. The backend closes the client that this makes.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	own := *u
	query := own.Query()
	query.Del("name")
	own.RawQuery = query.Encode()
	if own.Host == "" || own.Opaque != "" {
		return nil, badURL()
	}
	var client goredis.UniversalClient
	if query.Has("addr") {
		o, err := goredis.ParseClusterURL(own.String())
		if err != nil {
			return nil, badURL()
		}
		client = goredis.NewClusterClient(o)
	} else {
		o, err := goredis.ParseURL(own.String())
		if err != nil {
			return nil, badURL()
		}
		client = goredis.NewClient(o)
	}
	b, err := New(client, backends.Name(u), nil)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	b.gate.Own(client)
	return b, nil
}

// badURL does not wrap the parser's error, which may quote a password.
func badURL() error {
	return model.NewError(model.ErrInvalid, "the URL is not redis://user:password@host:port/db?name=store, with options of go-redis as further parameters", nil)
}
