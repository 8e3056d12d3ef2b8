package mongo

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	mongoerrors "go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Codes of the server that this package handles one by one.
const (
	codeBadValue       = 2
	codeUnauthorized   = 13
	codeIndexMissing   = 27
	codeNamespaceTaken = 48
)

// tooLargeCodes say that a document exceeds the server's limit: as it was sent,
// and as an update would leave it.
var tooLargeCodes = []int{10334, 17419, 17420}

// refusals are the codes with which a server refuses a command, or one of its
// statements, before it changes anything. The server's own text may quote a
// value, so a message has only the code and the text here.
var refusals = map[int]string{
	codeBadValue:     "the server refuses the command's form",
	9:                "the server refuses the command's form",
	codeUnauthorized: "the user lacks a permission",
	14:               "the server refuses the command's form",
	18:               "the server refuses the credentials",
	20:               "the server does not allow the operation here",
	26:               "the collection does not exist",
	52:               "the server refuses the name of a field",
	57:               "the server refuses the name of a field",
	59:               "the server does not know the command",
	67:               "the server cannot create the index",
	72:               "the server refuses an option",
	85:               "the index exists with other options",
	86:               "another index has the same name",
	112:              "the server met a conflict between writes",
	115:              "the server does not support the command",
	121:              "the collection's validator refuses the document",
	166:              "the collection is a view",
	238:              "the server does not implement the operation",
	8000:             "the service refuses the command",
	11000:            "another unique index of the collection refuses the document",
	14031:            "the server is out of disk space",
	10334:            "the document exceeds the server's limit",
	17419:            "the document exceeds the server's limit",
	17420:            "the document exceeds the server's limit",
	11001:            "another unique index of the collection refuses the document",
	12582:            "another unique index of the collection refuses the document",
	61:               "the collection is sharded by another key than _id",
	133:              "a shard has no primary",
	371:              "writes to the cluster are blocked",
	16500:            "the service limits the rate of requests",
	17280:            "the server refuses an index key",
}

// stateCodes say that the server is not the primary. They are a refusal unless
// the driver may have sent the write before.
var stateCodes = map[int]string{
	10107: "the server is not the primary",
	13435: "the server is not the primary",
	13436: "the server is not the primary",
}

// Labels that servers and the driver put on errors.
const (
	labelNetwork    = "NetworkError"
	labelRetryable  = "RetryableWriteError"
	labelNoWrites   = "NoWritesPerformed"
	labelOverloaded = "SystemOverloadedError"
)

// codeText returns the text of a code for a message.
func codeText(code int) string {
	s := "code " + strconv.Itoa(code)
	if why, ok := refusals[code]; ok {
		return s + ": " + why
	}
	if why, ok := stateCodes[code]; ok {
		return s + ": " + why
	}
	return s
}

// codeOf returns the first code that the server sent, or 0.
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

// concernFailed reports whether a write was applied but not acknowledged by a
// majority.
func concernFailed(err error) bool {
	var single mongodriver.WriteException
	var bulk mongodriver.BulkWriteException
	return errors.As(err, &single) && single.WriteConcernError != nil || errors.As(err, &bulk) && bulk.WriteConcernError != nil
}

// unsent reports whether the driver failed before it wrote a command to a
// connection. The driver returns the error of its first attempt rather than
// that of a second, so such an error means that no attempt was sent.
func unsent(err error) bool {
	var selection topology.ServerSelectionError
	var wait topology.WaitQueueTimeoutError
	return disconnected(err) || errors.As(err, &selection) || errors.As(err, &wait) ||
		poolCleared(err) || handshakeFailed(err) || codeOf(err) == 0 && hasLabel(err, labelOverloaded)
}

// disconnected reports whether the client was disconnected before the call.
func disconnected(err error) bool {
	return errors.Is(err, mongodriver.ErrClientDisconnected) || errors.Is(err, topology.ErrServerClosed) || errors.Is(err, topology.ErrPoolClosed)
}

// poolCleared reports whether an operation waited for a connection when
// another operation's connection broke and the driver emptied its pool.
func poolCleared(err error) bool {
	var pool mongoerrors.RetryablePoolError
	return errors.As(err, &pool) && pool.Retryable()
}

// handshakeFailed reports whether a connection failed before its first
// command. Its error is then not wrapped in the error of a command.
func handshakeFailed(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		switch err.(type) { //nolint:errorlint // the order in the chain decides
		case topology.ConnectionError:
			return true
		case mongoerrors.Error:
			return false
		}
	}
	return false
}

