package dynamodb

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// answered returns the SDK's error for a code that the server answered.
func answered(code string) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "PutItem", Err: &smithy.GenericAPIError{Code: code, Message: "hunter2"}}
}

// sendError returns the SDK's error for a request without an answer.
func sendError(err error) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "PutItem", Err: &smithyhttp.RequestSendError{Err: err}}
}

func TestErrors(t *testing.T) {
	b := &Backend{table: "carts"}
	marked := func(handed, asked bool) *internalaws.Mark {
		m := &internalaws.Mark{}
		m.Handed.Store(handed)
		m.Asked.Store(asked)
		return m
	}
	sent, connecting, unsent := marked(true, false), marked(true, true), marked(false, false)
	dial := sendError(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
	type test struct {
		name string
		err  error
		m    *internalaws.Mark
		want error // of a write
	}
	tests := []test{
		{"dial", dial, sent, model.ErrUnavailable},
		{"before a connection", sendError(errors.New("hunter2")), connecting, model.ErrUnavailable},
		{"before the HTTP client", errors.New("hunter2"), unsent, model.ErrUnavailable},
		{"end", sendError(io.EOF), sent, model.ErrUnknown},
		{"cut", sendError(io.ErrUnexpectedEOF), sent, model.ErrUnknown},
		{"timeout", sendError(&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}), sent, model.ErrUnknown},
		{"broken pipe", sendError(&net.OpError{Op: "write", Err: syscall.EPIPE}), sent, model.ErrUnknown},
		{"not JSON", &smithy.DeserializationError{Err: errors.New("hunter2")}, sent, model.ErrUnknown},
		{"a server's error", answered("InternalServerError"), sent, model.ErrUnknown},
		{"down", answered("ServiceUnavailable"), sent, model.ErrUnknown},
		{"a proxy's code", answered("NewCode"), sent, model.ErrUnknown},
		{"resent too early", answered("TransactionInProgressException"), sent, model.ErrUnknown},
		{"conflict", &types.TransactionConflictException{}, sent, model.ErrUnavailable},
		{"typed throttling", &types.ProvisionedThroughputExceededException{}, sent, model.ErrUnavailable},
		{"given up", &retry.MaxAttemptsError{Attempt: 3, Err: answered("ThrottlingException")}, sent, model.ErrUnavailable},
	}
	for code := range refusals {
		tests = append(tests, test{code, answered(code), sent, model.ErrUnavailable})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []struct{ err, want error }{
				{b.writeError(t.Context(), test.err, !test.m.Unsent(test.err)), test.want},
				{b.readError(t.Context(), test.err), model.ErrUnavailable},
			} {
				drivertest.WantKind(t, got.err, got.want)
				if !errors.Is(got.err, test.err) {
					t.Errorf("%v does not unwrap to the client's error", got.err)
				}
				if strings.Contains(got.err.Error(), "hunter2") {
					t.Errorf("the error has a value in its text: %v", got.err)
				}
			}
		})
	}
}

func TestErrorsOfContexts(t *testing.T) {
	b := &Backend{table: "carts"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	canceled := &aws.RequestCanceledError{Err: context.Canceled}
	if err := b.writeError(ctx, canceled, false); err != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("before sending: %v", err)
	}
	if err := b.readError(ctx, canceled); err != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("a read: %v", err)
	}
	err := b.writeError(ctx, sendError(io.EOF), true)
	drivertest.WantKind(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("after sending: %v", err)
	}
}

