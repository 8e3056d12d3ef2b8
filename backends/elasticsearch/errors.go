package elasticsearch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var (
	errNothingSent = errors.New("the client sent nothing")
	errSentOnce    = errors.New("a write is sent only once")
	errLimit       = errors.New("the limit of a request has passed")
	errTimedOut    = errors.New("timed_out")
	errLapsed      = errors.New("the record expired before the write could be sent")
	errLeft        = errors.New("the client ignores its context")
	errPanic       = errors.New("the client panicked")
	errProduct     = errors.New("the server is not Elasticsearch")
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

const (
	// typeNoIndex is the error type if no index or alias has the name.
	typeNoIndex = "index_not_found_exception"
	// typeBreaker is the error type of a node that is short of memory.
	typeBreaker = "circuit_breaking_exception"
)

// tooMuchError marks the error of a node that is short of memory, or whose own
// limit of time for a search has passed.
type tooMuchError struct{ error }

func (e tooMuchError) Unwrap() error { return e.error }

// isTooMuch reports whether a smaller request may succeed at once.
func isTooMuch(err error) bool {
	var e tooMuchError
	return errors.As(err, &e)
}

const (
	whyInvalid  = "the cluster finds the request invalid"
	whyMapping  = "the index has a different mapping from the one that StoragePlan shows: CreateStorage adds what an older index lacks"
	whyPipeline = "an ingest pipeline of the cluster refuses the document"
	whySecurity = "the credentials are unknown or lack a privilege: the package comment lists the roles"
)

// refusals has the error types with which Elasticsearch refuses a request
// before it changes anything, whatever the status. A message has the type and
// these words, because the server's reasons may quote ids and values. It has a
// reason only in one of the forms of knownReasons.
var refusals = map[string]string{
	"es_rejected_execution_exception":     "the node has too many requests waiting",
	typeBreaker:                           "the node is short of memory: give it more heap, or send fewer calls at a time",
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

// knownReasons are the forms of reasons that quote nothing of a record: names of
// pipelines, indices, actions and settings, and sizes. They are those of the
// server's IngestService, HierarchyCircuitBreakerService, ClusterBlockException,
// ShardLimitValidator and AuthorizationService.
var knownReasons = regexp.MustCompile(`^(` + strings.Join([]string{
	`pipeline with id \[[^\[\]]{1,100}\] does not exist`,
	`\[[a-z_]{1,30}\] Data too large, data for \[[a-z_<>]{1,40}\] would be \[[0-9a-z/.]+\], which is larger than the limit of \[[0-9a-z/.]+\]`,
	`(?:index \[[^\[\]]{1,255}\] )?blocked by: \[[A-Z_]+/[0-9]+/[A-Za-z0-9 ,()_-]{1,120}`,
	`Validation Failed: 1: this action would add \[[0-9]+\] (?:total )?shards, but this cluster currently has \[[0-9]+\]/\[[0-9]+\] maximum [a-z ]{0,20}shards open`,
	`action \[[a-z0-9:_/*]+(?:\[[a-z]\])?\] is unauthorized`,
	`Result window is too large, from \+ size must be less than or equal to: \[[0-9]+\] but was \[[0-9]+\]`,
}, "|") + `)`)

// known returns the part of the server's reason that may be shown.
func (c *cause) known() string {
	for _, reason := range []string{c.innerReason, c.Reason} {
		if found := knownReasons.FindString(reason); found != "" {
			return found
		}
	}
	return ""
}

// cause is an error as the server reports it.
type cause struct {
	Type        string
	Reason      string
	inner       string // the error type that decides, if Type is a wrapper
	innerReason string
}

// typeless is the type of an error that the server does not name, as a gateway's.
const typeless = "error"

// signed reports whether the error names its type, as Elasticsearch does. What a
// proxy answers has no type, and may come after the request was carried out.
func (c *cause) signed() bool { return c.Type != "" && c.Type != typeless }

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
		*c = cause{Type: typeless}
		return nil //nolint:nilerr // it is an error, of a type that the server does not name
	}
	*c = cause{Type: r.Type, Reason: r.Reason}
	if !slices.Contains(wrappers, r.Type) {
		return nil
	}
	var caused cause
	if r.Caused != nil && json.Unmarshal(r.Caused, &caused) == nil {
		c.inner, c.innerReason = caused.decides(), cmp.Or(caused.innerReason, caused.Reason)
	}
	for _, root := range r.Roots {
		if c.inner == "" && !slices.Contains(wrappers, root.Type) {
			c.inner, c.innerReason = root.Type, root.Reason
		}
	}
	return nil
}

