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
	p.Text(&t.name, "name", "The store's name. The default is "+backends.DefaultName+".")
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
	dir := u.Path
	if u.Opaque != "" {
		var err error
		if dir, err = url.PathUnescape(u.Opaque); err != nil {
			dir = ""
		}
	}
	if dir == "" || u.Host != "" || u.User != nil {
		return nil, model.NewError(model.ErrInvalid, "the form is file:DIR?name=store, with a path such as file:data or file:///var/lib/app and without a host", nil)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() || errors.Is(err, syscall.ENOTDIR) {
		return nil, model.NewError(model.ErrInvalid, "the path names a file or leads through one: give that of a folder, which may be new", err)
	}
	if t.name == "" {
		t.name = backends.DefaultName
	}
	return New(dir, t.name, &t.options)
}
