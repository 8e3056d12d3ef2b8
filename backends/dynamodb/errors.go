package dynamodb

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

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
	"ValidationException":                      "DynamoDB rejects the request as invalid",
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

// refused reports whether DynamoDB certainly refused the request.
func refused(err error) bool {
	_, known := refusals[codeOf(err)]
	return known
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
	why, known := refusals[code]
	switch {
	case !known:
		return false, model.NewError(model.ErrUnavailable, "the server answered with an error", err)
	case missingTable(code):
		why = "the table " + b.table + " does not exist in this region and account: CreateStorage creates it, StoragePlan prints the commands"
	case code == "ValidationException":
		return true, validationError(api.ErrorMessage(), err)
	}
	return true, model.NewError(model.ErrUnavailable, code+": "+why, err)
}

// validationError returns the error of a request that DynamoDB rejects as
// invalid. The item can be too large because of labels that other nodes
// declare. The table can lack the index or have other keys.
func validationError(message string, err error) error {
	switch lower := strings.ToLower(message); {
	case strings.Contains(lower, "item size"):
		return model.NewError(model.ErrTooLarge, "the record with its labels exceeds DynamoDB's limit of 400 KB", err)
	case strings.Contains(lower, "index"):
		return model.NewError(model.ErrUnavailable, "ValidationException: the table lacks the index "+indexName+": CreateStorage adds it, StoragePlan prints the commands", err)
	case strings.Contains(lower, "key"):
		return model.NewError(model.ErrUnavailable, "ValidationException: the table's key schema is not "+attrPK+" and "+attrSK+": StoragePlan prints the commands for a table that fits", err)
	}
	return model.NewError(model.ErrUnavailable, "ValidationException: "+refusals["ValidationException"], err)
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
	return driverkit.ReadError(ctx, err)
}

// writeError returns the error of a write. It is ErrUnknown if the request may
// have left the process, unless DynamoDB certainly refused it.
func (b *Backend) writeError(ctx context.Context, err error, sent bool) error {
	if certain, refusal := b.refusal(err); certain {
		return refusal
	}
	return driverkit.WriteError(ctx, err, sent, "check the client's credentials, region and endpoint")
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
		return outcome{busy: code == "TransactionConflictException" || code == "ReplicatedWriteConflictException"}
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

// storageError returns the error of a change to the table. The SDK may send
// such a change again, since it is idempotent.
func (b *Backend) storageError(ctx context.Context, err error) error {
	return b.writeError(ctx, err, !driverkit.IsDial(err))
}
