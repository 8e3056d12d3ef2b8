package s3

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// openURLOf opens a backend by its URL, until the test ends.
func openURLOf(t *testing.T, rawURL string) *Backend {
	t.Helper()
	opened, err := backends.Open(t.Context(), rawURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened.(*Backend)
}

// TestMessages has URLs that are refused: each message names the culprit and says
// what to do, without secrets.
func TestMessages(t *testing.T) {
	environment(t, "test", "hunter2")
	for rawURL, says := range map[string][]string{
		"s3:carts/app":                                      {"two slashes"},
		"s3:///app?region=r":                                {"the bucket is missing", "s3://bucket/prefix"},
		"s3://localhost:9000/carts?region=r":                {"colon", "endpoint"},
		"s3://key:hunter2@carts?region=r":                   {"credentials", "AWS_ACCESS_KEY_ID"},
		"s3://carts?region=r&endpiont=http://localhost":     {`"endpiont"`, "endpoint", "region"},
		"s3://carts?region=r&endpoint=localhost:9000":       {"endpoint", "http://localhost:9000"},
		"s3://carts?region=r&endpoint=http://k:hunter2%40h": {"endpoint", "credentials"},
		"s3://carts?region=r&path_style=maybe":              {`"path_style"`, "true or false"},
		"s3://carts?region=r&stray_grace=1x":                {`"stray_grace"`, "90s"},
		"s3://carts?region=r&stray_grace=1s":                {"StrayGrace", "minute"},
		"s3://carts?region=r&max_value=-1":                  {"MaxValue", "1 GiB"},
		"s3://carts?region=r&region=s":                      {`"region"`, "twice"},
		"s3://Carts?region=r":                               {"bucket's name", "a-z"},
		"s3://carts--use1-az4--x-s3?region=r":               {"directory bucket", "general purpose"},
		"s3://carts/a b?region=r":                           {"prefix"},
		"s3://carts/r?region=r":                             {"prefix", "r, x, l, p"},
		"s3://carts?region=r&bucket_owner=me":               {"BucketOwner", "12 digits"},
		"s3://carts?region=r&encryption=rot13":              {"Encryption", "aws:kms"},
		"s3://carts?region=r&access_point_account=1":        {"ARN", "ACCOUNT"},
		"s3://carts?region=r&profile=nosuch":                {"nosuch", "profile"},
		"s3://carts":                                        {"region"},
	} {
		_, err := backends.Open(t.Context(), rawURL)
		drivertest.WantKind(t, err, model.ErrInvalid)
		wantText(t, rawURL, err, says...)
	}
}

func wantText(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v does not say %q", what, err, text)
		}
	}
}

// TestMessagesOfServers has servers that are down, speak another protocol, or
// refuse: reads and writes say why and what to do.
func TestMessagesOfServers(t *testing.T) {
	down := drivertest.NoServer(t)
	f := newFake(t, quirks{})
	plain := strings.TrimPrefix(f.URL, "http://")
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	noHost := func(o *awss3.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, network, _ string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "hunter2", Name: "nosuch.invalid", IsNotFound: true}}
		}}}
	}
	slow := func(o *awss3.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: context.DeadlineExceeded}
		}}}
	}
	for name, test := range map[string]struct {
		endpoint string
		opt      func(*awss3.Options)
		says     []string
	}{
		"down":           {"http://" + down, nil, []string{down, "refuses connections", "that the server runs there"}},
		"no such host":   {"http://nosuch.invalid", noHost, []string{"nosuch.invalid", "is not known", "endpoint"}},
		"no answer":      {"http://nosuch.invalid", slow, []string{"does not answer", "firewall"}},
		"no TLS":         {"https://" + plain, nil, []string{plain, "TLS", "http://"}},
		"no certificate": {secure.URL, nil, []string{"certificate", "no known authority"}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := []func(*awss3.Options){func(o *awss3.Options) {
				if test.opt != nil {
					test.opt(o)
				}
			}}
			b := newBackend(t, plainClient(t, test.endpoint, "key", "hunter2", opts...), "carts", "app", nil)
			for what, err := range bothOf(t, b) {
				drivertest.WantKind(t, err, model.ErrUnavailable)
				wantText(t, what, err, test.says...)
			}
		})
	}
	b := newBackend(t, f.client(t), "carts", "app", &Options{BucketOwner: "123456789012"})
	for code, test := range map[string]struct {
		status int
		says   []string
	}{
		codeNoBucket:            {404, []string{"carts", "CreateStorage"}},
		codeDenied:              {403, []string{codeDenied, "policy", "BucketOwner"}},
		"InvalidAccessKeyId":    {403, []string{"InvalidAccessKeyId", "credentials"}},
		"SignatureDoesNotMatch": {403, []string{"secret key"}},
		"PermanentRedirect":     {301, []string{"region"}},
		"KMS.DisabledException": {400, []string{"KMS.DisabledException", "kms:Decrypt"}},
		"NewCode":               {401, []string{"NewCode", "refuses"}},
		"hunter2 hunter2":       {400, []string{"refuses"}},
	} {
		f.answers(func(string, string) *answer { return &answer{status: test.status, code: code} })
		for what, err := range bothOf(t, b) {
			drivertest.WantKind(t, err, model.ErrUnavailable)
			wantText(t, code+", "+what, err, test.says...)
		}
	}
	f.answers(func(string, string) *answer { return &answer{status: 500, code: "InternalError"} })
	for what, err := range bothOf(t, b) {
		wantText(t, what, err, "InternalError")
	}
}

// TestMessageWithoutCredentials has an environment without credentials.
func TestMessageWithoutCredentials(t *testing.T) {
	environment(t, "", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	b := openURLOf(t, "s3://carts?region=r&endpoint=http://localhost:1")
	for what, err := range bothOf(t, b) {
		drivertest.WantKind(t, err, model.ErrUnavailable)
		wantText(t, what, err, "credentials", "AWS_ACCESS_KEY_ID")
	}
}

// bothOf returns the errors of a read and of a write.
func bothOf(t *testing.T, b *Backend) map[string]error {
	t.Helper()
	_, read := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	_, write := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAbsent})
	return map[string]error{"read": read, "write": write}
}
