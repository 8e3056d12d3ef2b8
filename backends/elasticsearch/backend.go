package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in an Elasticsearch index. It is safe for concurrent
// use. Its zero value is not usable: New returns one.
type Backend struct {
	gate      *driverkit.Gate
	client    Client
	limit     time.Duration // of one request
	name      string        // the store's name, an alias of its index
	shards    int
	replicas  int
	queryable bool
	refreshes refresher
	searches  portion // of a search
	gets      portion // of an _mget

	// Tests set these. Watch reads a stopwatch; nil means the system's. Trusted
	// leaves out what CreateStorage tries on the server.
	watch   func() time.Duration
	trusted bool
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Statter            = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
)

const backendName = "elasticsearch"

// Client sends a request to a node of the cluster and returns its answer: a
// *Client, *TypedClient or *BaseClient of go-elasticsearch v8 or v9, or a client
// of your own around one. The request has no host: Perform adds it, and the
// credentials. Perform must pass on the request's context, GetBody and traces.
type Client interface {
	Perform(req *http.Request) (*http.Response, error)
}

// usable reports whether the client is one that can send: not nil, and with a
// transport if it is one of go-elasticsearch's.
func usable(client Client) bool {
	v := reflect.ValueOf(client)
	if client == nil || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil() {
		return false
	}
	if v.Kind() != reflect.Pointer || !strings.HasPrefix(v.Type().Elem().PkgPath(), "github.com/elastic/go-elasticsearch/") {
		return true
	}
	transport := reflect.Indirect(v).FieldByName("Transport")
	return transport.Kind() != reflect.Interface || !transport.IsNil()
}

// New returns a Backend for the store with that name. It does no I/O:
// CreateStorage creates the index. Close leaves the client open. Nil options
// are the defaults.
//
// It returns ErrInvalid if the client is nil, an option is illegal, or the name
// is not legal. A name has 1 to 200 characters of a-z 0-9 - _ . and starts with
// a letter or digit.
func New(client Client, index string, opts *Options) (*Backend, error) {
	if !usable(client) {
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
		client: client, limit: o.RequestTimeout, name: index, shards: o.Shards, replicas: o.Replicas, queryable: o.Queryable,
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
	_, err := b.mget(ctx, []string{"\x00"}, noMore)
	return err
}

// waited returns what measures the waits of a call.
func (b *Backend) waited() *driverkit.Waited { return &driverkit.Waited{Watch: b.watch} }

func (b *Backend) progress() *progress { return &progress{clock: *b.waited()} }

// waitedOf returns the whole milliseconds that a call has waited.
func waitedOf(w *driverkit.Waited) time.Duration { return w.Now(time.Time{}).Sub(time.Time{}) }

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
// sent only once, unless p allows more, and p tells how far it came. Paths need no escapes, because
// ids travel in bodies. It returns when the context ends, whatever the client
// does, and when the time of Options.RequestTimeout has passed.
func (b *Backend) do(ctx context.Context, method, path, contentType string, body []byte, p *progress) (reply, error) {
	call := ctx
	if b.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, b.limit, errLimit)
		defer cancel()
	}
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
	r, err := b.await(req, p)
	if err != nil && errors.Is(context.Cause(ctx), errLimit) && driverkit.Ended(call) == nil {
		err = errors.Join(errLimit, err)
	}
	return r, err
}

// leave is how long after the end of a context the client may take to return.
const leave = 50 * time.Millisecond

// await performs the request, and leaves a client that does not return at the end
// of the context.
func (b *Backend) await(req *http.Request, p *progress) (reply, error) {
	type outcome struct {
		reply
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		out := outcome{err: errPanic}
		defer func() {
			_ = recover() // the error says so; a caller could not recover here
			done <- out
		}()
		out.reply, out.err = b.perform(req)
	}()
	select {
	case out := <-done:
		return out.reply, out.err
	case <-req.Context().Done():
	}
	timer := time.NewTimer(leave)
	defer timer.Stop()
	select {
	case out := <-done:
		return out.reply, out.err
	case <-timer.C:
	}
	if p != nil {
		p.left.Store(true)
	}
	return reply{}, errors.Join(req.Context().Err(), errLeft)
}

func (b *Backend) perform(req *http.Request) (reply, error) {
	res, err := b.client.Perform(req)
	if err != nil {
		return reply{}, err
	}
	if res == nil {
		return reply{}, errNothingSent // a client with a negative number of retries
	}
	defer func() { _ = res.Body.Close() }()
	var data bytes.Buffer
	if n := res.ContentLength; n > 0 && n <= maxReply {
		data.Grow(int(n) + bytes.MinRead) // no second copy while it grows
	}
	if _, err := data.ReadFrom(res.Body); err != nil {
		return reply{}, err
	}
	return reply{res.StatusCode, data.Bytes()}, nil
}

// maxReply bounds the memory that a reply's header alone can claim.
const maxReply = 64 << 20

// read sends a read and decodes its reply into to. The client may send it
// again. W counts the wait for a connection. A reply that cannot be decoded is ErrUnavailable, unless again, if it is
// not nil, can decode it.
func (b *Backend) read(ctx context.Context, w *driverkit.Waited, path string, body []byte, to any, again func(body []byte) error) error {
	p := b.progress()
	p.repeats = true
	r, err := b.do(ctx, http.MethodPost, "/"+b.name+path, typeJSON, body, p)
	w.Add(p.wait())
	if err != nil {
		return b.readError(ctx, err)
	}
	if r.status != http.StatusOK {
		return b.replyError(r.status, causeOf(r.body), false)
	}
	if err = decodeReply(r.body, to); err != nil && again != nil {
		return again(r.body)
	}
	return err
}
