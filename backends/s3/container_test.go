package s3

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait for the server: more of them at a time than processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	os.Exit(containers.Main(m))
}

// serverOf returns the server of the tests. second_test.go sets another one.
var serverOf = containers.MinIO

// serverAt returns the server's endpoint and credentials.
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

// client returns a client of the server.
func client(t testing.TB) *awss3.Client {
	t.Helper()
	endpoint, _, _ := serverAt(t)
	return clientAt(t, endpoint)
}

// clientAt returns a client of an endpoint, with the server's credentials.
func clientAt(t testing.TB, endpoint string, opts ...func(*awss3.Options)) *awss3.Client {
	t.Helper()
	_, key, secret := serverAt(t)
	return plainClient(t, endpoint, key, secret, opts...)
}

// transport returns one for an HTTP client, which closes idle connections before
// the server does: a write that meets the server's close is lost. Its connections end
// with the test.
func transport(t testing.TB) *http.Transport {
	t.Helper()
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConns, tr.MaxIdleConnsPerHost = 0, 256
	tr.IdleConnTimeout = 10 * time.Second
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// plainClient returns a client that retries as the SDK does, but without long
// pauses. Its connections end with the test.
func plainClient(t testing.TB, endpoint, key, secret string, opts ...func(*awss3.Options)) *awss3.Client {
	t.Helper()
	return awss3.New(awss3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, HTTPClient: &http.Client{Transport: transport(t)},
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
		Logger:      logging.Nop{},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = 3, retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		}),
	}, opts...)
}

var (
	sharedName = sync.OnceValue(drivertest.Name)
	sharedMade sync.Once
)

// bucket returns the bucket that the stores of this test process share.
func bucket(t testing.TB) string {
	t.Helper()
	sharedMade.Do(func() { newBucket(t, sharedName()) })
	return sharedName()
}

// newBucket creates a bucket and returns its name.
func newBucket(t testing.TB, name string) string {
	t.Helper()
	if _, err := client(t).CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

// newBackend returns a backend without storage.
func newBackend(t testing.TB, c API, bucket, prefix string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, bucket, prefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	b.watch = func() time.Duration { return 0 } // slow tests wait for nothing
	return b
}

// openAt returns a backend whose storage exists until the test ends.
func openAt(t testing.TB, c API, bucket, prefix string, opts *Options) *Backend {
	t.Helper()
	return created(t, newBackend(t, c, bucket, prefix, opts))
}

// created creates the storage of a backend until the test ends.
func created(t testing.TB, b *Backend) *Backend {
	t.Helper()
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	direct := newBackend(t, client(t), b.bucket, b.prefix, &b.opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := direct.DeleteStorage(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// openOn returns a backend on a store of its own.
func openOn(t testing.TB, c API, opts *Options) *Backend {
	t.Helper()
	return openAt(t, c, bucket(t), drivertest.Name(), opts)
}

// known is what the tests of the server find.
var (
	known     *marker
	knownOnce sync.Once
)

// openKnown is openOn without tests of the server, which one backend has made.
func openKnown(t testing.TB, c API, opts *Options) *Backend {
	t.Helper()
	knownOnce.Do(func() {
		var err error
		if _, known, err = newBackend(t, client(t), bucket(t), drivertest.Name(), nil).examine(t.Context(), nil, &driverkit.Clock{}); err != nil {
			t.Fatal(err)
		}
	})
	b := newBackend(t, c, bucket(t), drivertest.Name(), opts)
	b.passed = known
	created(t, b)
	b.passed = nil
	return b
}

// open returns a backend on a store of its own, without a proxy.
func open(t testing.TB) *Backend {
	t.Helper()
	return openKnown(t, client(t), nil)
}

// proxied returns a backend on a store of its own, behind a proxy.
func proxied(t testing.TB, opts *Options) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t)
	return openKnown(t, clientAt(t, p.URL()), opts), p
}

// mode is one of the two ways to remove a record.
type mode struct {
	name    string
	removal string // the request that removes a record
	open    func(t testing.TB) (*Backend, *proxy)
}

var modes = []mode{
	{"tombstones", "PUT r", func(t testing.TB) (*Backend, *proxy) { t.Helper(); return proxied(t, nil) }},
	{"deletes", "DELETE r", func(t testing.TB) (*Backend, *proxy) {
		t.Helper()
		p := startProxy(t)
		p.obeyDeletes(t)
		b := openOn(t, clientAt(t, p.URL()), nil)
		if b.mode.Load() != modeDeletes {
			t.Fatal("CreateStorage did not find conditional deletes")
		}
		return b, p
	}},
}

// objectsOf returns all objects of the store, by their keys below the prefix.
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

// keysIn returns the store's keys in the folders, sorted.
func keysIn(t testing.TB, b *Backend, dirs ...string) []string {
	t.Helper()
	var keys []string
	for key := range objectsOf(t, b) {
		if dir, _, _ := strings.Cut(key, "/"); slices.Contains(dirs, dir) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// putObject stores an object of the store without the backend.
func putObject(t testing.TB, b *Backend, key string, data []byte) {
	t.Helper()
	putRaw(t, client(t), b.bucket, b.full(key), data)
}

func putRaw(t testing.TB, c API, bucket, key string, data []byte) {
	t.Helper()
	if _, err := c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)}); err != nil {
		t.Fatal(err)
	}
}

// deleteObject deletes an object of the store without the backend.
func deleteObject(t testing.TB, b *Backend, key string) {
	t.Helper()
	if _, err := client(t).DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key))}); err != nil {
		t.Fatal(err)
	}
}
