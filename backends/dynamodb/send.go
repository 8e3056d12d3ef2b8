package dynamodb

import (
	"context"
	"net/http"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// sendOnce carries out one write. The option that do gets turns off the SDK's
// resending and records whether the request left the process. A write that
// DynamoDB refused because of another transaction is sent again after a pause.
// A failed condition is part of the outcome and not an error.
func (b *Backend) sendOnce(ctx context.Context, do func(context.Context, func(*awsdynamodb.Options)) error) (outcome, error) {
	var pending error // an attempt that may still succeed
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return outcome{}, stillPending(ctx, pending, err)
		}
		m := &internalaws.Mark{}
		seen := false // the client has taken the options
		err := do(ctx, writeOptions(m, &seen))
		if err == nil {
			return outcome{}, nil
		}
		switch out := outcomeOf(err); {
		case out.failed:
			return out, nil
		case out.busy && attempt+1 < busyAttempts:
			if codeOf(err) == codeInProgress {
				pending = err
			}
			if err := driverkit.Pause(ctx, attempt); err != nil {
				return outcome{}, stillPending(ctx, pending, err)
			}
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

// writeOptions returns the option of a call that writes. It sets seen if the
// client builds the request with it.
func writeOptions(m *internalaws.Mark, seen *bool) func(*awsdynamodb.Options) {
	return func(o *awsdynamodb.Options) {
		o.Retryer = retryer{internalaws.Retryer{Retryer: o.Retryer, Refused: refused}}
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			*seen = true
			return m.Watch(stack)
		})
	}
}

// parallelism is the maximum number of requests that one call sends
// concurrently.
const parallelism = 16

// retryer also sends a write again that was refused as one of too many, whatever
// the code: the SDK knows only some codes.
type retryer struct{ internalaws.Retryer }

// IsErrorRetryable reports whether the service certainly refused the request
// for now.
func (r retryer) IsErrorRetryable(err error) bool {
	return r.Retryer.IsErrorRetryable(err) || statusOf(err) == http.StatusTooManyRequests && refused(err)
}

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
