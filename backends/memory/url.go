package memory

import (
	"context"
	"net/url"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func init() { backends.Register("memory", openURL) }

// openURL returns a backend in a new space for the URL memory:
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	if err := backends.Only(u); err != nil {
		return nil, err
	}
	if u.Host != "" || u.Opaque != "" || u.Path != "" {
		return nil, model.NewError(model.ErrInvalid, "the form is memory:", nil)
	}
	return New(nil, backends.DefaultName, nil)
}
