package dynamodb

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// clientAt is a client for an endpoint, with the SDK's usual retries, at a pace
// for tests. Its connections end with the test.
func clientAt(t testing.TB, endpoint string, opts ...func(*awsdynamodb.Options)) *awsdynamodb.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	t.Cleanup(transport.CloseIdleConnections)
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "hunter2", ""),
		Logger:      logging.Nop{},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = 3, retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		}),
	}, opts...)
}

// client is one for the server.
func client(t testing.TB) *awsdynamodb.Client {
	t.Helper()
	return clientAt(t, containers.DynamoDB(t).URL)
}

var tableNumber atomic.Int64

// tableName is a name that no other table of the server has.
func tableName() string {
	return fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), tableNumber.Add(1))
}

// openOn is a backend whose table is there, and deleted at the test's end.
func openOn(t testing.TB, c *awsdynamodb.Client, table string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, table, opts)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := New(client(t), table, opts)
	if err == nil {
		err = direct.CreateStorage(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		_, err := direct.client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &table})
		if err != nil && !missingTable(codeOf(err)) {
			t.Error(err)
		}
	})
	return b
}

// open is a backend on a table of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, client(t), tableName(), opts)
}

// proxied is a backend on a table of its own, behind a proxy.
func proxied(t testing.TB, opts *Options) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t, containers.DynamoDB(t).URL)
	return openOn(t, clientAt(t, p.url), tableName(), opts), p
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

// itemOf reads an item as the plain client has it.
func itemOf(t testing.TB, b *Backend, key attributes) attributes {
	t.Helper()
	out, err := b.client.GetItem(t.Context(), &awsdynamodb.GetItemInput{TableName: &b.table, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

// itemsOf are all items of the table, found by force.
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

// putItem stores an item behind the backend's back.
func putItem(t testing.TB, c *awsdynamodb.Client, table string, it attributes) {
	t.Helper()
	if _, err := c.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		t.Fatal(err)
	}
}
