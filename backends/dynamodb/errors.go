package dynamodb

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// refusals maps the error codes with which DynamoDB refuses a request, before
// it changes anything, to a text. DynamoDB's own messages may quote keys and
// values, so the errors have only the code and this text.
var refusals = map[string]string{
	"ConditionalCheckFailedException":          "a condition failed",
	"TransactionCanceledException":             "the transaction was cancelled",
	"TransactionConflictException":             "other transactions hold the item",
	"ReplicatedWriteConflictException":         "another region is writing the item",
	codeValidation:                             "DynamoDB rejects the request as invalid",
	"SerializationException":                   "DynamoDB cannot parse the request",
	"ResourceNotFoundException":                "the table does not exist",
	"TableNotFoundException":                   "the table does not exist",
	"ResourceInUseException":                   "the table is being created, updated or deleted",
	"TableInUseException":                      "the table is being created, updated or deleted",
	"ProvisionedThroughputExceededException":   "the table is throttled",
	"ThrottlingException":                      "requests are throttled",
	"Throttling":                               "requests are throttled",
	"RequestLimitExceeded":                     "the account is throttled",
	"LimitExceededException":                   "a limit of the account is reached",
	"ItemCollectionSizeLimitExceededException": "the item collection is too large",
	codeDenied:                            "a permission is missing: the package comment has the policy",
	"UnrecognizedClientException":         "the credentials are unknown",
	"InvalidClientTokenId":                "the credentials are unknown",
	"InvalidSignatureException":           "the signature is wrong: check the secret key, the region and the clock",
	"SignatureDoesNotMatch":               "the signature is wrong: check the secret key, the region and the clock",
	"IncompleteSignature":                 "the signature is incomplete",
	"IncompleteSignatureException":        "the signature is incomplete",
	"MissingAuthenticationToken":          "the request has no signature",
	"MissingAuthenticationTokenException": "the request has no signature",
	"ExpiredTokenException":               "the session token has expired",
	"ExpiredToken":                        "the session token has expired",
	"RequestExpired":                      "the clock of this machine is wrong",
	"RequestTimeTooSkewed":                "the clock of this machine is wrong",
	"RequestInTheFuture":                  "the clock of this machine is wrong",
	"AuthFailure":                         "the credentials are not accepted",
	"OptInRequired":                       "the account is not subscribed to DynamoDB",
	"NotAuthorized":                       "a permission is missing",
	"UnknownOperationException":           "the endpoint does not know the operation",
}

const codeDenied = "AccessDeniedException"

// missingTable reports whether the code says that the table does not exist.
func missingTable(code string) bool {
	return code == "ResourceNotFoundException" || code == "TableNotFoundException"
}

// busyTable reports whether the code says that the table is being created,
// updated or deleted.
func busyTable(code string) bool {
	return code == "ResourceInUseException" || code == "TableInUseException"
}

// codeOf returns DynamoDB's code of an error, or empty if DynamoDB did not
// answer.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// statusOf returns the HTTP status of an error, or 0 without an answer.
func statusOf(err error) int {
	var res *smithyhttp.ResponseError
	if errors.As(err, &res) && res.Response != nil && res.Response.Response != nil {
		return res.HTTPStatusCode()
	}
	return 0
}

const (
	// codeUnread is the SDK's code for an answer that has none: that of a proxy.
	codeUnread = "UnknownError"
	// codeInProgress says that the same transaction was received before.
	codeInProgress = "TransactionInProgressException"
)

// refused reports whether DynamoDB certainly refused the request. Besides the
// codes that are known, that is any code of its own with a status of 4xx. A 408
// is about the connection, and a transaction in progress may still succeed.
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
func refused(err error) bool {
	code := codeOf(err)
	if _, known := refusals[code]; known {
		return true
	}
	status := statusOf(err)
	return code != "" && code != codeUnread && code != codeInProgress &&
		status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusRequestTimeout
}

