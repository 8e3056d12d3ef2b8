package s3

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// serverOf is the server that the tests run on; second_test.go has another one.
var serverOf = containers.MinIO

// serverAt is where the server is, and its credentials.
func serverAt(t testing.TB) (endpoint, key, secret string) {
	t.Helper()
	u, err := url.Parse(serverOf(t).URL)
	if err != nil {
		t.Fatal("the server's URL cannot be parsed")
	}
	key = u.User.Username()
	secret, _ = u.User.Password()
	u.User = nil
	return u.String(), key, secret
}

// clientAt is a client for an endpoint, with the SDK's usual retries, at a pace
// for tests. Its connections end with the test.
func clientAt(t testing.TB, endpoint string, opts ...func(*awss3.Options)) *awss3.Client {
	t.Helper()
	_, key, secret := serverAt(t)
	return plainClient(t, endpoint, key, secret, opts...)
}

// plainClient is a client that needs no server to be made.
func plainClient(t testing.TB, endpoint, key, secret string, opts ...func(*awss3.Options)) *awss3.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	t.Cleanup(transport.CloseIdleConnections)
	return awss3.New(awss3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
		Logger:      logging.Nop{},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = 3, retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		}),
	}, opts...)
}

// client is one for the server.
func client(t testing.TB) *awss3.Client {
	t.Helper()
	endpoint, _, _ := serverAt(t)
	return clientAt(t, endpoint)
}

var (
	nameNumber atomic.Int64
	sharedName = sync.OnceValue(uniqueName)
	sharedMade sync.Map
)

// uniqueName is a name that no other bucket or store has.
func uniqueName() string {
	return fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), nameNumber.Add(1))
}

// bucket is the one that the stores of this test process share.
func bucket(t testing.TB) string {
	t.Helper()
	name := sharedName()
	once, _ := sharedMade.LoadOrStore(name, &sync.Once{})
	once.(*sync.Once).Do(func() { makeBucket(t, name) })
	return name
}

func makeBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := client(t).CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
}

// ownBucket is a bucket for one test alone.
func ownBucket(t testing.TB) string {
	t.Helper()
	name := uniqueName()
	makeBucket(t, name)
	return name
}

// openOn is a backend on a store of its own.
func openOn(t testing.TB, c *awss3.Client, opts *Options) *Backend {
	t.Helper()
	return openAt(t, c, bucket(t), uniqueName(), opts)
}

// openAt is a backend whose storage is there, and deleted at the test's end.
func openAt(t testing.TB, c *awss3.Client, bucket, prefix string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, bucket, prefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	direct, err := New(client(t), bucket, prefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := direct.DeleteStorage(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// open is a backend on a store of its own.
func open(t testing.TB) *Backend {
	t.Helper()
	return openOn(t, client(t), nil)
}

// proxied is a backend on a store of its own, behind a proxy.
func proxied(t testing.TB, opts *Options) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t)
	return openOn(t, clientAt(t, p.url), opts), p
}

// deleting is proxied with a server that heeds conditions on deletes.
func deleting(t testing.TB, opts *Options) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t)
	p.heedDeletes(t)
	b := openOn(t, clientAt(t, p.url), opts)
	if b.mode.Load() != modeDeletes {
		t.Fatal("the probe did not find conditional deletes")
	}
	return b, p
}

// testNow is the clock of the tests.
var testNow = time.Date(2040, 1, 2, 3, 4, 5, 6e6, time.UTC)

// record is one with all its parts.
func record(id, principal string, ttl time.Duration) model.Record {
	r := model.Record{ID: id, Revision: model.NewRevision(), Value: []byte(`{"of":"` + id + `"}`), Encoding: "json"}
	if principal != "" {
		r.Labels = map[string]string{"principal": principal}
	}
	if ttl != 0 {
		r.ExpiresAt = testNow.Add(ttl)
	}
	return r
}

func seed(t testing.TB, b *Backend, recs ...model.Record) {
	t.Helper()
	for _, r := range recs {
		if _, err := b.Write(t.Context(), testNow, driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
			t.Fatal(err)
		}
	}
}

// only fails unless the error matches the kind and no other sentinel.
func only(t testing.TB, err, kind error) {
	t.Helper()
	if got := model.Kind(err); got != kind {
		t.Fatalf("got the error %v of kind %v, want kind %v", err, got, kind)
	}
}

// objectsOf are all objects of the store, by their keys below the prefix.
func objectsOf(t testing.TB, b *Backend) map[string]types.Object {
	t.Helper()
	all := map[string]types.Object{}
	prefix := b.prefix + "/"
	pages := awss3.NewListObjectsV2Paginator(client(t), &awss3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Contents {
			all[(*o.Key)[len(prefix):]] = o
		}
	}
	return all
}

// putObject stores an object behind the backend's back.
func putObject(t testing.TB, b *Backend, key string, data []byte) {
	t.Helper()
	if err := putRaw(t.Context(), client(t), b.bucket, b.full(key), data); err != nil {
		t.Fatal(err)
	}
}

func putRaw(ctx context.Context, c *awss3.Client, bucket, key string, data []byte) error {
	_, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: aws.String(key), Body: newReader(data)})
	return err
}
