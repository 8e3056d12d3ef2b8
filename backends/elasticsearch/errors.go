package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/elastic/go-elasticsearch/v8/typedapi/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var (
	errNothingSent = errors.New("the client sent nothing")
	errSentOnce    = errors.New("a write is sent only once")
)

// badRead returns the error of a read whose reply the server's protocol does
// not allow.
func badRead() error {
	return model.NewError(model.ErrUnavailable, "the server sent an unexpected reply", nil)
}

// decodeReply decodes the reply to a read.
func decodeReply(body []byte, to any) error {
	if json.Unmarshal(body, to) != nil {
		return badRead()
	}
	return nil
}

// typeNoIndex is the error type if no index or alias has the name.
const typeNoIndex = "index_not_found_exception"

const (
	whyInvalid  = "the cluster finds the request invalid"
	whyMapping  = "the index has a different mapping from the one that StoragePlan shows"
	whyPipeline = "an ingest pipeline of the cluster refuses the document"
	whySecurity = "the credentials are unknown or lack a privilege: the package comment lists the roles"
)

// refusals has the error types with which Elasticsearch refuses a request
// before it changes anything, whatever the status. A message has only the type
// and these words, because the server's reasons may quote ids and values.
var refusals = map[string]string{
	"es_rejected_execution_exception":     "the node has too many requests waiting",
	"circuit_breaking_exception":          "the node is short of memory",
	"cluster_block_exception":             "the cluster or the index is blocked: read-only, out of disk space, or without a master",
	"index_closed_exception":              "the index is closed",
	"strict_dynamic_mapping_exception":    whyMapping,
	"mapper_parsing_exception":            whyMapping,
	"document_parsing_exception":          whyMapping,
	"security_exception":                  whySecurity,
	"master_not_discovered_exception":     "the cluster has no master",
	"validation_exception":                "the cluster allows no more shards, or finds the request invalid",
	"resource_already_exists_exception":   "the index already exists",
	"invalid_index_name_exception":        "the cluster refuses the name",
	"illegal_argument_exception":          whyInvalid,
	"parsing_exception":                   whyInvalid,
	"x_content_parse_exception":           "the cluster cannot parse the request",
	"search_phase_execution_exception":    "a shard cannot answer",
	"no_shard_available_action_exception": "no copy of the shard can answer",
	"fail_processor_exception":            whyPipeline,
	"ingest_processor_exception":          whyPipeline,
	"script_exception":                    whyPipeline,
}

// wrappers are the error types in which a node passes on the error of another
// node or of a part of the request. What they wrap decides.
var wrappers = []string{
	"exception", "remote_transport_exception", "execution_exception", "uncategorized_execution_exception",
	"search_phase_execution_exception",
}

// cause is an error as the server reports it.
type cause struct {
	Type   string
	Reason string
	inner  string // the error type that decides, if Type is a wrapper
}

// UnmarshalJSON also accepts an error that is a string, which some paths return.
func (c *cause) UnmarshalJSON(data []byte) error {
	type reported struct {
		Type   string          `json:"type"`
		Reason string          `json:"reason"`
		Caused json.RawMessage `json:"caused_by"`
		Roots  []reportedRoot  `json:"root_cause"`
	}
	var r reported
	if json.Unmarshal(data, &r) != nil {
		*c = cause{Type: "error"}
		return nil //nolint:nilerr // it is an error, of a type that the server does not name
	}
	*c = cause{Type: r.Type, Reason: r.Reason}
	if !slices.Contains(wrappers, r.Type) {
		return nil
	}
	var caused cause
	if r.Caused != nil && json.Unmarshal(r.Caused, &caused) == nil {
		c.inner = caused.decides()
	}
	for _, root := range r.Roots {
		if c.inner == "" && !slices.Contains(wrappers, root.Type) {
			c.inner = root.Type
		}
	}
	return nil
}

// reportedRoot is one of the errors that a wrapper names as its roots.
type reportedRoot struct {
	Type string `json:"type"`
}

// decides returns the error type that says what happened.
func (c *cause) decides() string {
	if c.inner != "" {
		return c.inner
	}
	return c.Type
}

// native returns the client library's form of the error.
func (c *cause) native(status int) error {
	reason := c.Reason
	return &types.ElasticsearchError{ErrorCause: types.ErrorCause{Type: c.Type, Reason: &reason}, Status: status}
}