// repeatable reports whether only the same transaction again, with its token,
// tells the outcome: it is in progress, or the text of DynamoDB's refusal was cut.
func repeatable(err error) bool {
	if codeOf(err) == codeInProgress {
		return true
	}
	var (
		op  *smithy.OperationError
		cut *smithy.DeserializationError
		res *awshttp.ResponseError
	)
	return errors.As(err, &op) && op.Operation() == "TransactWriteItems" && errors.As(err, &cut) &&
		errors.As(err, &res) && res.ServiceRequestID() != "" && statusOf(err) == http.StatusBadRequest
}

// refusal returns the error of a request that DynamoDB answered with an error
// code, else nil. It reports whether DynamoDB certainly refused the request:
// then nothing changed.
func (b *Backend) refusal(err error) (certain bool, _ error) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false, nil
	}
	code := api.ErrorCode()
	if !refused(err) {
		return false, model.NewError(model.ErrUnavailable, answerText(err), err)
	}
	why, known := refusals[code]
	switch {
	case missingTable(code):
		why = "the table " + b.table + " does not exist in this region and account: CreateStorage creates it, StoragePlan prints the commands"
	case code == codeValidation:
		return true, validationError(api.ErrorMessage(), err)
	case !known:
		why = "DynamoDB refuses the request"
	}
	return true, model.NewError(model.ErrUnavailable, code+": "+why, err)
}

// answerText describes an answer that is not certainly a refusal.
func answerText(err error) string {
	text := "the server answered with an error"
	if code := codeOf(err); code != "" && code != codeUnread {
		text += ": " + code
	}
	if status := statusOf(err); status != 0 {
		text += " (HTTP " + strconv.Itoa(status) + ")"
	}
	return text
}

const codeValidation = "ValidationException"

// The texts by which DynamoDB tells apart the requests that it rejects with
// ValidationException.
var (
	textsTooLarge = []string{"item size has exceeded", "item size to update has exceeded"}
	textsIndexed  = []string{"attempting to create an index which already exists"}
	textsNoIndex  = []string{"the table does not have the specified index"}
	textsKeys     = []string{"the provided key element does not match the schema", "missing the key ", "type mismatch for key ", "query condition missed key",
		"the required keys was not given"} // the last one is DynamoDB Local's
)

func hasOneOf(text string, parts []string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// validationError returns the error of a request that DynamoDB rejects as
// invalid. The item can be too large because of labels that other nodes
// declare. The table can lack the index or have other keys.
func validationError(message string, err error) error {
	switch {
	case hasOneOf(message, textsTooLarge):
		return model.NewError(model.ErrTooLarge, "the record with its labels exceeds DynamoDB's limit of 400 KB", err)
	case hasOneOf(message, textsNoIndex):
		return model.NewError(model.ErrUnavailable, "ValidationException: the table lacks the index "+indexName+": CreateStorage adds it, StoragePlan prints the commands", err)
	case hasOneOf(message, textsKeys):
		return model.NewError(model.ErrUnavailable, "ValidationException: the table's key schema is not "+attrPK+" and "+attrSK+": StoragePlan prints the commands for a table that fits", err)
	}
	return model.NewError(model.ErrUnavailable, "ValidationException: "+refusals[codeValidation]+"; the SDK's error, which this one wraps, has the reason", err)
}

// cancelledError returns the error of a transaction that DynamoDB cancelled for
// another reason than a condition, else nil. An invalid item counts before all
// other reasons, and else the first one.
func cancelledError(err error) error {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return nil
	}
	first := ""
	for _, r := range reasonsOf(cancelled) {
		switch code := aws.ToString(r.Code); {
		case code == "", code == "None":
		case code == codeInvalidItem:
			return validationError(aws.ToString(r.Message), err)
		case first == "":
			first = code
		}
	}
	if first == "" {
		return nil
	}
	return model.NewError(model.ErrUnavailable, "TransactionCanceledException: "+first, err)
}

// codeInvalidItem is the reason of a transaction that can never succeed.
const codeInvalidItem = "ValidationError"

