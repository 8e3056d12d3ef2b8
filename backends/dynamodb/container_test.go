package dynamodb

import (
	"context"
	"flag"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// TestMain lets two tests run at a time, however many processors there are:
// DynamoDB Local answers some requests of more with errors of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "2")
	}
	os.Exit(containers.Main(m))
}

// transport returns one for an HTTP client.
func transport() *http.Transport {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConns, tr.MaxIdleConnsPerHost = 0, 64
	tr.IdleConnTimeout = 10 * time.Second // the server closes them later
	return tr
}

// direct has the connections to the server itself, for all tests.
var direct = transport()

// clientAt returns a client for an endpoint. It retries as the SDK does, with
// short pauses. Its connections close at the end of the test.
func clientAt(t testing.TB, endpoint string, opts ...func(*awsdynamodb.Options)) *awsdynamodb.Client {
	t.Helper()
	own := transport()
	t.Cleanup(own.CloseIdleConnections)
	return clientBy(own, endpoint, opts...)
}

// clientBy returns such a client, by a transport.
func clientBy(transport http.RoundTripper, endpoint string, opts ...func(*awsdynamodb.Options)) *awsdynamodb.Client {
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "hunter2", ""),
		Logger:      logging.Nop{},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = 3, retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		}),
	}, opts...)
}

// shortly pauses for a tenth of the time. DynamoDB Local is ready at once.
func shortly(ctx context.Context, d time.Duration) error { return driverkit.Wait(ctx, d/10) }

// sdkOf returns the SDK's client of a backend.
func sdkOf(b *Backend) *awsdynamodb.Client { return b.Client().(*awsdynamodb.Client) }

// client returns a client for the server.
func client(t testing.TB) *awsdynamodb.Client {
	t.Helper()
	return clientBy(direct, containers.DynamoDB(t).URL)
}

// openOn returns a backend on a table that it creates. The table is deleted at
// the end of the test.
func openOn(t testing.TB, c *awsdynamodb.Client, table string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, table, opts)
	if err != nil {
		t.Fatal(err)
	}
	maker, err := New(client(t), table, opts)
	if err != nil {
		t.Fatal(err)
	}
	maker.pause = shortly
	maker.tried.Store(true) // TestCheck and TestStorage have the trials
	if err := maker.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		_, err := maker.client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &table})
		if err != nil && !missingTable(codeOf(err)) {
			t.Error(err)
		}
	})
	return b
}

// open returns a backend on a table of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, client(t), drivertest.Name(), opts)
}

// proxied returns a backend on a table of its own, behind a proxy.
func proxied(t testing.TB, opts *Options) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t)
	return openOn(t, clientAt(t, p.URL(), metered), drivertest.Name(), opts), p
}

// itemOf returns an item that the plain client reads.
func itemOf(t testing.TB, b *Backend, key attributes) attributes {
	t.Helper()
	out, err := b.client.GetItem(t.Context(), &awsdynamodb.GetItemInput{TableName: &b.table, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

// itemsOf returns all items of the table.
func itemsOf(t testing.TB, b *Backend) []attributes {
	t.Helper()
	var all []attributes
	pages := awsdynamodb.NewScanPaginator(b.client, &awsdynamodb.ScanInput{TableName: &b.table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.Items...)
	}
	return all
}

// putItem stores an item with the plain client.
func putItem(t testing.TB, c *awsdynamodb.Client, table string, it attributes) {
	t.Helper()
	if _, err := c.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		t.Fatal(err)
	}
}
