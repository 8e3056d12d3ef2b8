package elasticsearch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"sync/atomic"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in an Elasticsearch index. It is safe for concurrent
// use; its zero value is not usable, New makes one.
type Backend struct {
	client    *es.Client
	name      string // the store's alias
	labels    []string
	maxValue  int
	shards    int
	replicas  int
	queryable bool
	refreshes refresher
	closed    atomic.Bool
	owned     io.Closer // the client's connections, where the backend made it
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

// New returns a Backend for the store of that name; the client stays the
// caller's own. It does no I/O: CreateStorage makes the index, and index its
// alias. Nil options are the defaults.
//
// ErrInvalid for a name that is not 1 to 200 of a-z 0-9 - _ . with a letter or
// digit first, an illegal option, or no client.
func New(client *es.Client, index string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) {
		return nil, &model.Error{Op: "New", Backend: backendName, Err: err}
	}
	if client == nil || client.Transport == nil {
		return fail(model.NewError(model.ErrInvalid, "no client", nil))
	}
	if err := checkName(index); err != nil {
		return fail(err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return fail(err)
	}
	return &Backend{
		client: client, name: index, labels: o.Labels, maxValue: o.MaxValue,
		shards: o.Shards, replicas: o.Replicas, queryable: o.Queryable,
	}, nil
}

const backendName = "elasticsearch"

// Describe returns what the backend is. It does no I/O.
func (b *Backend) Describe() driver.Description {
	return driver.Description{Backend: backendName, Labels: slices.Clone(b.labels), MaxValue: b.maxValue}
}

// Ping reads a document that cannot be there: it needs no privilege that Get
// does not, and fails where the index is missing.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	_, err := b.mget(ctx, []string{"\x00"}, true)
	return err
}

// Close makes every other method but Describe return ErrClosed. The client is
// the caller's own; where it was made of a URL, its connections are closed.
func (b *Backend) Close() error {
	if b.closed.Swap(true) || b.owned == nil {
		return nil
	}
	return b.owned.Close()
}

// enter is what every method checks before it sends anything.
func (b *Backend) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.closed.Load() {
		return model.ErrClosed
	}
	return nil
}

// answer is what the server said, whole.
type answer struct {
	status int
	body   []byte
}

// do sends a request to a path under a name of the store, and reads the whole
// answer. With a mark it is sent once, and the mark tells how far it came. The
// paths hold nothing that would have to be escaped: ids travel in bodies.
func (b *Backend) do(ctx context.Context, method, path, contentType string, body []byte, m *mark) (answer, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, content)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", typeJSON)
	if m != nil {
		req = m.watch(req)
	}
	res, err := b.client.Perform(req)
	if err != nil {
		return answer{}, err
	}
	if res == nil {
		return answer{}, errNoAnswer // a client that is told to try less than once
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{res.StatusCode, data}, nil
}

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)
