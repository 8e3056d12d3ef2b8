package s3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/model"
)

// refusals are the codes with which S3 refuses a request before it changes
// anything. Its own messages may quote keys and access key ids, so the code and
// these words alone go into messages. MinIO's SlowDownWrite is not among them:
// it stands for a quorum that was missed, after some drives were written.
var refusals = map[string]string{
	codeCondition:                        "a condition failed",
	codeConflict:                         "other requests hold the object",
	codeAborted:                          "other requests hold the object",
	codeNoKey:                            "there is no such object",
	codeNoBucket:                         "there is no such bucket",
	"SlowDown":                           "requests are throttled",
	"RequestLimitExceeded":               "requests are throttled",
	"TooManyRequests":                    "requests are throttled",
	"Throttling":                         "requests are throttled",
	"ThrottlingException":                "requests are throttled",
	codeDenied:                           "a permission is missing: the package comment has the policy",
	"AllAccessDisabled":                  "access to the bucket is disabled",
	"AccountProblem":                     "the account has a problem",
	"NotSignedUp":                        "the account has no subscription to the service",
	"InvalidAccessKeyId":                 "the credentials are unknown",
	"SignatureDoesNotMatch":              "the signature is wrong: check the secret key and the region",
	"AuthorizationHeaderMalformed":       "the signature is wrong: check the region",
	"InvalidToken":                       "the session token is refused",
	"ExpiredToken":                       "the session token has expired",
	"TokenRefreshRequired":               "the session token has expired",
	"RequestExpired":                     "the clock is wrong",
	"RequestTimeTooSkewed":               "the clock is wrong",
	"PermanentRedirect":                  "the bucket is in another region or at another endpoint",
	"IllegalLocationConstraintException": "the bucket is in another region",
	"TemporaryRedirect":                  "the bucket is being moved",
	"InvalidRequest":                     "the service finds the request invalid",
	"InvalidArgument":                    "the service finds the request invalid",
	"InvalidBucketName":                  "the service finds the bucket's name invalid",
	"KeyTooLongError":                    "the service finds the key too long",
	"EntityTooLarge":                     "the value is too large for the service",
	"BadDigest":                          "the request was damaged on its way",
	"XAmzContentSHA256Mismatch":          "the request was damaged on its way",
	"MissingContentLength":               "the service wants a length",
	"InvalidObjectState":                 "the object was archived by a lifecycle rule",
	"InvalidRange":                       "the object is empty",
	"MethodNotAllowed":                   "the service does not allow the operation",
	codeNotImplemented:                   "the service does not know the operation",
	"BucketAlreadyExists":                "another account has a bucket of that name",
	codeOwned:                            "the bucket is there",
	"TooManyBuckets":                     "the account may have no more buckets",
	"QuotaExceeded":                      "the bucket's quota is used up",
	"XMinioStorageFull":                  "the server's storage is full",
}

const (
	codeCondition      = "PreconditionFailed"
	codeConflict       = "ConditionalRequestConflict"
	codeAborted        = "OperationAborted"
	codeNoKey          = "NoSuchKey"
	codeNoBucket       = "NoSuchBucket"
	codeDenied         = "AccessDenied"
	codeNotImplemented = "NotImplemented"
	codeOwned          = "BucketAlreadyOwnedByYou"
	codeEmpty          = "InvalidRange"
)

// codeOf is the service's code of an error; empty where it did not answer. An
// answer without a body has the code that its status stands for.
func codeOf(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	code := api.ErrorCode()
	if _, known := refusals[code]; known {
		return code
	}
	var res *smithyhttp.ResponseError
	if errors.As(err, &res) {
		switch res.HTTPStatusCode() {
		case http.StatusPreconditionFailed:
			return codeCondition
		case http.StatusConflict:
			return codeConflict
		case http.StatusRequestedRangeNotSatisfiable:
			return codeEmpty
		}
	}
	return code
}

// refusal is the error of a request that the service answered with one, and
// whether it surely refused it: nothing was changed then.
func (b *Backend) refusal(err error) (sure bool, fault error) {
	code := codeOf(err)
	if code == "" {
		return false, nil
	}
	why, known := refusals[code]
	switch {
	case !known:
		return false, model.Fault(model.ErrUnavailable, "the service answered with an error", err)
	case code == codeNoBucket:
		why = "there is no bucket " + b.bucket + " for this account and endpoint: CreateStorage makes it, StoragePlan says how else"
	case code == "EntityTooLarge":
		return true, model.Fault(model.ErrTooLarge, why, err)
	}
	return true, model.Fault(model.ErrUnavailable, code+": "+why, err)
}

// mark notes how far a request came.
type mark struct {
	handed atomic.Bool // to the HTTP client
	asked  atomic.Bool // the client asked for a connection
	got    atomic.Bool // it has one, so that bytes may have left
}

// unsent reports whether surely nothing left this process. An HTTP client of
// another make does not tell of connections; its dial errors do.
func (m *mark) unsent(err error) bool {
	return !m.handed.Load() || m.asked.Load() && !m.got.Load() || isDial(err)
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// readFault is the error of a read, or of an index entry, without which nothing
// is written: the context's own where it ended, else ErrUnavailable.
func (b *Backend) readFault(ctx context.Context, err error) error {
	if _, fault := b.refusal(err); fault != nil {
		return fault
	}
	if end := ctx.Err(); end != nil && isContext(err) {
		return end
	}
	if isDial(err) {
		return model.Fault(model.ErrUnavailable, "cannot connect", err)
	}
	return model.Fault(model.ErrUnavailable, "no answer", withContext(ctx, err))
}

// writeFault is the error of a write. What the service refused and what was not
// sent did not happen; any other error leaves open whether it did.
func (b *Backend) writeFault(ctx context.Context, err error, m *mark) error {
	if sure, fault := b.refusal(err); sure {
		return fault
	}
	if !m.unsent(err) {
		return model.Fault(model.ErrUnknown, "", withContext(ctx, err))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isDial(err):
		return model.Fault(model.ErrUnavailable, "cannot connect", err)
	}
	return model.Fault(model.ErrUnavailable, "nothing was sent: check the client's credentials, region and endpoint", err)
}

// withContext adds the context's error where the context has ended. A deadline
// that a connection was given may pass a moment before the context notices.
func withContext(ctx context.Context, err error) error {
	end := ctx.Err()
	if at, ok := ctx.Deadline(); end == nil && ok && time.Until(at) <= 0 {
		end = context.DeadlineExceeded
	}
	if end != nil && !errors.Is(err, end) {
		return errors.Join(end, err)
	}
	return err
}

// writeRetryer lets the SDK send a write again only after the service has
// refused it for now: throttled, or signed by a clock that the SDK has just
// corrected. Never after a broken connection, a timeout or a server's error,
// which leave open whether the write was applied.
type writeRetryer struct{ aws.Retryer }

// IsErrorRetryable reports whether the service surely refused the request and
// the client's own retryer would send it again.
func (r writeRetryer) IsErrorRetryable(err error) bool {
	_, refused := refusals[codeOf(err)]
	return refused && r.Retryer.IsErrorRetryable(err)
}

// GetAttemptToken is the client's own, which limits the rate in adaptive mode.
func (r writeRetryer) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	if v2, ok := r.Retryer.(aws.RetryerV2); ok {
		return v2.GetAttemptToken(ctx)
	}
	return r.GetInitialToken(), nil
}

// contended is the error of a write that others kept getting ahead of.
func contended() error {
	return model.Fault(model.ErrUnavailable, "others keep changing the record", nil)
}
