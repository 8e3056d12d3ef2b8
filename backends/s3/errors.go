package s3

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
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
		return false, model.NewError(model.ErrUnavailable, "the service answered with an error", err)
	case code == codeNoBucket:
		why = "there is no bucket " + b.bucket + " for this account and endpoint: CreateStorage makes it, StoragePlan says how else"
	case code == "EntityTooLarge":
		return true, model.NewError(model.ErrTooLarge, why, err)
	}
	return true, model.NewError(model.ErrUnavailable, code+": "+why, err)
}

// refused reports whether the service surely refused the request.
func refused(err error) bool {
	_, known := refusals[codeOf(err)]
	return known
}

// readFault is the error of a read, or of an index entry, without which nothing
// is written: the context's own where it ended, else ErrUnavailable.
func (b *Backend) readFault(ctx context.Context, err error) error {
	if _, fault := b.refusal(err); fault != nil {
		return fault
	}
	if end := ctx.Err(); end != nil && driverkit.IsContext(err) {
		return end
	}
	if driverkit.IsDial(err) {
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
	}
	return model.NewError(model.ErrUnavailable, "no answer", driverkit.WithContext(ctx, err))
}

// writeFault is the error of a write. What the service refused and what was not
// sent did not happen; any other error leaves open whether it did.
func (b *Backend) writeFault(ctx context.Context, err error, m *internalaws.Mark) error {
	if sure, fault := b.refusal(err); sure {
		return fault
	}
	if !m.Unsent(err) {
		return model.NewError(model.ErrUnknown, "", driverkit.WithContext(ctx, err))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case driverkit.IsDial(err):
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
	}
	return model.NewError(model.ErrUnavailable, "nothing was sent: check the client's credentials, region and endpoint", err)
}

// contended is the error of a write that others kept getting ahead of.
func contended() error {
	return model.NewError(model.ErrUnavailable, "others keep changing the record", nil)
}
