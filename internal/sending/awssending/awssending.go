// Package awssending keeps the AWS SDK from sending a write again that may have
// been applied, and tells what was never sent.
package awssending

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Mark notes how far a request came.
type Mark struct {
	Handed atomic.Bool // to the HTTP client
	Asked  atomic.Bool // the client asked for a connection
	Got    atomic.Bool // it has one, so that bytes may have left
}

// Unsent reports whether surely nothing left this process. An HTTP client of
// another make does not tell of connections; its dial errors do.
func (m *Mark) Unsent(err error) bool {
	return !m.Handed.Load() || m.Asked.Load() && !m.Got.Load() || driverkit.IsDial(err)
}

// Trace makes net/http note in the mark whether a request got a connection.
func (m *Mark) Trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { m.Asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { m.Got.Store(true) },
	})
}

// Watch is an API option of a call that writes.
func (m *Mark) Watch(stack *middleware.Stack) error {
	// The last step before the HTTP client.
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SojournMark",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			m.Handed.Store(true)
			return next.HandleDeserialize(ctx, in)
		}), middleware.After)
}

// Retryer lets the SDK send a write again only after the service has refused it
// for now: throttled, or signed by a clock that the SDK has just corrected.
// Never after a broken connection, a timeout or a server's error, which leave
// open whether the write was applied.
type Retryer struct {
	aws.Retryer                  // the client's own
	Refused     func(error) bool // whether the service surely refused the request
}

// IsErrorRetryable reports whether the service surely refused the request and
// the client's own retryer would send it again.
func (r Retryer) IsErrorRetryable(err error) bool {
	return r.Refused(err) && r.Retryer.IsErrorRetryable(err)
}

// GetAttemptToken is the client's own, which limits the rate in adaptive mode.
func (r Retryer) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	if v2, ok := r.Retryer.(aws.RetryerV2); ok {
		return v2.GetAttemptToken(ctx)
	}
	return r.GetInitialToken(), nil
}