// reportedRoot is one of the errors that a wrapper names as its roots.
type reportedRoot struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// decides returns the error type that says what happened.
func (c *cause) decides() string {
	if c.inner != "" {
		return c.inner
	}
	return c.Type
}

func (c *cause) native(status int) error {
	return &ServerError{Status: status, Type: c.Type, Reason: c.Reason}
}

// ServerError is an error in an answer of Elasticsearch. errors.As finds it in the
// errors of this package, with any client library.
type ServerError struct {
	Status int    // of HTTP
	Type   string // such as index_not_found_exception; empty in the answer of a proxy
	Reason string // the server's text, which may quote ids and values: do not log it
}

// Error returns the status and the type, and not the reason.
func (e *ServerError) Error() string {
	text := "Elasticsearch answered with status " + strconv.Itoa(e.Status)
	if e.Type != "" {
		text += ": " + e.Type
	}
	return text
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

// refusing are statuses below 500 with which also a proxy refuses a request
// before it passes it on. Any other one may come from a proxy that gave up, as
// 408 and 499, or whose server did, as 409.
var refusing = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests,
}

// replyError returns the error of a request that the server answered with one.
// A write that the server refused is ErrUnavailable, as a read: nothing changed.
// A status of 500 and above may come from a proxy, or from a node that lost
// another node midway. A write is ErrUnknown then.
func (b *Backend) replyError(status int, c cause, write bool) error {
	native := c.native(status)
	kind := c.decides()
	if kind == typeBreaker {
		native = tooMuchError{native}
	}
	why, known := refusals[kind]
	text := "the server or a proxy before it answered " + strconv.Itoa(status) + ": check the address and both"
	if c.signed() {
		text = "the server answered " + strconv.Itoa(status) + " " + kind
	}
	switch {
	case kind == typeNoIndex:
		return model.NewError(model.ErrUnavailable, "the server has no index "+b.name+": call CreateStorage, or use StoragePlan", native)
	case status == http.StatusRequestEntityTooLarge:
		return model.NewError(model.ErrTooLarge, "the server or a proxy refuses a request of that size: raise http.max_content_length or the proxy's limit, or lower Options.MaxValue", native)
	case known:
		text = kind + ": " + why
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		text += ": " + whySecurity
	case status == http.StatusTooManyRequests:
		text += ": too many requests"
	case write && (status < 400 || status >= 500), write && !c.signed() && !slices.Contains(refusing, status):
		return model.NewError(model.ErrUnknown, text, native)
	}
	if reason := c.known(); reason != "" {
		text += " (" + reason + ")"
	}
	return model.NewError(model.ErrUnavailable, text, native)
}

// readError returns the error of a read without a reply.
func (b *Backend) readError(ctx context.Context, err error) error {
	if driverkit.Ended(ctx) == nil {
		if why := b.whyNoReply(err); why != "" {
			return model.NewError(model.ErrUnavailable, why, err)
		}
	}
	return driverkit.ReadError(ctx, err)
}

// writeError returns the error of a write without a reply.
func (b *Backend) writeError(ctx context.Context, p *progress, err error) error {
	sent, why := p.sent(err), b.whyNoReply(err)
	switch {
	case sent && p.denied.Load():
		return model.NewError(model.ErrUnknown, "the client tried to send the write again", driverkit.WithContext(ctx, err))
	case driverkit.Ended(ctx) != nil || why == "":
		return driverkit.WriteError(ctx, err, sent, "check the client")
	case sent:
		return model.NewError(model.ErrUnknown, why, err)
	}
	return model.NewError(model.ErrUnavailable, why, err)
}

// whyNoReply says why there is no reply, and what to do, or nothing if it is not
// known. It never quotes the client's text, which may have a secret.
func (b *Backend) whyNoReply(err error) string {
	switch {
	case errors.Is(err, errPanic):
		return "the client panicked: this is a mistake in the client or its transport"
	case errors.Is(err, errLimit):
		return "no answer within " + b.limit.String() + ", the limit of Options.RequestTimeout: check the server's load and the network"
	case strings.Contains(err.Error(), "not Elasticsearch"):
		return "the server does not identify itself as Elasticsearch: its answer lacks the header X-Elastic-Product, as that of OpenSearch and of proxies that remove it; give the address of an Elasticsearch"
	case strings.Contains(err.Error(), "malformed HTTP response"):
		return "the server does not speak HTTP: for TLS use an address with https, or the scheme elasticsearch+https"
	}
	if why := driverkit.DialReason(err); why != "" {
		return "cannot connect: " + why
	}
	return ""
}
