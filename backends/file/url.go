package file

import (
	"context"
	"net/url"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func init() { backends.Register("file", openURL) }

// openURL returns a backend for a URL of the form file:DIR?name=store.
// file:data and file:./data are relative to the working directory.
// file:/var/lib/app and file:///var/lib/app are absolute.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	if err := backends.Only(u, "name"); err != nil {
		return nil, err
	}
	dir := u.Path
	if u.Opaque != "" {
		var err error
		if dir, err = url.PathUnescape(u.Opaque); err != nil {
			dir = ""
		}
	}
	if dir == "" || u.Host != "" {
		return nil, model.NewError(model.ErrInvalid, "the form is file:DIR?name=store", nil)
	}
	return New(dir, backends.Name(u), nil)
}
