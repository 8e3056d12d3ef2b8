package dynamodb

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// environment sets credentials and hides the AWS configuration of this machine.
func environment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_DYNAMODB": "",
		"AWS_CA_BUNDLE": "", // each client would parse it
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
		"endpoint": "http://localhost", "table_arn": "arn:aws:dynamodb:r:123456789012:table/carts", "tags": "team=web",
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

// TestMessages has URLs that are wrong, and servers that are down or refuse:
// each error says what is wrong, with what, and what to do, and has no secret.
func TestMessages(t *testing.T) {
	environment(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	closed := drivertest.NoServer(t)
	server := func(status int, header, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Type", header)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	refusal := func(code string) string {
		return server(400, "application/x-amz-json-1.0", `{"__type":"com.amazonaws.dynamodb.v20120810#`+code+`","message":"hunter2"}`)
	}
	plain := server(200, "text/html", "<html>hunter2</html>")
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, test := range []struct {
		url  string
		kind error
		says []string
	}{
		{"dynamodb:", model.ErrInvalid, []string{"names no table", "dynamodb://table"}},
		{"dynamodb:carts", model.ErrInvalid, []string{"two slashes", "dynamodb://table"}},
		{"dynamodb://carts/x?region=r", model.ErrInvalid, []string{"a path after the table"}},
		{"dynamodb://key:hunter2@carts?region=r", model.ErrInvalid, []string{"credentials", "environment"}},
		{"dynamodb://carts?regoin=r", model.ErrInvalid, []string{`"regoin"`, "region"}},
		{"dynamodb://carts?region=r&queryable=hunter2", model.ErrInvalid, []string{`"queryable"`, "true or false"}},
		{"dynamodb://carts?region=r&grace_ttl=1x", model.ErrInvalid, []string{`"grace_ttl"`, "90s"}},
		{"dynamodb://carts?region=r&partitions=999", model.ErrInvalid, []string{"Partitions is 999", "256"}},
		{"dynamodb://carts?region=r&endpoint=localhost:8000", model.ErrInvalid, []string{"http://"}},
		{"dynamodb://carts?region=r&endpoint=http://key:hunter2%40h", model.ErrInvalid, []string{"endpoint", "credentials"}},
		{"dynamodb://carts?region=r&tags=hunter2", model.ErrInvalid, []string{"key=value"}},
		{"dynamodb://carts?table_arn=arn:aws:dynamodb:r:1:table/other", model.ErrInvalid, []string{"table_arn"}},
		{"dynamodb://carts?region=r&profile=nosuch", model.ErrInvalid, []string{`"nosuch"`}},
		{"dynamodb://carts", model.ErrInvalid, []string{"no region"}},
		{"dynamodb://ab?region=r", model.ErrInvalid, []string{"3 to 255"}},
		{"dynamodb://carts?region=r&endpoint=http://" + closed, model.ErrUnavailable, []string{closed, "refuses connections", "check the region, the endpoint"}},
		{"dynamodb://carts?region=r&endpoint=http://nosuch.invalid", model.ErrUnavailable, []string{`host "nosuch.invalid"`, "cannot connect", "check the"}},
		{"dynamodb://carts?region=r&endpoint=" + strings.Replace(plain, "http:", "https:", 1), model.ErrUnavailable, []string{"does not speak TLS", "http://"}},
		{"dynamodb://carts?region=r&endpoint=" + secure.URL, model.ErrUnavailable, []string{"certificate", "not trusted"}},
		{"dynamodb://carts?region=r&endpoint=" + plain, model.ErrUnavailable, []string{"not DynamoDB's", "check the endpoint"}},
		{"dynamodb://carts?region=r&endpoint=" + server(0, "", ""), model.ErrUnavailable, []string{"connection broke"}},
		{"dynamodb://carts?region=r&endpoint=" + refusal("UnrecognizedClientException"), model.ErrUnavailable, []string{"UnrecognizedClientException", "credentials are unknown"}},
		{"dynamodb://carts?region=r&endpoint=" + refusal("AccessDeniedException"), model.ErrUnavailable, []string{"AccessDeniedException", "permission", "the policy"}},
		{"dynamodb://carts?region=r&endpoint=" + refusal("ResourceNotFoundException"), model.ErrUnavailable, []string{"carts", "region", "CreateStorage"}},
		{"dynamodb://carts?region=r&endpoint=" + refusal("KMSDisabledException"), model.ErrUnavailable, []string{"KMSDisabledException", "refuses"}},
	} {
		b, err := backends.Open(t.Context(), test.url)
		if err == nil {
			err = driver.Ping(t.Context(), b, time.Time{})
			_ = b.Close()
		}
		if model.Kind(err) != test.kind {
			t.Errorf("%s: %v of kind %v", test.url, err, model.Kind(err))
			continue
		}
		for _, part := range append(test.says, "") {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %q in it", test.url, err, part)
			}
		}
	}
}

// TestMessageWithoutCredentials opens a URL on a machine without credentials.
func TestMessageWithoutCredentials(t *testing.T) {
	environment(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	b, err := backends.Open(t.Context(), "dynamodb://carts?region=r&endpoint=http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	for name, err := range map[string]error{
		"a read":  driver.Ping(t.Context(), b, time.Time{}),
		"a write": create(t, b.(*Backend), drivertest.Record("id", "", 0)),
	} {
		if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "check its credentials") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestURLLimitsTime has a client that the URL opens: no step of a request may
// last forever.
func TestURLLimitsTime(t *testing.T) {
	environment(t)
	b, err := backends.Open(t.Context(), "dynamodb://carts?table_arn=arn:aws:dynamodb:eu-west-3:123456789012:table/carts&tags=a=b,c=d=e&kms_key=k")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	d := b.(*Backend)
	c, ok := sdkOf(d).Options().HTTPClient.(*http.Client)
	if !ok || c.Timeout != wholeTimeout {
		t.Fatalf("the client is %T without a limit", sdkOf(d).Options().HTTPClient)
	}
	tr, ok := c.Transport.(*http.Transport)
	if !ok || tr.ResponseHeaderTimeout != headerTimeout || tr.TLSHandshakeTimeout <= 0 || tr.DialContext == nil {
		t.Errorf("the transport has no limits")
	}
	if d.table != "arn:aws:dynamodb:eu-west-3:123456789012:table/carts" || sdkOf(d).Options().Region != "eu-west-3" {
		t.Errorf("the table %s in %s", d.table, sdkOf(d).Options().Region)
	}
	if strings.Join(d.opts.Tags, " ") != "a=b c=d=e" || d.opts.KMSKey != "k" {
		t.Errorf("the options are %+v", d.opts)
	}
}
