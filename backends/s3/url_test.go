package s3

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// environment sets credentials and hides the AWS configuration of the machine.
func environment(t *testing.T, key, secret string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_CA_BUNDLE": "", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
	} {
		t.Setenv(name, value)
	}
}

func TestURLOpensAStore(t *testing.T) {
	endpoint, key, secret := serverAt(t)
	environment(t, key, secret)
	at := "?region=us-east-1&endpoint=" + url.QueryEscape(endpoint)
	name := drivertest.Name() // the bucket does not exist yet
	other, err := backends.Open(t.Context(), "s3://"+name+at+"&path_style=true")
	if err != nil {
		t.Fatal(err)
	}
	if got := other.(*Backend).prefix; got != backends.DefaultName {
		t.Errorf("the prefix is %q, want %q", got, backends.DefaultName)
	}
	drivertest.OpenURL(t, "s3://"+name+"/app/carts"+at, other)
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestURLRefuses(t *testing.T) {
	environment(t, "test", "hunter2")
	drivertest.RefuseURLs(t, "hunter2",
		"s3:", "s3:carts", "s3:///carts", "s3://carts", "s3://ab?region=r", "s3://Carts/x?region=r", "s3://carts/x//y?region=r", "s3://carts/../y?region=r",
		"s3://carts/x/?region=r", "s3://carts/a%20b?region=r", "s3://carts--use1-az4--x-s3/x?region=r",
		"s3://key:hunter2@carts?region=r", "s3://carts?region=r&nosuch=1", "s3://carts?region=r#x", "s3://carts?region=r&path_style=maybe",
		"s3://carts?region=r&endpoint=localhost", "s3://carts?region=r&endpoint=http://key:hunter2@h", "s3://carts?region=r&endpoint=%25zz")
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
		if o := d.Client().(*awss3.Client).Options(); d.bucket != "my.carts-2" || d.prefix != "y" || o.Region != "eu-central-1" || o.UsePathStyle != pathStyle {
			t.Errorf("%s: the bucket is %s in %q, path style %v", rawURL, d.bucket, o.Region, o.UsePathStyle)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestURLTakesParams(t *testing.T) {
	environment(t, "test", "hunter2")
	name := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(name, []byte("[x]\naws_access_key_id = of-x\naws_secret_access_key = hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", name)
	drivertest.TakesParams(t, "s3://carts/y?region=r", map[string]string{
		"endpoint": "http://localhost", "encryption": "aws:kms", "bucket_owner": "123456789012", "access_point_account": "123456789012",
	})
	b, err := backends.Open(t.Context(), "s3://carts?region=r&stray_grace=5m&client_checksums=true&allow_versioned=1")
	if err != nil {
		t.Fatal(err)
	}
	if d := b.(*Backend); d.opts.StrayGrace != 5*time.Minute || !d.opts.ClientChecksums || !d.opts.AllowVersioned {
		t.Errorf("grace %v, checksums %v, versions %v", d.opts.StrayGrace, d.opts.ClientChecksums, d.opts.AllowVersioned)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
