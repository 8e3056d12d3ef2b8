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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// said returns the error of an answer with a code.
func said(code string) error {
	return &smithy.OperationError{ServiceID: "S3", OperationName: "PutObject", Err: &smithy.GenericAPIError{Code: code, Message: "hunter2"}}
}

// saidStatus returns the error of an answer without a body.
func saidStatus(status int, code string) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code},
	}
}

// sendError returns the error of a request without an answer.
func sendError(err error) error {
	return &smithy.OperationError{ServiceID: "S3", OperationName: "PutObject", Err: &smithyhttp.RequestSendError{Err: err}}
}

func TestErrors(t *testing.T) {
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
		{"an answer that is not XML", &smithy.DeserializationError{Err: errors.New("hunter2")}, sent, model.ErrUnknown, model.ErrUnavailable},
		{"a server error", said("InternalError"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"unavailable", said("ServiceUnavailable"), sent, model.ErrUnavailable, model.ErrUnavailable},
		{"a missed quorum", said("SlowDownWrite"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"a request body too slow", said("RequestTimeout"), sent, model.ErrUnknown, model.ErrUnavailable},
		{"a disabled key", said("KMS.DisabledException"), sent, model.ErrUnavailable, model.ErrUnavailable},
		{"an unknown code", said("NewCode"), sent, model.ErrUnknown, model.ErrUnavailable},
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
				{b.writeError(t.Context(), test.err, test.m), test.write}, {b.readError(t.Context(), test.err, test.m), test.read},
			} {
				drivertest.WantKind(t, got.err, got.want)
				if !errors.Is(got.err, test.err) {
					t.Errorf("%v does not unwrap to the client's error", got.err)
				}
				if strings.Contains(got.err.Error(), "hunter2") {
					t.Errorf("the error has a secret in its text: %v", got.err)
				}
			}
		})
	}
}

// TestErrorsInAnswers has answers with status 200 whose body is an error.
func TestErrorsInAnswers(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	for name, test := range map[string]struct {
		op, code string
		do       func() error
		want     error
	}{
		"a listing": {"LIST r", "InternalError", func() error {
			page, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10})
			if err == nil {
				t.Errorf("the listing ends with %+v", page)
			}
			return err
		}, model.ErrUnavailable},
		"objects to delete": {"DELETES", "SlowDown", func() error {
			return b.deleteMany(t.Context(), []string{"x/none"})
		}, model.ErrUnavailable},
		"a write": {"PUT r", "InternalError", func() error {
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("new", "", 0), Cond: driver.IfAbsent})
			return err
		}, model.ErrUnknown},
		"a refused write": {"PUT r", codeDenied, func() error {
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("new", "", 0), Cond: driver.IfAbsent})
			return err
		}, model.ErrUnavailable},
		"an index entry": {"PUT l", codeDenied, func() error {
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("new", "bob", 0), Cond: driver.IfAbsent})
			return err
		}, model.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p.answers(func(op string) *answer {
				if op != test.op {
					return nil
				}
				return &answer{status: http.StatusOK, code: test.code}
			})
			defer p.answers(nil)
			drivertest.WantKind(t, test.do(), test.want)
		})
	}
	wantIDs(t, idsOf(t, b, driver.Query{Limit: 10}), "id")
}

func TestRootOf(t *testing.T) {
	for body, want := range map[string]string{
		"": "", "<Error>": "Error", "\n<?xml version=\"1.0\"?>\n<Error><Code>": "Error", "<!-- a --><Error xmlns=\"x\">": "Error", "<DeleteResult/>": "DeleteResult",
		"<Errors>": "Errors", "<ListBucketResult><Error>": "ListBucketResult", "sojourn<Error>": "", "<?xml": "", "<": "", "<!DOCTYPE html>": "!DOCTYPE",
	} {
		if got := rootOf([]byte(body)); got != want {
			t.Errorf("%q: %q", body, got)
		}
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
		{saidStatus(429, codeTooMany), codeTooMany},
		{said("KMS.DisabledException"), "KMS.DisabledException"},
		{saidStatus(500, "UnknownError"), "UnknownError"},
		{io.EOF, ""},
	} {
		if got := codeOf(test.err); got != test.want {
			t.Errorf("%v has the code %q, want %q", test.err, got, test.want)
		}
	}
}

func TestMissingBucket(t *testing.T) {
	b := &Backend{bucket: "carts"}
	err := b.bucketError(t.Context(), said(codeNoBucket), nil)
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !errors.Is(err, errNoBucket) || !strings.Contains(err.Error(), "carts") || !strings.Contains(err.Error(), "CreateStorage") {
		t.Errorf("%v", err)
	}
	if errors.Is(b.bucketError(t.Context(), said(codeDenied), nil), errNoBucket) {
		t.Error("a denied bucket matches errNoBucket")
	}
}

func TestErrorsOfContexts(t *testing.T) {
	b := &Backend{bucket: "carts"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	canceled := &aws.RequestCanceledError{Err: context.Canceled}
	if err := b.writeError(ctx, canceled, &internalaws.Mark{}); err != context.Canceled { //nolint:errorlint // nothing else
		t.Errorf("before sending: %v", err)
	}
	if err := b.readError(ctx, canceled, nil); err != context.Canceled { //nolint:errorlint // nothing else
		t.Errorf("a read: %v", err)
	}
	m := &internalaws.Mark{}
	m.Handed.Store(true)
	err := b.writeError(ctx, sendError(io.EOF), m)
	drivertest.WantKind(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.EOF) {
		t.Errorf("after sending: %v", err)
	}
}

func TestRetryerOfWrites(t *testing.T) {
	r := retryer{internalaws.Retryer{Retryer: retry.NewStandard(), Refused: isRefused}}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{said("SlowDown"), true},
		{said(codeTooMany), true},
		{saidStatus(503, codeUnavailable), true},
		{saidStatus(429, "NewCode"), true},
		{said("RequestTimeTooSkewed"), false}, // the SDK makes it retryable after it has corrected the clock
		{said("AccessDenied"), false},
		{said("InternalError"), false},
		{sendError(io.EOF), false},
		{sendError(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), false},
	} {
		if got := r.IsErrorRetryable(test.err); got != test.want {
			t.Errorf("%v is sent again: %v, want %v", test.err, got, test.want)
		}
	}
	if release, err := r.GetAttemptToken(t.Context()); err != nil || release(nil) != nil {
		t.Errorf("the attempt has no token: %v", err)
	}
}
