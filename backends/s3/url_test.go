package s3

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// environment has credentials, and nothing of this machine's.
func environment(t *testing.T, key, secret string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
	} {
		t.Setenv(name, value)
	}
}

func TestURLOpensAStore(t *testing.T) {
	endpoint, key, secret := serverAt(t)
	environment(t, key, secret)
	name := uniqueName() // a bucket that is not there yet
	b, err := backends.Open(t.Context(), "s3://"+name+"/app/carts?region=us-east-1&endpoint="+url.QueryEscape(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), testNow, driver.Write{Record: record("a", "ann", time.Hour), Cond: driver.IfAbsent}); err != nil {
		t.Error(err)
	}
	other, err := backends.Open(t.Context(), "s3://"+name+"?region=us-east-1&path_style=true&endpoint="+url.QueryEscape(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	if got := other.(*Backend).prefix; got != backends.DefaultName {
		t.Errorf("the prefix is %q", got)
	}
	if _, err := other.Get(t.Context(), testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrNotFound) {
		t.Errorf("get from another prefix: %v", err)
	}
	if err := driver.DeleteStorage(t.Context(), b); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := errors.Join(b.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Get(t.Context(), testNow, driver.Get{ID: "a"}); !errors.Is(err, model.ErrClosed) {
		t.Errorf("get after Close: %v", err)
	}
}

func TestURLRefuses(t *testing.T) {
	environment(t, "test", "hunter2")
	for _, rawURL := range []string{
		"s3:", "s3:carts", "s3:///carts", "s3://carts", "s3://ab?region=r", "s3://Carts/x?region=r", "s3://carts/x//y?region=r", "s3://carts/../y?region=r",
		"s3://carts/x/?region=r", "s3://carts/a%20b?region=r", "s3://carts--use1-az4--x-s3/x?region=r",
		"s3://key:hunter2@carts?region=r", "s3://carts?region=r&nosuch=1", "s3://carts?region=r#x", "s3://carts?region=r&path_style=maybe",
		"s3://carts?region=r&endpoint=localhost", "s3://carts?region=r&endpoint=http://key:hunter2@h", "s3://carts?region=r&endpoint=%25zz",
	} {
		_, err := backends.Open(t.Context(), rawURL)
		if !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%q: %v", rawURL, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error quotes the secret: %v", rawURL, err)
		}
	}
}

func TestURLTakesTheRestFromTheEnvironment(t *testing.T) {
	environment(t, "test", "hunter2")
	t.Setenv("AWS_REGION", "eu-central-1")
	for rawURL, pathStyle := range map[string]bool{
		"s3://my.carts-2/y":                                    false,
		"s3://my.carts-2/y?endpoint=http://localhost":          true,
		"s3://my.carts-2/y?endpoint=http://h&path_style=false": false,
		"s3://my.carts-2/y?path_style=true":                    true,
	} {
		b, err := backends.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatal(err)
		}
		d := b.(*Backend)
		if o := d.client.Options(); d.bucket != "my.carts-2" || d.prefix != "y" || o.Region != "eu-central-1" || o.UsePathStyle != pathStyle {
			t.Errorf("%s: %s in %q, path style %v", rawURL, d.bucket, o.Region, o.UsePathStyle)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
