package aws

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Mark records how far a request has come.
type Mark struct {
	Handed atomic.Bool // the HTTP client has the request
	Asked  atomic.Bool // the client has asked for a connection
	Got    atomic.Bool // the client has a connection: bytes may have left
}

// Unsent reports whether the request certainly never left this process. An HTTP
// client other than net/http's reports no connections; for that client, only a
// dial error proves it.
func (m *Mark) Unsent(err error) bool {
	return !m.Handed.Load() || m.Asked.Load() && !m.Got.Load() || driverkit.IsDial(err)
}

// Trace makes net/http record in the mark whether a request got a connection.
func (m *Mark) Trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { m.Asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { m.Got.Store(true) },
	})
}

// Watch adds a step to the stack that records in the mark when the HTTP client
// gets the request. Pass it as an API option of a call that writes.
func (m *Mark) Watch(stack *middleware.Stack) error {
	// The last step before the HTTP client.
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SojournMark",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			m.Handed.Store(true)
			return next.HandleDeserialize(ctx, in)
		}), middleware.After)
}

// Retryer lets the SDK send a write again only after the service has refused it
// for now. Such refusals are throttling, and a signature by a clock that the SDK
// has just corrected. Retryer never retries after a broken connection, a timeout
// or a server's error: the write may have been applied.
type Retryer struct {
	awssdk.Retryer                  // the client's retryer
	Refused        func(error) bool // reports whether the service certainly refused the request
}

// IsErrorRetryable reports whether the service certainly refused the request and
// the client's retryer would send it again.
func (r Retryer) IsErrorRetryable(err error) bool {
	return r.Refused(err) && r.Retryer.IsErrorRetryable(err)
}

// GetAttemptToken asks the client's retryer, which limits the rate in adaptive
// mode.
func (r Retryer) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	if v2, ok := r.Retryer.(awssdk.RetryerV2); ok {
		return v2.GetAttemptToken(ctx)
	}
	return r.GetInitialToken(), nil
}
