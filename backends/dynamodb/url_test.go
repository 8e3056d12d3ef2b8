package dynamodb

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// environment sets credentials and hides the AWS configuration of this machine.
func environment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_DYNAMODB": "",
	} {
		t.Setenv(name, value)
	}
}

func TestURLOpensAStore(t *testing.T) {
	environment(t)
	drivertest.OpenURL(t, "dynamodb://"+drivertest.Name()+"?region=eu-west-1&endpoint="+url.QueryEscape(containers.DynamoDB(t).URL), open(t, nil))
}

func TestURLRefuses(t *testing.T) {
	environment(t)
	drivertest.RefuseURLs(t, "hunter2",
		"dynamodb:", "dynamodb:carts", "dynamodb:///carts", "dynamodb://carts", "dynamodb://carts/x?region=r", "dynamodb://ab?region=r",
		"dynamodb://key:hunter2@carts?region=r", "dynamodb://carts?region=r&nosuch=1", "dynamodb://carts?region=r#x", "dynamodb://carts?region=r&profile=nosuch",
		"dynamodb://carts?region=r&endpoint=localhost", "dynamodb://carts?region=r&endpoint=http://key:hunter2@h", "dynamodb://carts?region=r&endpoint=%25zz")
}

func TestURLTakesTheRegionFromTheEnvironment(t *testing.T) {
	environment(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	b, err := backends.Open(t.Context(), "dynamodb://My_Carts.2-x")
	if err != nil {
		t.Fatal(err)
	}
	d := b.(*Backend)
	if d.table != "My_Carts.2-x" || sdkOf(d).Options().Region != "eu-central-1" {
		t.Errorf("table %q in %q", d.table, sdkOf(d).Options().Region)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestURLTakesParams(t *testing.T) {
	environment(t)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profiles(t))
	drivertest.TakesParams(t, "dynamodb://carts?region=r", map[string]string{
		"endpoint": "http://localhost", "table_arn": "arn:aws:dynamodb:r:123456789012:table/carts", "tag": "team=web",
	})
}

// profiles writes a file with the credentials of the profile x.
func profiles(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(name, []byte("[x]\naws_access_key_id = of-x\naws_secret_access_key = hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestURLReachesOptions(t *testing.T) {
	environment(t)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profiles(t))
	b, err := backends.Open(t.Context(), "dynamodb://carts?region=r&profile=x&grace_ttl=-1s&queryable=true")
	if err != nil {
		t.Fatal(err)
	}
	d := b.(*Backend)
	key, err := sdkOf(d).Options().Credentials.Retrieve(t.Context())
	if err != nil || key.AccessKeyID != "of-x" || d.grace >= 0 || !d.opts.Queryable {
		t.Errorf("key %s, %v; grace %d, queryable %v", key.AccessKeyID, err, d.grace, d.opts.Queryable)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
