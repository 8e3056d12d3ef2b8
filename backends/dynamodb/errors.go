package dynamodb

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// Why a stored item is corrupt.
const (
	whyForeign = "the item stored there is no record"
	whyNewer   = "it has a newer format than this version can read"
)

func corrupt(why string) error { return model.NewError(model.ErrCorrupt, why, nil) }

// refusals are the codes with which DynamoDB refuses a request before it
// changes anything. Its own messages may quote keys and values, so the code and
// these words alone go into messages.
var refusals = map[string]string{
	"ConditionalCheckFailedException":          "a condition failed",
	"TransactionCanceledException":             "the transaction was cancelled",
	"TransactionConflictException":             "other transactions hold the item",
	"ReplicatedWriteConflictException":         "another region is writing the item",
	"ValidationException":                      "the service finds the request invalid",
	"SerializationException":                   "the service cannot read the request",
	"ResourceNotFoundException":                "there is no such table",
	"TableNotFoundException":                   "there is no such table",
	"ResourceInUseException":                   "the table is being made, changed or deleted",
	"TableInUseException":                      "the table is being made, changed or deleted",
	"ProvisionedThroughputExceededException":   "the table is throttled",
	"ThrottlingException":                      "requests are throttled",
	"Throttling":                               "requests are throttled",
	"RequestLimitExceeded":                     "the account is throttled",
	"LimitExceededException":                   "a limit of the account is reached",
	"ItemCollectionSizeLimitExceededException": "the item collection is too large",
	"AccessDeniedException":                    "a permission is missing: the package comment has the policy",
	"UnrecognizedClientException":              "the credentials are unknown",
	"InvalidClientTokenId":                     "the credentials are unknown",
	"InvalidSignatureException":                "the signature is wrong: check the secret key, the region and the clock",
	"SignatureDoesNotMatch":                    "the signature is wrong: check the secret key, the region and the clock",
	"IncompleteSignature":                      "the signature is incomplete",
	"IncompleteSignatureException":             "the signature is incomplete",
	"MissingAuthenticationToken":               "the request has no signature",
	"MissingAuthenticationTokenException":      "the request has no signature",
	"ExpiredTokenException":                    "the session token has expired",
	"ExpiredToken":                             "the session token has expired",
	"RequestExpired":                           "the clock is wrong",
	"RequestTimeTooSkewed":                     "the clock is wrong",
	"RequestInTheFuture":                       "the clock is wrong",
	"AuthFailure":                              "the credentials are refused",
	"OptInRequired":                            "the account has no subscription to the service",
	"NotAuthorized":                            "a permission is missing",
	"UnknownOperationException":                "the service does not know the operation",
}

// missingTable are the codes of a table that is not there.
func missingTable(code string) bool {
	return code == "ResourceNotFoundException" || code == "TableNotFoundException"
}

// busyTable are the codes of a table that is being changed.
func busyTable(code string) bool {
	return code == "ResourceInUseException" || code == "TableInUseException"
}

// codeOf is the service's code of an error; empty where it did not answer.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// refusal is the error of a request that the service answered with one, and
// whether it surely refused it: nothing was changed then.
func (b *Backend) refusal(err error) (sure bool, fault error) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false, nil
	}
	code := api.ErrorCode()
	why, known := refusals[code]
	switch {
	case !known:
		return false, model.NewError(model.ErrUnavailable, "the service answered with an error", err)
	case missingTable(code):
		why = "there is no table " + b.table + " in this region and account: CreateStorage makes it, StoragePlan says how else"
	case code == "ValidationException":
		return true, validation(api.ErrorMessage(), err)
	}
	return true, model.NewError(model.ErrUnavailable, code+": "+why, err)
}

// validation tells the two ways apart in which a request can be invalid that
// this package has made: by size, which only labels of other nodes can cause,
// and by a table of another make.
func validation(message string, err error) error {
	switch lower := strings.ToLower(message); {
	case strings.Contains(lower, "item size"):
		return model.NewError(model.ErrTooLarge, "the record with its labels is over DynamoDB's 400 KB", err)
	case strings.Contains(lower, "index"):
		return model.NewError(model.ErrUnavailable, "ValidationException: the table lacks the index "+indexName+": CreateStorage makes it, StoragePlan says how else", err)
	case strings.Contains(lower, "key"):
		return model.NewError(model.ErrUnavailable, "ValidationException: the table has another key schema than "+attrPK+" and "+attrSK+": StoragePlan says what is needed", err)
	}
	return model.NewError(model.ErrUnavailable, "ValidationException: "+refusals["ValidationException"], err)
}

// refused reports whether the service surely refused the request.
func refused(err error) bool {
	_, known := refusals[codeOf(err)]
	return known
}

// readFault is the error of a read: the context's own where it ended, else
// ErrUnavailable.
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
	if m.Unsent(err) {
		return b.unsentFault(ctx, err)
	}
	return model.NewError(model.ErrUnknown, "", driverkit.WithContext(ctx, err))
}

// storageFault is the error of a change to the table, which the SDK may send
// again: those are idempotent.
func (b *Backend) storageFault(ctx context.Context, err error) error {
	m := &internalaws.Mark{}
	m.Handed.Store(true)
	return b.writeFault(ctx, err, m)
}

// unsentFault is the error of what was not sent.
func (b *Backend) unsentFault(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case driverkit.IsDial(err):
		return model.NewError(model.ErrUnavailable, "cannot connect", err)
	}
	return model.NewError(model.ErrUnavailable, "nothing was sent: check the client's credentials, region and endpoint", err)
}

// verdict is what a refused write says of the record.
type verdict struct {
	failed bool       // the condition failed
	old    attributes // what is stored; nil: nothing
	again  bool       // other transactions or throttling: nothing to do with the record
}

// verdictOf reads the refusal of a write, single or transaction. The record is
// the transaction's first item.
func verdictOf(err error) verdict {
	var cond *types.ConditionalCheckFailedException
	if errors.As(err, &cond) {
		return verdict{failed: true, old: cond.Item}
	}
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		return cancelledVerdict(cancelled.CancellationReasons)
	}
	code := codeOf(err)
	return verdict{again: code == "TransactionConflictException" || code == "ReplicatedWriteConflictException"}
}

func cancelledVerdict(reasons []types.CancellationReason) verdict {
	var v verdict
	for i, r := range reasons {
		switch aws.ToString(r.Code) {
		case "ConditionalCheckFailed":
			if i == 0 {
				return verdict{failed: true, old: r.Item}
			}
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			v.again = true
		}
	}
	return v
}

// cancelFault is the error of a transaction that was cancelled for another
// reason than its condition: the first that the service gives.
func (b *Backend) cancelFault(err error) error {
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		for _, r := range cancelled.CancellationReasons {
			switch code := aws.ToString(r.Code); code {
			case "", "None":
			case "ValidationError":
				return validation(aws.ToString(r.Message), err)
			default:
				return model.NewError(model.ErrUnavailable, "TransactionCanceledException: "+code, err)
			}
		}
	}
	return nil
}
