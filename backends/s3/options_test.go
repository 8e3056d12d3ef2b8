package s3

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestAccountOptions looks for the options on the wire, in the headers of
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html.
func TestAccountOptions(t *testing.T) {
	const owner, key = "123456789012", "alias/carts"
	b, f := fakeStore(t, &Options{KMSKeyID: key, BucketKey: true, BucketOwner: owner, RequesterPays: true})
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute), drivertest.Record("id2", "ann", time.Minute))
	wantIDs(t, bearers(t, b, "ann"), "id", "id2")
	remove(t, b, "id")
	sweep(t, b, time.Hour, 1)
	writes, all := 0, 0
	for op, h := range f.headers {
		all++
		if h.Get("X-Amz-Expected-Bucket-Owner") != owner {
			t.Errorf("%s has no owner", op)
		}
		if pays := h.Get("X-Amz-Request-Payer") == "requester"; !pays && op != "GET bucket" { // settings are the owner's
			t.Errorf("%s has no payer", op)
		}
		encrypted := h.Get("X-Amz-Server-Side-Encryption") == "aws:kms" && h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") == key &&
			h.Get("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled") == "true"
		if strings.HasPrefix(op, "PUT ") {
			writes++
		}
		if encrypted != strings.HasPrefix(op, "PUT ") {
			t.Errorf("%s: encrypted: %v", op, encrypted)
		}
	}
	if writes < 5 || all < 12 {
		t.Errorf("%d kinds of requests, %d of them writes", all, writes)
	}
	plain, f := fakeStore(t, nil)
	drivertest.Seed(t, plain, drivertest.Record("id", "ann", time.Minute))
	for op, h := range f.headers {
		for name := range h {
			if strings.Contains(name, "Encryption") || strings.Contains(name, "Payer") || strings.Contains(name, "Owner") {
				t.Errorf("without options, %s has %s", op, name)
			}
		}
	}
}

// TestAccessPoints sends requests to the host of an access point.
func TestAccessPoints(t *testing.T) {
	const arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/carts"
	host := ""
	c := plainClient(t, "", "key", "secret", func(o *awss3.Options) {
		o.BaseEndpoint, o.UsePathStyle, o.Region = nil, false, "eu-west-1"
		o.HTTPClient = roundTrip(func(r *http.Request) (*http.Response, error) {
			host = r.URL.Host
			return (&answer{status: 404, code: "NoSuchAccessPoint"}).response()
		})
	})
	_, err := newBackend(t, c, arn, "app", nil).Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if host != "carts-123456789012.s3-accesspoint.eu-west-1.amazonaws.com" || !strings.Contains(err.Error(), "NoSuchAccessPoint") {
		t.Errorf("%s: %v", host, err)
	}
	environment(t, "key", "secret")
	for region, want := range map[string]string{
		"eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b",
		"eu-isoe-west-1": "aws-iso-e", "us-isof-south-1": "aws-iso-f", "eusc-de-east-1": "aws-eusc", "mx-central-1": "aws",
	} {
		b := openURLOf(t, "s3://carts/app?access_point_account=123456789012&region="+region)
		if b.bucket != "arn:"+want+":s3:"+region+":123456789012:accesspoint/carts" {
			t.Errorf("%s: %s", region, b.bucket)
		}
		// The SDK refuses the ARN of another part.
		params := awss3.EndpointParameters{Bucket: &b.bucket, Region: &region}
		if _, err := awss3.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), params); err != nil {
			t.Errorf("%s: %v", region, err)
		}
	}
	for arn, says := range map[string]string{
		"arn:aws:s3::123456789012:accesspoint/m.mrap":                             "multi-Region",
		"arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/carts":       "s3-object-lambda",
		"arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op/accesspoint/carts": "s3-outposts",
		"arn:aws:s3:::carts":                                "ACCOUNT",
		"arn:aws:s3:eu-west-1:12:accesspoint/carts":         "ACCOUNT",
		"arn:aws:s3:eu-west-1:123456789012:accesspoint/a/b": "NAME",
		"arn:aws": "form",
	} {
		_, err := New(c, arn, "app", nil)
		if drivertest.WantKind(t, err, model.ErrInvalid); !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", arn, err)
		}
	}
}

// roundTrip is an HTTP client.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestOptionsThatAreRefused(t *testing.T) {
	f := newFake(t, quirks{})
	for _, o := range []Options{
		{Encryption: "rot13"}, {Encryption: "aws:fsx"}, {Encryption: "AES256", KMSKeyID: "k"}, {Encryption: "AES256", BucketKey: true},
		{Encryption: "aws:kms:dsse", BucketKey: true}, {BucketOwner: "carts"}, {BucketOwner: "12345678901x"},
	} {
		if _, err := New(f.client(t), "carts", "app", &o); model.Kind(err) != model.ErrInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestSilence has a server that accepts a connection and then says nothing, and
// takes nothing.
func TestSilence(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = errors.Join(here.Close(), there.Close()) }()
	c := patient{here, time.Nanosecond}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read: %v", err)
	}
	if _, err := c.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write: %v", err)
	}
	f := newFake(t, quirks{})
	conn, err := dialPatiently(t.Context(), "tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, sendErr := io.WriteString(conn, "GET /carts?versioning HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	data, err := io.ReadAll(conn)
	err = errors.Join(sendErr, err)
	if p, ok := conn.(patient); !ok || p.most != silence || err != nil || !strings.HasPrefix(string(data), "HTTP/1.1 200") {
		t.Errorf("%T, %v, %q", conn, err, data)
	}
}
