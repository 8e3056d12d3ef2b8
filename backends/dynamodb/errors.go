package dynamodb

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sojourn-go/sojourn/model"
)

// Why a stored item is corrupt.
const (
	whyForeign = "the item stored there is no record"
	whyNewer   = "it has a newer format than this version can read"
)

func corrupt(why string) error { return model.Fault(model.ErrCorrupt, why, nil) }

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
		return false, model.Fault(model.ErrUnavailable, "the service answered with an error", err)
	case missingTable(code):
		why = "there is no table " + b.table + " in this region and account: CreateStorage makes it, StoragePlan says how else"
	case code == "ValidationException":
		return true, validation(api.ErrorMessage(), err)
	}
	return true, model.Fault(model.ErrUnavailable, code+": "+why, err)
}

// validation tells the two ways apart in which a request can be invalid that
// this package has made: by size, which only labels of other nodes can cause,
// and by a table of another make.
func validation(message string, err error) error {
	switch lower := strings.ToLower(message); {
	case strings.Contains(lower, "item size"):
		return model.Fault(model.ErrTooLarge, "the record with its labels is over DynamoDB's 400 KB", err)
	case strings.Contains(lower, "index"):
		return model.Fault(model.ErrUnavailable, "ValidationException: the table lacks the index "+indexName+": CreateStorage makes it, StoragePlan says how else", err)
	case strings.Contains(lower, "key"):
		return model.Fault(model.ErrUnavailable, "ValidationException: the table has another key schema than "+attrPK+" and "+attrSK+": StoragePlan says what is needed", err)
	}
	return model.Fault(model.ErrUnavailable, "ValidationException: "+refusals["ValidationException"], err)
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
	var op *net.OpError
	return !m.handed.Load() || m.asked.Load() && !m.got.Load() || errors.As(err, &op) && op.Op == "dial"
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// readFault is the error of a read: the context's own where it ended, else
// ErrUnavailable.
func (b *Backend) readFault(ctx context.Context, err error) error {
	if _, fault := b.refusal(err); fault != nil {
		return fault
	}
	if end := ctx.Err(); end != nil && isContext(err) {
		return end
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
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
	if m.unsent(err) {
		return b.unsentFault(ctx, err)
	}
	return model.Fault(model.ErrUnknown, "", withContext(ctx, err))
}

// storageFault is the error of a change to the table, which the SDK may send
// again: those are idempotent.
func (b *Backend) storageFault(ctx context.Context, err error) error {
	m := &mark{}
	m.handed.Store(true)
	return b.writeFault(ctx, err, m)
}

// unsentFault is the error of what was not sent.
func (b *Backend) unsentFault(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &op) && op.Op == "dial":
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
				return model.Fault(model.ErrUnavailable, "TransactionCanceledException: "+code, err)
			}
		}
	}
	return nil
}
