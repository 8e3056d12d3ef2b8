package mongo

import (
	"context"
	"errors"
	"strconv"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	mongoerrors "go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Why a stored record is corrupt.
const (
	whyForeign = "what is stored there is no whole record"
	whyNewer   = "it has a newer format than this version can read"
)

func corrupt(why string) error { return model.NewError(model.ErrCorrupt, why, nil) }

// Codes of the server that mean more than that it refused.
const (
	codeBadValue       = 2
	codeUnauthorized   = 13
	codeNamespaceTaken = 48
	codeTooLarge       = 10334
)

// refusals are the codes with which a server refuses a command, or one of its
// statements, before it changes anything. Their texts may quote a value, so
// that only the code and these words go into messages.
var refusals = map[int]string{
	codeBadValue:     "the server refuses the command's form",
	9:                "the server refuses the command's form",
	codeUnauthorized: "the user lacks a permission",
	14:               "the server refuses the command's form",
	18:               "the server refuses the credentials",
	20:               "the server does not allow the operation here",
	26:               "there is no such collection",
	52:               "the server refuses the name of a field",
	57:               "the server refuses the name of a field",
	59:               "the server does not know the command",
	67:               "the server cannot make the index",
	72:               "the server refuses an option",
	85:               "there is an index with other options",
	86:               "there is another index of that name",
	112:              "the server met a conflict between writes",
	115:              "the server does not support the command",
	121:              "the collection's validator refuses the document",
	166:              "the collection is a view",
	238:              "the server does not have the operation",
	8000:             "the service refuses the command",
	11000:            "another index of the collection wants unique values",
	14031:            "the server is out of disk space",
	codeTooLarge:     "the document is over the server's limit",
	17280:            "the server refuses an index key",
}

// stateCodes say that the server is no primary; they are a refusal unless the
// driver may have sent the write before.
var stateCodes = map[int]string{
	10107: "the server is not the primary",
	13435: "the server is not the primary",
	13436: "the server is not the primary",
}

// Labels that servers and driver put on errors.
const (
	labelNetwork    = "NetworkError"
	labelRetryable  = "RetryableWriteError"
	labelNoWrites   = "NoWritesPerformed"
	labelOverloaded = "SystemOverloadedError"
)

// words name a code.
func words(code int) string {
	s := "code " + strconv.Itoa(code)
	if why, ok := refusals[code]; ok {
		return s + ": " + why
	}
	if why, ok := stateCodes[code]; ok {
		return s + ": " + why
	}
	return s
}

// codeOf is the first code that the server gave; 0 where it gave none.
func codeOf(err error) int {
	for _, code := range mongodriver.ErrorCodes(err) {
		if code != 0 {
			return code
		}
	}
	return 0
}

func hasLabel(err error, label string) bool {
	var l mongodriver.LabeledError
	return errors.As(err, &l) && l.HasErrorLabel(label)
}

// unconcerned reports whether a write was applied, but not by as many nodes as
// were asked for.
func unconcerned(err error) bool {
	var one mongodriver.WriteException
	var many mongodriver.BulkWriteException
	return errors.As(err, &one) && one.WriteConcernError != nil || errors.As(err, &many) && many.WriteConcernError != nil
}

// unsent reports whether the driver failed before it wrote a command to a
// connection. The error of a first try wins over that of a second one, so that
// such an error means that there was no try at all.
func unsent(err error) bool {
	var selection topology.ServerSelectionError
	var wait topology.WaitQueueTimeoutError
	if errors.Is(err, mongodriver.ErrClientDisconnected) || errors.Is(err, topology.ErrServerClosed) ||
		errors.Is(err, topology.ErrPoolClosed) || errors.As(err, &selection) || errors.As(err, &wait) {
		return true
	}
	return cleared(err) || handshake(err) || codeOf(err) == 0 && hasLabel(err, labelOverloaded)
}

// cleared reports whether an operation waited for a connection while that of
// another one broke, which empties the driver's pool.
func cleared(err error) bool {
	var pool mongoerrors.RetryablePoolError
	return errors.As(err, &pool) && pool.Retryable()
}

// handshake reports whether a connection failed before it was used: its error
// is not wrapped in that of a command then.
func handshake(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		switch err.(type) { //nolint:errorlint // the order in the chain is what counts
		case topology.ConnectionError:
			return true
		case mongoerrors.Error:
			return false
		}
	}
	return false
}

// readFault is the error of a read: the context's own where it ended before
// anything was sent, else ErrUnavailable.
func readFault(ctx context.Context, err error) error {
	if code := codeOf(err); code != 0 {
		return model.NewError(model.ErrUnavailable, words(code), err)
	}
	if unsent(err) {
		return unavailable(ctx, err)
	}
	if driverkit.IsContext(err) && !hasLabel(err, labelNetwork) {
		if end := driverkit.Ended(ctx); end != nil {
			return end
		}
	}
	return model.NewError(model.ErrUnavailable, "the answer was lost", driverkit.WithContext(ctx, err))
}

// hintedFault is readFault for a listing, which names its index.
func hintedFault(ctx context.Context, err error) error {
	if codeOf(err) == codeBadValue {
		return model.NewError(model.ErrUnavailable, "an index is missing: CreateStorage makes it", err)
	}
	return readFault(ctx, err)
}

// writeFault is the error of a write. What the server refused and what was not
// sent did not happen; any other error leaves open whether it did.
func writeFault(ctx context.Context, err error) error {
	if unconcerned(err) {
		return model.NewError(model.ErrUnknown, "a majority has not acknowledged it", driverkit.WithContext(ctx, err))
	}
	if code := codeOf(err); code != 0 {
		_, refused := refusals[code]
		if _, state := stateCodes[code]; state {
			// The driver has sent it twice by now if it may, and the first
			// answer may have been lost.
			refused = !hasLabel(err, labelRetryable)
		}
		switch {
		case code == codeTooLarge:
			return model.NewError(model.ErrTooLarge, words(code), err)
		case refused, hasLabel(err, labelNoWrites), unsent(err):
			return model.NewError(model.ErrUnavailable, words(code), err)
		}
		return model.NewError(model.ErrUnknown, words(code), driverkit.WithContext(ctx, err))
	}
	if unsent(err) {
		return unavailable(ctx, err)
	}
	return model.NewError(model.ErrUnknown, "", driverkit.WithContext(ctx, err))
}

// unavailable is the error of what was not sent.
func unavailable(ctx context.Context, err error) error {
	if end := driverkit.Ended(ctx); end != nil {
		return end
	}
	var wait topology.WaitQueueTimeoutError
	switch {
	case errors.Is(err, mongodriver.ErrClientDisconnected), errors.Is(err, topology.ErrServerClosed), errors.Is(err, topology.ErrPoolClosed):
		return model.NewError(model.ErrUnavailable, "the MongoDB client is disconnected", err)
	case errors.As(err, &wait):
		return model.NewError(model.ErrUnavailable, "no free connection", err)
	}
	return model.NewError(model.ErrUnavailable, "cannot reach a server that may serve", err)
}

// taken reports whether a write met a document with its id: a duplicate key,
// and not in an index that somebody else has made.
func taken(err error) bool {
	if !mongodriver.IsDuplicateKeyError(err) {
		return false
	}
	var server mongodriver.ServerError
	return errors.As(err, &server) && (server.HasErrorMessage(" index: _id_ ") || !server.HasErrorMessage(" index: "))
}
