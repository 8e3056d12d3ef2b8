package s3

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// refusals are the codes with which S3 refuses a request before it changes
// anything, with the text for the error. S3's own messages may quote keys and
// access key ids, so they are left out. MinIO's SlowDownWrite is not a refusal:
// it means that some drives were written and the quorum was missed.
var refusals = map[string]string{
	codePrecondition:                     "a precondition failed",
	codeConflict:                         "other requests are writing the object",
	codeAborted:                          "other requests are writing the object",
	codeNoKey:                            "the object does not exist",
	codeNoBucket:                         "the bucket does not exist",
	"SlowDown":                           "the server limits the rate of requests",
	"RequestLimitExceeded":               "the server limits the rate of requests",
	codeTooMany:                          "the server limits the rate of requests",
	"Throttling":                         "the server limits the rate of requests",
	"ThrottlingException":                "the server limits the rate of requests",
	codeDenied:                           "a permission is missing: see the policy in the comment of package s3",
	"AllAccessDisabled":                  "access to the bucket is disabled",
	"AccountProblem":                     "the account is suspended or has a problem",
	"NotSignedUp":                        "the account is not signed up for the service",
	"InvalidAccessKeyId":                 "the credentials are unknown",
	"SignatureDoesNotMatch":              "the signature is wrong: check the secret key and the region",
	"AuthorizationHeaderMalformed":       "the signature is wrong: check the region",
	"InvalidToken":                       "the session token is invalid",
	"ExpiredToken":                       "the session token has expired",
	"TokenRefreshRequired":               "the session token has expired",
	"RequestExpired":                     "the clock is wrong",
	"RequestTimeTooSkewed":               "the clock is wrong",
	"PermanentRedirect":                  "the bucket is in another region or at another endpoint",
	"IllegalLocationConstraintException": "the bucket is in another region",
	"TemporaryRedirect":                  "the bucket is being moved",
	"InvalidRequest":                     "the server reports an invalid request",
	"InvalidArgument":                    "the server reports an invalid request",
	"InvalidBucketName":                  "the server reports an invalid bucket name",
	"KeyTooLongError":                    "the server reports a key that is too long",
	codeTooLarge:                         "the value is too large for the server",
	"BadDigest":                          "the request was damaged in transit",
	"XAmzContentSHA256Mismatch":          "the request was damaged in transit",
	"MissingContentLength":               "the server requires a content length",
	"InvalidObjectState":                 "a lifecycle rule has archived the object",
	codeEmpty:                            "the object is empty",
	"MethodNotAllowed":                   "the server does not allow the operation",
	codeNotImplemented:                   "the server does not have the operation",
	"BucketAlreadyExists":                "another account owns the bucket",
	codeOwned:                            "the bucket already exists",
	"TooManyBuckets":                     "the account has reached its limit of buckets",
	"QuotaExceeded":                      "the bucket's quota is used up",
	"XMinioStorageFull":                  "the server's storage is full",
}

const (
	codePrecondition   = "PreconditionFailed"
	codeConflict       = "ConditionalRequestConflict"
	codeAborted        = "OperationAborted"
	codeNoKey          = "NoSuchKey"
	codeNoBucket       = "NoSuchBucket"
	codeDenied         = "AccessDenied"
	codeNotImplemented = "NotImplemented"
	codeOwned          = "BucketAlreadyOwnedByYou"
	codeEmpty          = "InvalidRange"
	codeTooLarge       = "EntityTooLarge"
	codeTooMany        = "TooManyRequests"
)

// kmsPrefix begins the codes with which the key service refuses a request.
const kmsPrefix = "KMS."

// whyRefused returns the text for a code with which S3 refuses a request, and
// whether it is one.
func whyRefused(code string) (why string, refused bool) {
	if strings.HasPrefix(code, kmsPrefix) {
		return "the bucket's encryption key cannot be used", true
	}
	why, refused = refusals[code]
	return why, refused
}

// codeOf returns the server's code in an error, or the code that the status
// implies if the answer has no body. It returns "" if the server did not answer.
func codeOf(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	code := api.ErrorCode()
	if _, known := whyRefused(code); known {
		return code
	}
	var res *smithyhttp.ResponseError
	if errors.As(err, &res) {
		switch res.HTTPStatusCode() {
		case http.StatusPreconditionFailed:
			return codePrecondition
		case http.StatusConflict:
			return codeConflict
		case http.StatusRequestedRangeNotSatisfiable:
			return codeEmpty
		case http.StatusTooManyRequests:
			return codeTooMany
		}
	}
	return code
}

// refusal returns the error for a request that the server answered with an
// error, or nil if it did not answer. Certain reports that the server refused
// the request and changed nothing.
func (b *Backend) refusal(err error) (certain bool, answered error) {
	code := codeOf(err)
	if code == "" {
		return false, nil
	}
	why, known := whyRefused(code)
	switch {
	case !known:
		return false, model.NewError(model.ErrUnavailable, "the server answered with an error", err)
	case code == codeNoBucket:
		why = "the bucket " + b.bucket + " does not exist for this account and endpoint: call CreateStorage, or create it as StoragePlan says"
	case code == codeTooLarge:
		return true, model.NewError(model.ErrTooLarge, why, err)
	}
	return true, model.NewError(model.ErrUnavailable, code+": "+why, err)
}

// isRefused reports whether the server certainly refused the request.
func isRefused(err error) bool {
	_, known := whyRefused(codeOf(err))
	return known
}

// readError returns the error of a read. It also serves for an index entry,
// whose failure ends the write before the record.
func (b *Backend) readError(ctx context.Context, err error) error {
	if _, answered := b.refusal(err); answered != nil {
		return answered
	}
	return driverkit.ReadError(ctx, err)
}

// writeError returns the error of a write. It is ErrUnknown unless the server
// refused the request or nothing was sent.
func (b *Backend) writeError(ctx context.Context, err error, m *internalaws.Mark) error {
	if certain, answered := b.refusal(err); certain {
		return answered
	}
	return driverkit.WriteError(ctx, err, !m.Unsent(err), "check the client's credentials, region and endpoint")
}