// causeOf returns the error in a reply. It is empty if the reply has none, such
// as the reply of a proxy.
func causeOf(body []byte) cause {
	var r struct {
		Error cause `json:"error"`
	}
	if json.Unmarshal(body, &r) != nil {
		return cause{}
	}
	return r.Error
}

// proxyStatuses are statuses below 500 that a proxy gives to a request that it
// has passed on. Elasticsearch itself names the type of its error.
var proxyStatuses = []int{http.StatusRequestTimeout, http.StatusConflict, 499}

// replyError returns the error of a request that the server answered with one.
// A write that the server refused is ErrUnavailable, as a read: nothing changed.
// A status of 500 and above may come from a proxy, or from a node that lost
// another node midway. A write is ErrUnknown then.
func (b *Backend) replyError(status int, c cause, write bool) error {
	native := c.native(status)
	kind := c.decides()
	why, known := refusals[kind]
	text := "the server answered " + strconv.Itoa(status)
	switch {
	case kind == typeNoIndex:
		return model.NewError(model.ErrUnavailable, "the server has no index "+b.name+": call CreateStorage, or use StoragePlan", native)
	case status == http.StatusRequestEntityTooLarge:
		return model.NewError(model.ErrTooLarge, "the server refuses a request of that size", native)
	case known:
		text = kind + ": " + why
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		text += ": " + whySecurity
	case status == http.StatusTooManyRequests:
		text += ": too many requests"
	case write && (status < 400 || status >= 500), write && c.Type == "" && slices.Contains(proxyStatuses, status):
		return model.NewError(model.ErrUnknown, text, native)
	}
	return model.NewError(model.ErrUnavailable, text, native)
}

// readError returns the error of a read without a reply.
func readError(ctx context.Context, err error) error {
	if strings.Contains(err.Error(), "not Elasticsearch") {
		return model.NewError(model.ErrUnavailable, "the server does not identify itself as Elasticsearch", err)
	}
	return driverkit.ReadError(ctx, err)
}

// progress records how far a write came. It also prevents the client from
// sending the write again after bytes may have left: the client asks for the
// body first, after errors and after statuses, and progress refuses it.
type progress struct {
	req    *http.Request
	asked  atomic.Bool // net/http has asked for a connection
	got    atomic.Bool // it has a connection: bytes may have left
	read   atomic.Bool // the body was read, by net/http or another transport
	denied atomic.Bool // the client tried to send the write again
}

// watch returns the request to send.
func (p *progress) watch(req *http.Request) *http.Request {
	p.req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) {
			if !p.asked.Swap(true) {
				p.guard()
			}
		},
		GotConn: func(httptrace.GotConnInfo) { p.got.Store(true) },
	}))
	body := p.req.GetBody
	p.req.GetBody = func() (io.ReadCloser, error) {
		if !p.asked.Load() { // the transport is not net/http and reports nothing
			return p.deny()
		}
		return body() // net/http asks, and has written nothing yet
	}
	p.req.Body = &watchedBody{p.req.Body, &p.read}
	return p.req
}

// guard replaces the function that the client calls for the body. It runs in
// the first attempt. By then net/http has copied the request, and a client that
// compresses bodies has set its own function.
func (p *progress) guard() {
	body := p.req.GetBody
	p.req.GetBody = func() (io.ReadCloser, error) {
		if p.got.Load() {
			return p.deny()
		}
		return body() // no node was reached: the client may try another
	}
}

func (p *progress) deny() (io.ReadCloser, error) {
	p.denied.Store(true)
	return nil, errSentOnce
}

// watchedBody records whether it was read.
type watchedBody struct {
	io.ReadCloser
	read *atomic.Bool
}

func (w *watchedBody) Read(to []byte) (int, error) {
	w.read.Store(true)
	return w.ReadCloser.Read(to)
}

// sent reports whether bytes may have left this process.
func (p *progress) sent(err error) bool {
	switch {
	case driverkit.IsDial(err):
		return false
	case p.asked.Load():
		return p.got.Load()
	}
	return p.read.Load()
}

// writeError returns the error of a write without a reply.
func (p *progress) writeError(ctx context.Context, err error) error {
	sent := p.sent(err)
	if sent && p.denied.Load() {
		return model.NewError(model.ErrUnknown, "the client tried to send the write again", driverkit.WithContext(ctx, err))
	}
	return driverkit.WriteError(ctx, err, sent, "check the client")
}
