package mongo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	mongoerrors "go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/sojourn-go/sojourn/model"
)

// said is an error that the server gave, as the driver passes it on.
func said(code int, labels ...string) error {
	return mongodriver.CommandError{Code: int32(code), Message: "secret", Labels: labels, Wrapped: mongoerrors.Error{Code: int32(code), Message: "secret"}}
}

// cutOff is a connection that broke under a command.
func cutOff(cause error, labels ...string) error {
	inner := mongoerrors.Error{Message: "secret", Labels: append([]string{labelNetwork}, labels...), Wrapped: topology.ConnectionError{Wrapped: cause}}
	return mongodriver.CommandError{Message: inner.Message, Labels: inner.Labels, Wrapped: inner}
}

func written(code int) error {
	return mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{{Code: code, Message: "secret"}}}
}

// clearedError is as the driver's own, which cannot be named.
type clearedError struct{}

func (clearedError) Error() string   { return "connection pool was cleared because of secret" }
func (clearedError) Retryable() bool { return true }

func TestFaults(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	dialled := mongoerrors.Error{Labels: []string{labelOverloaded, "RetryableError", labelNetwork}, Wrapped: topology.ConnectionError{Wrapped: refused}}
	login := topology.ConnectionError{Wrapped: mongoerrors.Error{Code: 18, Message: "secret"}}
	greeting := topology.ConnectionError{Wrapped: mongoerrors.Error{Labels: []string{labelNetwork}, Wrapped: topology.ConnectionError{Wrapped: io.EOF}}}
	unmet := &mongodriver.WriteConcernError{Code: 64, Message: "secret"}
	un, unknown := model.ErrUnavailable, model.ErrUnknown
	tests := []struct {
		name        string
		err         error
		write, read error
	}{
		{"no permission", said(13), un, un},
		{"no such command", said(59), un, un},
		{"a view", said(166), un, un},
		{"a statement without permission", written(13), un, un},
		{"a validator", written(121), un, un},
		{"over the server's limit", written(codeTooLarge), model.ErrTooLarge, un},
		{"another unique index", written(11000), un, un},
		{"no primary, not retried", said(10107), un, un},
		{"no primary, perhaps retried", said(10107, labelRetryable), unknown, un},
		{"no primary, nothing written", said(10107, labelRetryable, labelNoWrites), un, un},
		{"stepped down", said(189, labelRetryable), unknown, un},
		{"interrupted", said(11601), unknown, un},
		{"a code of tomorrow", said(99_999), unknown, un},
		{"a statement's code of tomorrow", written(99_999), unknown, un},
		{"no majority", mongodriver.WriteException{WriteConcernError: unmet}, unknown, un},
		{"no majority for a batch", mongodriver.BulkWriteException{WriteConcernError: unmet}, unknown, un},
		{"no server", topology.ServerSelectionError{Wrapped: errors.New("server selection timeout")}, un, un},
		{"no connection", topology.WaitQueueTimeoutError{Wrapped: context.DeadlineExceeded}, un, un},
		{"a pool cleared while it waited", clearedError{}, un, un},
		{"a cleared pool", mongodriver.CommandError{Labels: []string{"TransientTransactionError"}, Wrapped: mongoerrors.Error{Wrapped: clearedError{}}}, un, un},
		{"disconnected", mongodriver.ErrClientDisconnected, un, un},
		{"server closed", topology.ErrServerClosed, un, un},
		{"dial", mongodriver.CommandError{Labels: dialled.Labels, Wrapped: dialled}, un, un},
		{"credentials", mongodriver.CommandError{Code: 18, Message: "secret", Wrapped: login}, un, un},
		{"greeting", mongodriver.CommandError{Labels: []string{labelNetwork}, Wrapped: greeting}, un, un},
		{"name lookup", topology.ConnectionError{Wrapped: &net.DNSError{Name: "secret"}}, un, un},
		{"end", cutOff(io.EOF), unknown, un},
		{"end, retried", cutOff(io.EOF, labelRetryable), unknown, un},
		{"timeout", cutOff(os.ErrDeadlineExceeded), unknown, un},
		{"nonsense", errors.New("malformed wire message: secret"), unknown, un},
		{"wrapped", fmt.Errorf("a wrapper: %w", said(13)), un, un},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []struct{ err, want error }{
				{writeError(t.Context(), test.err), test.write}, {readError(t.Context(), test.err), test.read},
			} {
				only(t, got.err, got.want)
				if !wraps(got.err, test.err) {
					t.Errorf("%v does not unwrap to the client's own", got.err)
				}
				if strings.Contains(got.err.Error(), "secret") {
					t.Errorf("a value in %v", got.err)
				}
			}
		})
	}
}

// wraps is errors.Is for causes that cannot be compared.
func wraps(err, cause error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if wraps(e, cause) {
				return true
			}
		}
		return false
	}
	return fmt.Sprintf("%T %v", err, err) == fmt.Sprintf("%T %v", cause, cause) || errors.Unwrap(err) != nil && wraps(errors.Unwrap(err), cause)
}

func TestFaultsOfContexts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"while it looks for a server":    topology.ServerSelectionError{Wrapped: context.Canceled},
		"while it waits for connections": topology.WaitQueueTimeoutError{Wrapped: context.Canceled},
	} {
		if got := writeError(ctx, err); got != context.Canceled { //nolint:errorlint // it alone
			t.Errorf("%s: %v", name, got)
		}
		if got := readError(ctx, err); got != context.Canceled { //nolint:errorlint // it alone
			t.Errorf("%s, a read: %v", name, got)
		}
	}
	err := writeError(ctx, cutOff(context.Canceled))
	only(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after sending: %v", err)
	}
	// The driver's own word that this try was not sent says nothing of a try
	// before it.
	only(t, writeError(ctx, context.Canceled), model.ErrUnknown)
	if got := readError(ctx, context.Canceled); got != context.Canceled { //nolint:errorlint // it alone
		t.Errorf("a read: %v", got)
	}
	past, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	err = writeError(past, cutOff(os.ErrDeadlineExceeded))
	only(t, err, model.ErrUnknown)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the deadline: %v", err)
	}
}

func TestTaken(t *testing.T) {
	for text, want := range map[string]bool{
		`E11000 duplicate key error collection: d.c index: _id_ dup key: { _id: "a" }`: true,
		`E11000 duplicate key error collection: d.c index: own dup key: { x: "a" }`:    false,
		"another server's words": true,
	} {
		err := mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{{Code: 11000, Message: text}}}
		if idExists(err) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if idExists(nil) || idExists(io.EOF) || idExists(said(13)) {
		t.Error("taken by what is no duplicate key")
	}
}
