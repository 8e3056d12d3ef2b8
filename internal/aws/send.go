package aws

import (
	"context"
	"io"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Mark records how far a request has come, and what it has waited for in this
// process. It is for one call of the SDK, which may send more than one attempt.
type Mark struct {
	Handed atomic.Bool // the HTTP client has the request
	Asked  atomic.Bool // the client has asked for a connection
	Got    atomic.Bool // the client has a connection: bytes may have left

	// Late is asked when the body of an attempt is about to be sent, with what the
	// call has waited. Its error ends the attempt, which the service cannot carry
	// out without the body. Nil means that nothing is asked.
	Late func(waited time.Duration) error
	// Stopwatch is read for what is waited. Nil means the system's.
	Stopwatch func() time.Duration
	// Call gets what each attempt has waited, after it. Nil is told nothing.
	Call *driverkit.Waited

	waited  atomic.Int64 // nanoseconds
	counted time.Duration
	attempt attempt // the last one
}

type attempt struct {
	began, ended time.Duration
	before       time.Duration // what was waited before it
}

// promptly is the time in which a connection is made if nobody waits: a process
// that does not get the processor for a moment must not count as one that waits.
const promptly = 100 * time.Millisecond

// Unsent reports whether the last attempt certainly never left this process. An
// HTTP client other than net/http's reports no connections; for that client,
// only a dial error proves it.
func (m *Mark) Unsent(err error) bool {
	return !m.Handed.Load() || m.Asked.Load() && !m.Got.Load() || driverkit.IsDial(err)
}

// Waited returns what the call has waited for connections that were not idle, in
// attempts before the last one, and between them. What took less than 100 ms
// counts as none, but for the pauses.
func (m *Mark) Waited() time.Duration { return time.Duration(m.waited.Load()) }

func (m *Mark) read() time.Duration {
	w := driverkit.Waited{Watch: m.Stopwatch}
	return w.Read()
}

// Watch adds a step to the stack that follows each attempt from when the HTTP
// client gets it. Requests for credentials come before that step, so that the
// mark says nothing of them. Pass it as an API option of a call.
func (m *Mark) Watch(stack *middleware.Stack) error {
	// The last step before the HTTP client.
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SojournMark",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			if m.Handed.Swap(true) {
				m.again()
			}
			m.attempt = attempt{began: m.read(), before: m.Waited()}
			m.Asked.Store(false)
			m.Got.Store(false)
			if r, ok := in.Request.(*smithyhttp.Request); ok && m.Late != nil && r.GetStream() != nil {
				asked, err := r.SetStream(&askingBody{Reader: r.GetStream(), m: m})
				if err != nil {
					return middleware.DeserializeOutput{}, middleware.Metadata{}, err
				}
				in.Request = asked
			}
			out, metadata, err := next.HandleDeserialize(m.trace(ctx), in)
			m.attempt.ended = m.read()
			if m.Call != nil {
				m.Call.Add(m.Waited() - m.counted)
				m.counted = m.Waited()
			}
			return out, metadata, err
		}), middleware.After)
}

// again counts the time from the beginning of the attempt before: it has decided
// nothing, and can have tried for long to reach a server.
func (m *Mark) again() {
	last := m.attempt
	if took := last.ended - last.began; took >= promptly {
		m.waited.Add(int64(took - (m.Waited() - last.before)))
	}
	m.waited.Add(int64(m.read() - last.ended))
}

// trace makes net/http tell the mark about the connection of an attempt.
func (m *Mark) trace(ctx context.Context) context.Context {
	var began time.Duration
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			m.Asked.Store(true)
			began = m.read()
		},
		GotConn: func(c httptrace.GotConnInfo) {
			if waited := m.read() - began; !c.WasIdle && waited >= promptly {
				m.waited.Add(int64(waited))
			}
			m.Got.Store(true)
		},
	})
}

// askingBody asks the mark before its first byte.
type askingBody struct {
	io.Reader
	m     *Mark
	asked bool
	late  error
}

func (b *askingBody) Read(to []byte) (int, error) {
	if !b.asked {
		b.asked, b.late = true, b.m.Late(b.m.Waited())
	}
	if b.late != nil {
		return 0, b.late
	}
	return b.Reader.Read(to)
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