func TestOutcomes(t *testing.T) {
	item := recordKey("id")
	cancelled := func(codes ...string) error {
		e := &types.TransactionCanceledException{}
		for _, c := range codes {
			e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: &c, Item: item})
		}
		return &smithy.OperationError{Err: e}
	}
	inText := func(reasons string) error {
		text := "Transaction cancelled, please refer cancellation reasons for specific reasons " + reasons
		return &smithy.OperationError{Err: &types.TransactionCanceledException{Message: &text}}
	}
	for name, test := range map[string]struct {
		err          error
		failed, busy bool
	}{
		"condition":                   {&smithy.OperationError{Err: &types.ConditionalCheckFailedException{Item: item}}, true, false},
		"condition of the record":     {cancelled("ConditionalCheckFailed", "None"), true, false},
		"condition before another":    {cancelled("ConditionalCheckFailed", "TransactionConflict"), true, false},
		"conflict on the record":      {cancelled("TransactionConflict", "None"), false, true},
		"conflict on a label":         {cancelled("None", "TransactionConflict"), false, true},
		"throttled":                   {cancelled("None", "ThrottlingError"), false, true},
		"invalid":                     {cancelled("ValidationError", "None"), false, false},
		"invalid beside a conflict":   {cancelled("TransactionConflict", "ValidationError"), false, false},
		"over a limit":                {cancelled("None", "RequestLimitExceeded"), false, true},
		"a conflict in the text":      {inText("[None, TransactionConflict]"), false, true},
		"an invalid item in the text": {inText("[TransactionConflict, ValidationError]"), false, false},
		"a condition in the text":     {inText("[ConditionalCheckFailed, None]"), false, false},
		"no reasons":                  {inText(""), false, false},
		"single conflict":             {&types.TransactionConflictException{}, false, true},
		"another region":              {&types.ReplicatedWriteConflictException{}, false, true},
		"throttling":                  {answered("ThrottlingException"), false, false},
		"no answer":                   {sendError(io.EOF), false, false},
	} {
		out := outcomeOf(test.err)
		if out.failed != test.failed || out.busy != test.busy || out.failed != (out.item != nil) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// TestCancelledErrors has transactions that were cancelled for other reasons
// than a condition, wherever the server puts the reason.
func TestCancelledErrors(t *testing.T) {
	type reason = types.CancellationReason
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		reasons []reason
		message string
		want    error
		has     string
	}{
		"too large":                {[]reason{{Code: text("None")}, {Code: text("ValidationError"), Message: text("Item size has exceeded the maximum allowed size")}}, "", model.ErrTooLarge, ""},
		"too large and a conflict": {[]reason{{Code: text("TransactionConflict")}, {Code: text("ValidationError"), Message: text("Item size to update has exceeded")}}, "", model.ErrTooLarge, ""},
		"another reason":           {[]reason{{Code: text("None")}, {Code: text("ItemCollectionSizeLimitExceeded")}}, "", model.ErrUnavailable, "ItemCollectionSizeLimitExceeded"},
		"in the text":              {nil, "hunter2 [None, ThrottlingError]", model.ErrUnavailable, "ThrottlingError"},
		"invalid, in the text":     {nil, "hunter2 [ValidationError]", model.ErrUnavailable, "ValidationException"},
		"none":                     {nil, "hunter2", nil, ""},
		"only None":                {[]reason{{Code: text("None")}}, "", nil, ""},
	} {
		err := cancelledError(&smithy.OperationError{Err: &types.TransactionCanceledException{CancellationReasons: test.reasons, Message: &test.message}})
		if model.Kind(err) != test.want || err != nil && (!strings.Contains(err.Error(), test.has) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v, want %v with %q", name, err, test.want, test.has)
		}
	}
}

// TestReasons has errors of Go's net and net/http: the text names the host and
// what to do, and has nothing else of theirs.
func TestReasons(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8000}
	for says, err := range map[string]error{
		`the host "db.invalid" is not known`: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "hunter2", Name: "db.invalid", IsNotFound: true}},
		`for the host "db.invalid"`:          &net.OpError{Op: "dial", Err: &net.DNSError{Err: "hunter2", Name: "db.invalid", IsTemporary: true}},
		"127.0.0.1:8000 refuses connections": &net.OpError{Op: "dial", Addr: addr, Err: syscall.ECONNREFUSED},
		"127.0.0.1:8000 does not answer":     &net.OpError{Op: "dial", Addr: addr, Err: os.ErrDeadlineExceeded},
		"127.0.0.1:8000: no route to host":   &net.OpError{Op: "dial", Addr: addr, Err: syscall.EHOSTUNREACH},
		"did not answer in time":             &url.Error{Op: "Post", URL: "http://hunter2", Err: os.ErrDeadlineExceeded},
		"the connection broke":               io.ErrUnexpectedEOF,
	} {
		if text := reason(sendError(err)); !strings.Contains(text, says) || strings.Contains(text, "hunter2") {
			t.Errorf("%v: %s, want %q in it", err, text, says)
		}
	}
	if text := reason(errors.New("hunter2")); !strings.Contains(text, "credentials") || strings.Contains(text, "hunter2") {
		t.Errorf("before the request: %s", text)
	}
}
