package elasticsearch

import (
	"bytes"
	"context"
	"io"
	"net/http"

	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in an Elasticsearch index. It is safe for concurrent
// use. Its zero value is not usable: New returns one.
type Backend struct {
	gate      *driverkit.Gate
	client    *es.Client
	name      string // the store's name, an alias of its index
	shards    int
	replicas  int
	queryable bool
	refreshes refresher
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

const backendName = "elasticsearch"

// New returns a Backend for the store with that name. It does no I/O:
// CreateStorage creates the index. Close leaves the client open. Nil options
// are the defaults.
//
// It returns ErrInvalid if the client is nil, an option is illegal, or the name
// is not legal. A name has 1 to 200 characters of a-z 0-9 - _ . and starts with
// a letter or digit.
func New(client *es.Client, index string, opts *Options) (*Backend, error) {
	if client == nil || client.Transport == nil {
		return nil, driverkit.NewError(backendName, model.NewError(model.ErrInvalid, "the client is nil or has no transport", nil))
	}
	if err := checkName(index); err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	return &Backend{
		gate:   driverkit.NewGate(driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}, index),
		client: client, name: index, shards: o.Shards, replicas: o.Replicas, queryable: o.Queryable,
	}, nil
}

// Describe returns the backend's name, labels and limits. It does no I/O.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close makes every other method except Describe return ErrClosed. It leaves
// the client open, unless the backend was opened from a URL.
func (b *Backend) Close() error { return b.gate.Close() }

// Ping returns nil if the server answers and the index exists. It reads an id
// that no record can have, and needs the privileges of Get.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	_, err := b.mget(ctx, []string{"\x00"}, true)
	return err
}

// reply is a complete answer of the server.
type reply struct {
	status int
	body   []byte
}

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// do sends a request and reads the whole reply. If p is not nil, the request is
// sent only once, and p tells how far it came. Paths need no escapes, because
// ids travel in bodies.
func (b *Backend) do(ctx context.Context, method, path, contentType string, body []byte, p *progress) (reply, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, content)
	if err != nil {
		return reply{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", typeJSON)
	if p != nil {
		req = p.watch(req)
	}
	res, err := b.client.Perform(req)
	if err != nil {
		return reply{}, err
	}
	if res == nil {
		return reply{}, errNothingSent // a client with a negative number of retries
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{res.StatusCode, data}, nil
}

// read sends a read and decodes its reply into to. The client may send it
// again. A reply that cannot be decoded is ErrUnavailable.
func (b *Backend) read(ctx context.Context, path string, body []byte, to any) error {
	r, err := b.do(ctx, http.MethodPost, "/"+b.name+path, typeJSON, body, nil)
	if err != nil {
		return readError(ctx, err)
	}
	if r.status != http.StatusOK {
		return b.replyError(r.status, causeOf(r.body), false)
	}
	return decodeReply(r.body, to)
}
