package dynamodb

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// sendOnce carries out one write. The option that do gets turns off the SDK's
// resending and records whether the request left the process. A write that
// DynamoDB refused because of another transaction, or for now, is sent again
// after a pause: as of the time that it is then, if values has :now. So is one
// whose record, by the expiry that the call knows of it, expired while the write
// waited for a connection. A failed condition is part of the outcome and not an
// error.
func (b *Backend) sendOnce(ctx context.Context, c *call, values attributes, do func(context.Context, func(*awsdynamodb.Options)) error) (outcome, error) {
	var pending error // an attempt that may still succeed
	own := ownRetries{b: b}
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return outcome{}, stillPending(ctx, pending, err)
		}
		if values[tokenNow] != nil && pending == nil { // a pending one must stay the same
			values[tokenNow] = millis(c.at())
		}
		m := c.mark()
		if values[tokenNow] != nil && pending == nil {
			m.Late = c.late()
		}
		seen := false // the client has taken the options
		err := do(ctx, func(o *awsdynamodb.Options) {
			own.take(o)
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
				seen = true
				return m.Watch(stack)
			})
		})
		own.release(err)
		if err == nil {
			return outcome{}, nil
		}
		switch out := outcomeOf(err); {
		case out.failed:
			return out, nil
		case out.busy && attempt+1 < busyAttempts:
			if repeatable(err) {
				pending = err
			}
			if err := c.During(func() error { return b.contended(ctx, attempt) }); err != nil {
				return outcome{}, stillPending(ctx, pending, err)
			}
			continue
		case own.again(ctx, c, err), errors.Is(err, errLate):
			continue
		}
		if cancelled := cancelledError(err); cancelled != nil {
			return outcome{}, stillPending(ctx, pending, cancelled)
		}
		if !seen {
			m.Handed.Store(true) // as far as anybody knows
		}
		return outcome{}, stillPending(ctx, pending, b.writeError(ctx, err, !m.Unsent(err)))
	}
}

// stillPending returns err, and ErrUnknown if an attempt may still succeed.
func stillPending(ctx context.Context, pending, err error) error {
	if pending == nil {
		return err
	}
	return model.NewError(model.ErrUnknown, answerText(pending), driverkit.WithContext(ctx, pending))
}

// busyAttempts limits how often a write is sent while other transactions hold
// its items. All attempts together take about two seconds.
const busyAttempts = 40

// ownRetries sends a write again that DynamoDB has refused for now, as the
// client's retryer says. The SDK would send the same request, with the time of
// the first attempt.
type ownRetries struct {
	b     *Backend
	given aws.Retryer       // the client's
	tries int               // attempts that were refused for now
	token func(error) error // releases what the next attempt was allowed with
}

// take makes the SDK send once.
func (r *ownRetries) take(o *awsdynamodb.Options) {
	r.given = o.Retryer
	o.Retryer = internalaws.Retryer{Retryer: o.Retryer, Refused: func(error) bool { return false }}
}

// release reports the result of an attempt to the client's retryer.
func (r *ownRetries) release(err error) {
	if r.token != nil {
		_ = r.token(err)
	}
	r.token = nil
}

// again waits until the write may be sent again, or until ctx ends. It reports
// false if it may not. The retryer knows only some codes of throttling: the
// status has the others.
func (r *ownRetries) again(ctx context.Context, c *call, err error) bool {
	if r.given == nil || !refused(err) || !r.given.IsErrorRetryable(err) && statusOf(err) != http.StatusTooManyRequests {
		return false
	}
	r.tries++
	if most := r.given.MaxAttempts(); most > 0 && r.tries >= most {
		return false
	}
	token, refusal := r.given.GetRetryToken(ctx, err)
	if refusal != nil {
		return false
	}
	r.token = token
	delay, refusal := r.given.RetryDelay(r.tries, err)
	if refusal == nil {
		_ = c.During(func() error { return r.b.pause(ctx, delay) })
	}
	return refusal == nil
}

// parallelism is the maximum number of requests that one call sends
// concurrently.
const parallelism = 16

// withoutNoise returns the client without a warning that it logs for each
// response that has no checksum, such as those of a failed condition. The SDK
// takes a missing checksum for 0: github.com/aws/aws-sdk-go-v2/issues/3545.
func withoutNoise(client *awsdynamodb.Client) *awsdynamodb.Client {
	return awsdynamodb.New(client.Options(), func(o *awsdynamodb.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			if inner, ok := stack.Deserialize.Get(checksumID); ok {
				_, err := stack.Deserialize.Swap(checksumID, checksum{inner})
				return err
			}
			return nil
		})
	})
}

const (
	checksumID     = "DynamoDB:ResponseChecksumValidation"
	checksumHeader = "X-Amz-Crc32"
)

// checksum is the SDK's check of a response, left out if the response has no
// checksum.
type checksum struct {
	middleware.DeserializeMiddleware
}

// HandleDeserialize keeps the body of a response without a checksum as it came.
func (c checksum) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	var plain func()
	out, metadata, err := c.DeserializeMiddleware.HandleDeserialize(ctx, in, middleware.DeserializeHandlerFunc(
		func(ctx context.Context, in middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			if res, ok := out.RawResponse.(*smithyhttp.Response); ok && res != nil && res.Response != nil && res.Header.Get(checksumHeader) == "" {
				body := res.Body
				plain = func() { res.Body = body }
			}
			return out, metadata, err
		}))
	if plain != nil {
		plain()
	}
	return out, metadata, err
}
