package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/elastic/go-elasticsearch/v8/typedapi/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Why a stored document is corrupt.
const (
	whyForeign = "the document stored there is no record"
	whyNewer   = "it has a newer format than this version can read"
)

func corrupt(why string) error { return model.NewError(model.ErrCorrupt, why, nil) }

var (
	errNoAnswer = errors.New("the client has sent nothing")
	errSentOnce = errors.New("a write is sent once")
	errStrange  = errors.New("the answer is not what Elasticsearch answers")
)

// typeNoIndex is the type of error where no index or alias has the name.
const typeNoIndex = "index_not_found_exception"

// refusals are the types of errors with which Elasticsearch refuses a request
// before it changes anything, whatever their status. Its own reasons may quote
// ids and values, so the type and these words alone go into messages.
var refusals = map[string]string{
	"es_rejected_execution_exception":     "the node has too many requests waiting",
	"circuit_breaking_exception":          "the node is short of memory",
	"cluster_block_exception":             "the cluster or the index is blocked: read-only, out of disk, or without a master",
	"index_closed_exception":              "the index is closed",
	"strict_dynamic_mapping_exception":    "the index has another mapping than this version's: StoragePlan says what is needed",
	"mapper_parsing_exception":            "the index has another mapping than this version's: StoragePlan says what is needed",
	"document_parsing_exception":          "the index has another mapping than this version's: StoragePlan says what is needed",
	"security_exception":                  "the credentials are unknown, or a privilege is missing: the package comment has the role",
	"master_not_discovered_exception":     "the cluster has no master",
	"validation_exception":                "the cluster allows no more shards, or finds the request invalid",
	"resource_already_exists_exception":   "the index is there already",
	"invalid_index_name_exception":        "the cluster refuses the name",
	"illegal_argument_exception":          "the cluster finds the request invalid",
	"parsing_exception":                   "the cluster finds the request invalid",
	"x_content_parse_exception":           "the cluster cannot read the request",
	"search_phase_execution_exception":    "a shard cannot answer",
	"no_shard_available_action_exception": "no copy of the shard can answer",
}

// cause is an error as the server states it.
type cause struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// UnmarshalJSON also takes an error that is text alone, as some paths answer.
func (c *cause) UnmarshalJSON(data []byte) error {
	type plain cause
	if json.Unmarshal(data, (*plain)(c)) != nil {
		*c = cause{Type: "error"}
	}
	return nil
}

// native is the error as the client library has it.
func (c *cause) native(status int) error {
	reason := c.Reason
	return &types.ElasticsearchError{ErrorCause: types.ErrorCause{Type: c.Type, Reason: &reason}, Status: status}
}

// causeOf is the error that an answer states; empty where it states none, as a
// proxy's does.
func causeOf(body []byte) cause {
	var a struct {
		Error cause `json:"error"`
	}
	if json.Unmarshal(body, &a) != nil {
		return cause{}
	}
	return a.Error
}

// missing is the error where the store's index is not there.
func (b *Backend) missing(native error) error {
	return model.NewError(model.ErrUnavailable, "there is no index "+b.name+" on this server: CreateStorage makes it, StoragePlan says how else", native)
}

// answered is the error of a request that the server has answered with one. A
// write that it surely refused is ErrUnavailable like a read: nothing was
// changed. A status of 500 and above may come from a proxy, or from a node that
// has lost another one midway, and leaves a write unknown.
func (b *Backend) answered(status int, c cause, write bool) error {
	native := c.native(status)
	why, known := refusals[c.Type]
	text := "the server answered " + strconv.Itoa(status)
	switch {
	case c.Type == typeNoIndex:
		return b.missing(native)
	case status == http.StatusRequestEntityTooLarge:
		return model.NewError(model.ErrTooLarge, "the server takes no request of that size", native)
	case known:
		text = c.Type + ": " + why
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		text += ": " + refusals["security_exception"]
	case status == http.StatusTooManyRequests:
		text += ": too many requests"
	case write && (status < 400 || status >= 500):
		return model.NewError(model.ErrUnknown, text, native)
	}
	return model.NewError(model.ErrUnavailable, text, native)
}

// mark notes how far a request came, and keeps the client from sending it
// again once it may have left: the client asks for the body anew before it
// does, and is given none. That holds for each of its kinds of retry, after
// errors and after statuses.
type mark struct {
	req    *http.Request
	asked  atomic.Bool // for a connection
	got    atomic.Bool // it has one, so that bytes may have left
	read   atomic.Bool // the body, by whatever stands in place of net/http
	denied atomic.Bool
}

// watch returns the request to send.
func (m *mark) watch(req *http.Request) *http.Request {
	m.req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) {
			if !m.asked.Swap(true) {
				m.guard()
			}
		},
		GotConn: func(httptrace.GotConnInfo) { m.got.Store(true) },
	}))
	body := m.req.GetBody
	m.req.GetBody = func() (io.ReadCloser, error) {
		if !m.asked.Load() { // not net/http, which tells nothing
			return m.deny()
		}
		return body() // net/http itself, which has written nothing yet
	}
	m.req.Body = &watchedBody{m.req.Body, &m.read}
	return m.req
}

// guard replaces what the client asks for the body. It runs within the first
// attempt, when net/http has made a copy of the request, and a client that
// compresses bodies has put its own function there.
func (m *mark) guard() {
	body := m.req.GetBody
	m.req.GetBody = func() (io.ReadCloser, error) {
		if m.got.Load() {
			return m.deny()
		}
		return body() // no node was reached: the client may try another
	}
}

func (m *mark) deny() (io.ReadCloser, error) {
	m.denied.Store(true)
	return nil, errSentOnce
}

// watchedBody notes that it was read.
type watchedBody struct {
	io.ReadCloser
	read *atomic.Bool
}

func (w *watchedBody) Read(p []byte) (int, error) {
	w.read.Store(true)
	return w.ReadCloser.Read(p)
}

// unsent reports whether surely nothing left this process.
func (m *mark) unsent(err error) bool {
	switch {
	case driverkit.IsDial(err):
		return true
	case m.asked.Load():
		return !m.got.Load()
	}
	return !m.read.Load()
}

// readFault is the error of a read without an answer: the context's own where
// it ended, else ErrUnavailable.
func readFault(ctx context.Context, err error) error {
	switch end := ctx.Err(); {
	case end != nil && driverkit.IsContext(err):
		return end
	case driverkit.IsDial(err):
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
	case strings.Contains(err.Error(), "not Elasticsearch"):
		return model.NewError(model.ErrUnavailable, "the server does not say that it is Elasticsearch", err)
	}
	return model.NewError(model.ErrUnavailable, "no answer", driverkit.WithContext(ctx, err))
}

// writeFault is the error of a write without an answer. What was not sent did
// not happen; any other error leaves open whether it did.
func writeFault(ctx context.Context, err error, m *mark) error {
	switch {
	case !m.unsent(err):
		detail := ""
		if m.denied.Load() {
			detail = "the client would have sent the write again"
		}
		return model.NewError(model.ErrUnknown, detail, driverkit.WithContext(ctx, err))
	case ctx.Err() != nil:
		return ctx.Err()
	case driverkit.IsDial(err):
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
	}
	return model.NewError(model.ErrUnavailable, "nothing was sent: check the client", err)
}
