package memory

import (
	"context"
	"net/url"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// target is what a URL says.
type target struct{ options Options }

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Options(&t.options)
	return &p
}

func init() { backends.Register("memory", openURL, new(target).params().List()...) }

// openURL returns a backend in a new space for the URL memory:?labels=names.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	var t target
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	if u.Host != "" || u.User != nil || u.Opaque != "" || u.Path != "" {
		return nil, model.NewError(model.ErrInvalid, "the form is memory:?labels=names, without host and path", nil)
	}
	return New(nil, backends.DefaultName, &t.options)
}
