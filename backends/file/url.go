package file

import (
	"context"
	"errors"
	"net/url"
	"os"
	"syscall"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// target is what a URL says besides the directory.
type target struct {
	name    string
	options Options
}

func (t *target) params() *backends.Params {
	var p backends.Params
	p.Name(&t.name, "name", "The store's name.")
	p.Options(&t.options)
	return &p
}

func init() { backends.Register(backendName, openURL, new(target).params().List()...) }

// openURL returns a backend for a URL of the form file:DIR?name=store.
// file:data and file:./data are relative to the working directory.
// file:/var/lib/app and file:///var/lib/app are absolute.
func openURL(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	var t target
	if err := t.params().Parse(u); err != nil {
		return nil, err
	}
	dir, err := backends.File(u, "file:DIR?name=store")
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() || errors.Is(err, syscall.ENOTDIR) {
		return nil, model.NewError(model.ErrInvalid, "the path names a file or leads through one: give that of a folder, which may be new", err)
	}
	return New(dir, t.name, &t.options)
}
