package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

func asResponse(err error, res **smithyhttp.ResponseError) bool { return errors.As(err, res) }

func said(code string) error {
	return &smithy.OperationError{ServiceID: "S3", OperationName: "PutObject", Err: &smithy.GenericAPIError{Code: code, Message: "hunter2"}}
}

// saidStatus is an answer whose body tells nothing.
func saidStatus(status int, code string) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code},
	}
}

func sendError(err error) error {
	return &smithy.OperationError{ServiceID: "S3", OperationName: "PutObject", Err: &smithyhttp.RequestSendError{Err: err}}
}

func TestFaults(t *testing.T) {
	b := &Backend{bucket: "carts"}
	sent, connecting, unsent := &internalaws.Mark{}, &internalaws.Mark{}, &internalaws.Mark{}
	sent.Handed.Store(true)
	connecting.Handed.Store(true)
	connecting.Asked.Store(true)
	dial := sendError(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
	type test struct {
		name        string
		err         error
		m           *internalaws.Mark
		write, read error
	}
	tests := []test{
		{"dial", dial, sent, model.ErrUnavailable, model.ErrUnavailable},
		{"before a connection", sendError(errors.New("hunter2")), connecting, model.ErrUnavailable, model.ErrUnavailable},
		{"before the HTTP client", errors.New("hunter2"), unsent, model.ErrUnavailable, model.ErrUnavailable},
		{"end", sendError(io.EOF), sent, model.ErrUnknown, model.ErrUnavailable},
		{"cut", sendError(io.ErrUnexpectedEOF), sent, model.ErrUnknown, model.ErrUnavailable},
		{"timeout", sendError(&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}), sent, model.ErrUnknown, model.ErrUnavailable},
		{"broken pipe", sendError(&net.OpError{Op: "write", Err: syscall.EPIPE}), sent, model.ErrUnknown, model.ErrUnavailable},
		{"nonsense", &smithy.DeserializationError{Err: errors.New("hunter2")}, sent, model.ErrUnknown, model.ErrUnavailable},
		{"a server's error", said("InternalError"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"down", said("ServiceUnavailable"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"a quorum that was missed", said("SlowDownWrite"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"a body that came too slowly", said("RequestTimeout"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"a proxy's code", said("NewCode"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"given up", &retry.MaxAttemptsError{Attempt: 3, Err: said("SlowDown")}, sent, model.ErrUnavailable, model.ErrUnavailable},
	}
	for code := range refusals {
		want := model.ErrUnavailable
		if code == "EntityTooLarge" {
			want = model.ErrTooLarge
		}
		tests = append(tests, test{code, said(code), sent, want, want})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []struct{ err, want error }{
				{b.writeError(t.Context(), test.err, test.m), test.write}, {b.readError(t.Context(), test.err), test.read},
			} {
				only(t, got.err, got.want)
				if !errors.Is(got.err, test.err) {
					t.Errorf("%v does not unwrap to the client's own", got.err)
				}
				if strings.Contains(got.err.Error(), "hunter2") {
					t.Errorf("a value in %v", got.err)
				}
			}
		})
	}
}

func TestCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{said("NoSuchKey"), codeNoKey},
		{saidStatus(412, "UnknownError"), codePrecondition},
		{saidStatus(409, "Conflict"), codeConflict},
		{saidStatus(409, codeOwned), codeOwned},
		{saidStatus(416, "RequestedRangeNotSatisfiable"), codeEmpty},
		{saidStatus(404, "NoSuchBucket"), codeNoBucket},
		{saidStatus(500, "UnknownError"), "UnknownError"},
		{io.EOF, ""},
	} {
		if got := codeOf(test.err); got != test.want {
			t.Errorf("%v has the code %q, want %q", test.err, got, test.want)
		}
	}
}

func TestMissingBucketIsToldApart(t *testing.T) {
	b := &Backend{bucket: "carts"}
	err := b.bucketError(t.Context(), said(codeNoBucket))
	only(t, err, model.ErrUnavailable)
	if !errors.Is(err, errNoBucket) || !strings.Contains(err.Error(), "carts") || !strings.Contains(err.Error(), "CreateStorage") {
		t.Errorf("%v", err)
	}
	if errors.Is(b.bucketError(t.Context(), said(codeDenied)), errNoBucket) {
		t.Error("a bucket that may not be read is taken for none")
	}
}

func TestFaultsOfContexts(t *testing.T) {
	b := &Backend{bucket: "carts"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	canceled := &aws.RequestCanceledError{Err: context.Canceled}
	if err := b.writeError(ctx, canceled, &internalaws.Mark{}); err != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("before sending: %v", err)
	}
	if err := b.readError(ctx, canceled); err != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("a read: %v", err)
	}
	m := &internalaws.Mark{}
	m.Handed.Store(true)
	err := b.writeError(ctx, sendError(io.EOF), m)
	only(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("after sending: %v", err)
	}
}

func TestWritesAreResentAfterASureRefusalAlone(t *testing.T) {
	r := internalaws.Retryer{Retryer: retry.NewStandard(), Refused: isRefused}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{said("SlowDown"), true},
		{said("RequestTimeTooSkewed"), false}, // unless the SDK has corrected the clock
		{said("AccessDenied"), false},
		{said("InternalError"), false},
		{saidStatus(503, "ServiceUnavailable"), false},
		{sendError(io.EOF), false},
		{sendError(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), false},
	} {
		if got := r.IsErrorRetryable(test.err); got != test.want {
			t.Errorf("%v is sent again: %v", test.err, got)
		}
	}
	if release, err := r.GetAttemptToken(t.Context()); err != nil || release(nil) != nil {
		t.Errorf("no token: %v", err)
	}
}
