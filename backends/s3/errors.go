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
// anything, with the text for the error. Every other code with a status from 400
// to 499 is a refusal too, except 408. S3's own messages may quote keys and
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
	codeUnavailable:                      "the server cannot handle requests now",
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
	"InvalidObjectState":                 "a lifecycle rule has archived the object: restore it and exclude the store from the rule",
	"NoSuchAccessPoint":                  "the access point does not exist for this account and region",
	"UnauthorizedAccess":                 "the credentials are not accepted in this region",
	codeEmpty:                            "the object is empty",
	codeNotAllowed:                       "the server does not allow the operation",
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
	codeUnavailable    = "ServiceUnavailable"
	codeTimeout        = "RequestTimeout"
	codeNotAllowed     = "MethodNotAllowed"
)

// kmsPrefix begins the codes with which the key service refuses a request.
const kmsPrefix = "KMS."

// throttles are the codes of a server that has too much to do. It applied
// nothing, so a write may be sent again. The SDK's comment on types.Error, which
// lists S3's codes, says of ServiceUnavailable "Service is unable to handle
// request", and of InternalError nothing of the kind.
var throttles = map[string]bool{"SlowDown": true, "RequestLimitExceeded": true, codeTooMany: true, "Throttling": true, "ThrottlingException": true, codeUnavailable: true}

// whyRefused returns the text for a code with which S3 refuses a request, and
// whether it is one.
func whyRefused(code string) (why string, refused bool) {
	if strings.HasPrefix(code, kmsPrefix) {
		return "the encryption key cannot be used: enable it and grant kms:Decrypt and kms:GenerateDataKey", true
	}
	why, refused = refusals[code]
	return why, refused
}

// textOf returns a server's code with what it means, or with other words for a
// code that is not known.
func textOf(code, other string) string {
	why, known := whyRefused(code)
	if !known {
		why = other
	}
	return safeCode(code) + ": " + why
}

// safeCode returns a code for a text. A server that is not S3 may put anything
// there.
func safeCode(code string) string {
	ok := code != "" && len(code) <= 64
	for i := 0; ok && i < len(code); i++ {
		c := code[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return "an unusual code"
	}
	return code
}

// statusOf returns the status of the answer in an error, or zero.
func statusOf(err error) int {
	var res *smithyhttp.ResponseError
	if errors.As(err, &res) && res.Response != nil {
		return res.HTTPStatusCode()
	}
	return 0
}

// codeOf returns the server's code in an error. It returns "" if the server did
// not answer, or if what answered is not of S3.
func codeOf(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	code := api.ErrorCode()
	if _, known := whyRefused(code); known {
		return code
	}
	switch statusOf(err) {
	case http.StatusPreconditionFailed:
		return codePrecondition
	case http.StatusConflict:
		return codeConflict
	case http.StatusRequestedRangeNotSatisfiable:
		return codeEmpty
	}
	return code
}

// isRefused reports whether the server certainly refused the request and changed
// nothing.
func isRefused(err error) bool {
	code := codeOf(err)
	if code == "" || code == codeTimeout {
		return false
	}
	if _, known := whyRefused(code); known {
		return true
	}
	status := statusOf(err)
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout
}

// isThrottled reports whether the server refused the request because of its load.
func isThrottled(err error) bool {
	return throttles[codeOf(err)] || isRefused(err) && statusOf(err) == http.StatusTooManyRequests
}

// refusal returns the error for a request that the server answered with an
// error, or nil if it did not answer. Certain reports that the server refused
// the request and changed nothing.
func (b *Backend) refusal(err error) (certain bool, answered error) {
	code := codeOf(err)
	if code == "" {
		return false, nil
	}
	why := textOf(code, "the server refuses the request")
	switch {
	case !isRefused(err):
		return false, model.NewError(model.ErrUnavailable, safeCode(code)+": the server has failed", err)
	case code == codeNoBucket:
		why = "the bucket " + b.bucket + " does not exist for this account and endpoint: call CreateStorage, or create it as StoragePlan says"
	case code == codeDenied && b.opts.BucketOwner != "":
		why += "; or the bucket is not owned by Options.BucketOwner"
	case code == codeTooLarge:
		return true, model.NewError(model.ErrTooLarge, why, err)
	}
	return true, model.NewError(model.ErrUnavailable, why, err)
}

// noConnection returns a text for a request that got no answer because there is
// no server of S3 where the client looks for one, or nothing.
func (b *Backend) noConnection(err error) string {
	var unsigned unsignedError
	if errors.As(err, &unsigned) {
		return unsigned.Error()
	}
	if why := driverkit.DialReason(err); why != "" {
		return "cannot connect to " + b.server() + ": " + why + "; check the endpoint and the region"
	}
	return ""
}

// noRequest is the text for a request that the client did not begin to send.
const noRequest = "nothing was sent: the client has no usable credentials, region or endpoint; check AWS_ACCESS_KEY_ID, the profile or the machine's role"

// readError returns the error of a read, or nil. It also serves for an index
// entry, whose failure ends the write before the record.
func (b *Backend) readError(ctx context.Context, err error, m *internalaws.Mark) error {
	if err == nil {
		return nil
	}
	if _, answered := b.refusal(err); answered != nil {
		return answered
	}
	if ctx.Err() == nil {
		if text := b.noConnection(err); text != "" {
			return model.NewError(model.ErrUnavailable, text, err)
		}
		if m != nil && !m.Handed.Load() {
			return model.NewError(model.ErrUnavailable, noRequest, err)
		}
	}
	return driverkit.ReadError(ctx, err)
}

// writeError returns the error of a write. It is ErrUnknown unless the server
// refused the request or nothing was sent.
func (b *Backend) writeError(ctx context.Context, err error, m *internalaws.Mark) error {
	certain, answered := b.refusal(err)
	sent := !m.Unsent(err)
	switch {
	case certain:
		return answered
	case answered != nil && sent:
		return model.NewError(model.ErrUnknown, safeCode(codeOf(err))+": the server has failed", driverkit.WithContext(ctx, err))
	case ctx.Err() != nil:
		return driverkit.WriteError(ctx, err, sent, "")
	}
	text := b.noConnection(err)
	switch {
	case sent && text != "":
		return model.NewError(model.ErrUnknown, text, driverkit.WithContext(ctx, err))
	case text != "":
		return model.NewError(model.ErrUnavailable, text, err)
	case !sent && !m.Handed.Load():
		return model.NewError(model.ErrUnavailable, noRequest, err)
	}
	return driverkit.WriteError(ctx, err, sent, "check the client's credentials, region and endpoint")
}

// oneObject tells refusals of one object from those of all. The zero value is
// for the reads of one call.
type oneObject struct{ asked, others bool }

// refused reports whether the server refused to read one object and would read
// others: this one is archived, or has an encryption key that cannot be used. It
// reads a name that no record has, once, to tell that from a missing permission.
func (o *oneObject) refused(ctx context.Context, b *Backend, err error) bool {
	if !isRefused(err) || isThrottled(err) || errors.Is(err, errNoBucket) {
		return false
	}
	if !o.asked {
		_, err := b.get(ctx, recordKey("none-"+newStamp().String()), 0, nil)
		o.asked, o.others = true, err == nil
	}
	return o.others
}