// readError returns the error of a read: the context's own if it ended before
// anything was sent, else ErrUnavailable.
func readError(ctx context.Context, err error) error {
	if code := codeOf(err); code != 0 {
		return model.NewError(model.ErrUnavailable, codeText(code), err)
	}
	if unsent(err) {
		return unsentError(ctx, err)
	}
	if driverkit.IsContext(err) && !hasLabel(err, labelNetwork) {
		if end := driverkit.Ended(ctx); end != nil {
			return end
		}
	}
	return model.NewError(model.ErrUnavailable, "the server did not answer", driverkit.WithContext(ctx, err))
}

// listError is readError for a read that names its index.
func listError(ctx context.Context, err error) error {
	if codeOf(err) == codeBadValue {
		return model.NewError(model.ErrUnavailable, "the collection lacks an index: call CreateStorage", err)
	}
	return readError(ctx, err)
}

// writeError returns the error of a write. It is ErrUnknown unless the server
// refused the write or nothing was sent.
func writeError(ctx context.Context, err error) error {
	if concernFailed(err) {
		return model.NewError(model.ErrUnknown, "a majority did not acknowledge the write", driverkit.WithContext(ctx, err))
	}
	code := codeOf(err)
	switch {
	case slices.Contains(tooLargeCodes, code):
		return model.NewError(model.ErrTooLarge, codeText(code), err)
	case errors.Is(err, mongoerrors.ErrDocumentTooLarge): // the driver sends no such document
		return model.NewError(model.ErrTooLarge, refusals[tooLargeCodes[0]], err)
	case code != 0 && (refused(code, err) || unsent(err)):
		return model.NewError(model.ErrUnavailable, codeText(code), err)
	case code != 0:
		return model.NewError(model.ErrUnknown, codeText(code), driverkit.WithContext(ctx, err))
	case unsent(err):
		return unsentError(ctx, err)
	}
	return driverkit.WriteError(ctx, err, true, "")
}

// refused reports whether the server refused a write with that code before it
// changed anything.
func refused(code int, err error) bool {
	if hasLabel(err, labelNoWrites) {
		return true
	}
	if _, ok := stateCodes[code]; ok {
		// If the driver retries this error it has done so, and the first
		// answer may have been lost.
		return !hasLabel(err, labelRetryable)
	}
	_, ok := refusals[code]
	return ok
}

// unsentError returns the error of a command that was not sent.
func unsentError(ctx context.Context, err error) error {
	var selection topology.ServerSelectionError
	chosen := ""
	if errors.As(err, &selection) {
		chosen = selectionReason(&selection)
	}
	if end := driverkit.Ended(ctx); end != nil {
		return driverkit.EndedWhile(end, chosen)
	}
	var wait topology.WaitQueueTimeoutError
	switch {
	case disconnected(err):
		return driverkit.WriteError(ctx, err, false, "the MongoDB client is disconnected")
	case errors.As(err, &wait):
		return driverkit.WriteError(ctx, err, false, "no connection is free")
	}
	return driverkit.WriteError(ctx, err, false, chosen)
}

// selectionReason says why no server could be chosen: what became of the last
// attempt to reach one of them.
func selectionReason(e *topology.ServerSelectionError) string {
	const none = "no suitable server is reachable"
	for i := range e.Desc.Servers {
		s := &e.Desc.Servers[i]
		if s.LastError == nil {
			continue
		}
		if why := driverkit.DialReason(s.LastError); why != "" {
			return none + ": " + why
		}
		var timeout interface{ Timeout() bool }
		switch {
		case errors.Is(s.LastError, io.EOF), errors.Is(s.LastError, syscall.ECONNRESET):
			return none + ": " + s.Addr.String() + " closes the connection: check whether it wants TLS (tls=true)"
		case errors.As(s.LastError, &timeout) && timeout.Timeout():
			return none + ": " + s.Addr.String() + " does not answer"
		}
		return none + ": " + s.Addr.String() + " does not answer as a MongoDB server does"
	}
	if e.Desc.SetName != "" {
		return "the replica set has no primary"
	}
	return none
}

// idExists reports whether a write met a document with its id: a duplicate key
// on _id, not in a unique index that the user created.
func idExists(err error) bool {
	if !mongodriver.IsDuplicateKeyError(err) {
		return false
	}
	// The first index that the text names: the values after it may have any text.
	_, rest, named := strings.Cut(err.Error(), " index: ")
	return !named || strings.HasPrefix(rest, "_id_ ")
}
