package elasticsearch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

var _ Client = (*es.Client)(nil)

func TestMain(m *testing.M) { os.Exit(containers.Main(m)) }

// must ends the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pool returns a transport whose connections close at the end of the test.
func pool(t testing.TB) *http.Transport {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// clientOn returns a client with the library's default configuration, which
// retries, and the changes.
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

func compresses(c *es.Config) { c.CompressRequestBody = true }
func noRetries(c *es.Config)  { c.DisableRetry = true }

// client returns a client of the server.
func client(t testing.TB) *es.Client {
	t.Helper()
	return clientOn(t, containers.Elasticsearch(t).URL, pool(t))
}

// addressOf returns the address that a backend's client sends to.
func addressOf(t testing.TB, b *Backend) string {
	t.Helper()
	var of any = b.client
	if c, ok := of.(*es.Client); ok {
		of = c.Transport
	}
	nodes, ok := of.(interface{ URLs() []*url.URL })
	if !ok {
		t.Fatalf("the client is a %T", b.client)
	}
	return nodes.URLs()[0].String()
}

// newBackend returns a backend whose index may not exist.
func newBackend(t testing.TB, c Client, name string, opts *Options) *Backend {
	t.Helper()
	b, err := New(c, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openOn returns a backend whose index exists until the end of the test.
func openOn(t testing.TB, c Client, name string, opts *Options) *Backend {
	t.Helper()
	direct := newBackend(t, client(t), name, opts)
	direct.trusted = true // TestChecks and others try the server
	must(t, direct.CreateStorage(t.Context()))
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
	return newBackend(t, c, name, opts)
}

// open returns a backend on an index of its own.
func open(t testing.TB, opts *Options) *Backend {
	t.Helper()
	return openOn(t, client(t), drivertest.Name(), opts)
}

// wire is a proxy in front of the server. It names a request by the last element
// of its path, and a _bulk also by its first action: "_bulk/create".
type wire struct {
	*faultnet.HTTPProxy
	docs atomic.Int64 // documents in the answers since the last call of take
}

func newWire(t testing.TB) *wire {
	t.Helper()
	w := &wire{}
	w.HTTPProxy = faultnet.NewHTTPProxy(t, containers.Elasticsearch(t).URL, &faultnet.HTTPOptions{
		Name: requestName,
		Answer: func(_ string, _ *http.Response, body []byte) []byte {
			w.docs.Add(int64(bytes.Count(body, []byte(`"_id":`))))
			return body
		},
		Plain: true,
	})
	return w
}

func requestName(r *http.Request, body []byte) string {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if (name == "_mget" || name == "_search") && !r.URL.Query().Has("preference") {
		return name + " of any copy"
	}
	if name != "_bulk" {
		return name
	}
	if zipped, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		body, _ = io.ReadAll(zipped)
	}
	verb, _, _ := bytes.Cut(bytes.TrimPrefix(body, []byte(`{"`)), []byte(`"`))
	return name + "/" + string(verb)
}

// isWrite reports whether a request with that name writes records.
func isWrite(name string) bool { return strings.HasPrefix(name, "_bulk") }

// take returns the requests and the number of documents since its last call.
func (w *wire) take() (requests []string, docs int) { return w.Requests(), int(w.docs.Swap(0)) }

// proxied returns a backend on an index of its own, behind a proxy.
func proxied(t testing.TB, change ...func(*es.Config)) (*Backend, *wire) {
	t.Helper()
	w := newWire(t)
	return openOn(t, clientOn(t, w.URL(), pool(t), change...), drivertest.Name(), nil), w
}

// request sends a request as another program does and returns the reply. It ends
// the test unless the status is 200.
func request(t testing.TB, c Client, method, path, body string) string {
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
	r, err := b.do(t.Context(), method, path, contentType, content, nil)
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("%s %s: %d, %v, %s", method, path, r.status, err, r.body)
	}
	return string(r.body)
}

// sourceOf returns the source of a document as another program reads it.
func sourceOf(t testing.TB, c Client, index, id string) map[string]any {
	t.Helper()
	body, err := marshal(map[string][]string{"ids": {id}})
	if err != nil {
		t.Fatal(err)
	}
	var res struct {
		Docs []struct {
			Source map[string]any `json:"_source"`
		} `json:"docs"`
	}
	text := request(t, c, http.MethodPost, "/"+index+"/_mget", string(body))
	if err := json.Unmarshal([]byte(text), &res); err != nil || len(res.Docs) != 1 || res.Docs[0].Source == nil {
		t.Fatalf("%v, %s", err, text)
	}
	return res.Docs[0].Source
}

// roundTripper is a transport in a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