// reasonsOf returns why a transaction was cancelled, one reason for each item.
// Some servers of this protocol have them only in the message, as a list of
// codes: "… specific reasons [None, TransactionConflict]".
func reasonsOf(cancelled *types.TransactionCanceledException) []types.CancellationReason {
	if len(cancelled.CancellationReasons) > 0 {
		return cancelled.CancellationReasons
	}
	_, list, _ := strings.Cut(cancelled.ErrorMessage(), "[")
	list, _, ok := strings.Cut(list, "]")
	if !ok {
		return nil
	}
	var reasons []types.CancellationReason
	for code := range strings.SplitSeq(list, ",") {
		reasons = append(reasons, types.CancellationReason{Code: aws.String(strings.TrimSpace(code))})
	}
	return reasons
}

// readError returns the error of a read: ErrUnavailable, or the context's own
// error if the context ended the call.
func (b *Backend) readError(ctx context.Context, err error) error {
	if _, answered := b.refusal(err); answered != nil {
		return answered
	}
	if end := ctx.Err(); end != nil && driverkit.IsContext(err) {
		return end
	}
	return model.NewError(model.ErrUnavailable, reason(err), driverkit.WithContext(ctx, err))
}

// writeError returns the error of a write. It is ErrUnknown if the request may
// have left the process, unless DynamoDB certainly refused it.
func (b *Backend) writeError(ctx context.Context, err error, sent bool) error {
	certain, refusal := b.refusal(err)
	switch {
	case certain:
		return refusal
	case sent && refusal != nil:
		return model.NewError(model.ErrUnknown, answerText(err), driverkit.WithContext(ctx, err))
	case sent:
		return model.NewError(model.ErrUnknown, reason(err), driverkit.WithContext(ctx, err))
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return model.NewError(model.ErrUnavailable, "nothing was sent: "+reason(err), err)
}

// outcome says how DynamoDB answered a write that it did not carry out. It is
// zero for a write that succeeded.
type outcome struct {
	failed bool       // the condition failed
	item   attributes // the stored item if the condition failed; nil if there is none
	busy   bool       // another transaction or throttling was in the way
}

// outcomeOf returns the outcome of a write that returned err. In a transaction
// the record is the first item.
func outcomeOf(err error) outcome {
	var condition *types.ConditionalCheckFailedException
	if errors.As(err, &condition) {
		return outcome{failed: true, item: condition.Item}
	}
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		code := codeOf(err)
		return outcome{busy: code == "TransactionConflictException" || code == "ReplicatedWriteConflictException" || repeatable(err)}
	}
	var out outcome
	invalid := false
	for i, r := range reasonsOf(cancelled) {
		switch aws.ToString(r.Code) {
		case "ConditionalCheckFailed":
			// Without the reasons proper, the stored item is not known.
			if i == 0 && len(cancelled.CancellationReasons) > 0 {
				return outcome{failed: true, item: r.Item}
			}
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded":
			out.busy = true
		case codeInvalidItem:
			invalid = true
		}
	}
	out.busy = out.busy && !invalid
	return out
}

// storageError returns the error of a change to the table, with the server's
// text: that names the table, a permission or a limit, and never a record. The
// SDK may send such a change again, since it is idempotent.
func (b *Backend) storageError(ctx context.Context, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && refused(err) && api.ErrorMessage() != "" && !missingTable(api.ErrorCode()) {
		return model.NewError(model.ErrUnavailable, "DynamoDB refuses to change the table "+b.table+": "+api.ErrorCode()+": "+api.ErrorMessage(), err)
	}
	return b.writeError(ctx, err, !driverkit.IsDial(err))
}

// reason says why a request got no answer, and what to do. It names hosts, but
// quotes no text of the client's: that may have a secret.
func reason(err error) string {
	var (
		failed *smithyhttp.RequestSendError
		bad    *smithy.DeserializationError
		late   net.Error
	)
	if why := driverkit.DialReason(err); why != "" {
		return "cannot connect: " + why + "; check the region, the endpoint and the network"
	}
	switch {
	case errors.As(err, &late) && late.Timeout(), driverkit.IsContext(err):
		return "the server did not answer in time"
	case errors.As(err, &bad):
		text := "the answer is not DynamoDB's"
		if status := statusOf(err); status != 0 {
			text += " (HTTP " + strconv.Itoa(status) + ")"
		}
		return text + ": check the endpoint, and proxies before it"
	case errors.As(err, &failed):
		return "the connection broke before the answer"
	}
	return "the client could not make the request: check its credentials and region"
}
