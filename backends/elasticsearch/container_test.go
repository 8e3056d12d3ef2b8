package elasticsearch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// pool is a transport whose connections end with the test.
func pool(t testing.TB) *http.Transport {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// clientOn is a client of the library's own configuration for an address, with
// its retries.
func clientOn(t testing.TB, address string, through http.RoundTripper, change ...func(*es.Config)) *es.Client {
	t.Helper()
	cfg := es.Config{Addresses: []string{address}, Transport: through}
	for _, c := range change {
		c(&cfg)
	}
	c, err := es.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client is one for the server.
func client(t testing.TB) *es.Client {
	t.Helper()
	return clientOn(t, containers.Elasticsearch(t).URL, pool(t))
}

// addressOf is where a backend's client sends its requests.
func addressOf(t testing.TB, b *Backend) string {
	t.Helper()
	tp, ok := b.client.Transport.(interface{ URLs() []*url.URL })
	if !ok {
		t.Fatalf("a transport of another make: %T", b.client.Transport)
	}
	return tp.URLs()[0].String()
}

var indexNumber atomic.Int64

// indexName is a name that no other store of the server has.
func indexName() string {
	return fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), indexNumber.Add(1))
}

// openOn is a backend whose index is there, and deleted at the test's end.
func openOn(t testing.TB, c *es.Client, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := New(client(t), name, opts)
	if err == nil {
		err = direct.CreateStorage(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		index, _, err := direct.find(ctx)
		if index != "" {
			err = direct.change(ctx, http.MethodDelete, "/"+index, nil)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return b
}

// open is a backend on an index of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, client(t), indexName(), opts)
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
	ops := make([]driver.BatchOp, len(recs))
	for i := range recs {
		ops[i].Write = &driver.Write{Record: recs[i], Cond: driver.IfAny}
	}
	for _, o := range b.WriteMany(t.Context(), testNow, ops) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
}

// put stores a record and returns it as a Get does, hint included.
func put(t testing.TB, b *Backend, r model.Record) model.Record {
	t.Helper()
	seed(t, b, r)
	got, err := b.Get(t.Context(), testNow, driver.Get{ID: r.ID})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// only fails unless the error matches the kind and no other sentinel.
func only(t testing.TB, err, kind error) {
	t.Helper()
	if got := model.Kind(err); got != kind {
		t.Fatalf("got the error %v of kind %v, want kind %v", err, got, kind)
	}
}

// request sends what it is told, as a program with a client of its own.
func request(t testing.TB, c *es.Client, method, path, body string) (int, string) {
	t.Helper()
	b := Backend{client: c}
	contentType := typeJSON
	if strings.Contains(path, "_bulk") {
		contentType = typeNDJSON
	}
	var content []byte
	if body != "" {
		content = []byte(body)
	}
	a, err := b.do(t.Context(), method, path, contentType, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.status, string(a.body)
}
