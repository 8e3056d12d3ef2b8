package driver

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// BatchResult is the outcome of one item of a batch.
type BatchResult struct {
	Record model.Record
	Err    error
}

// BatchGetter is an optional interface of a backend that reads many records in
// few round trips.
type BatchGetter interface {
	// GetMany does Get for each request. The ids are distinct.
	//
	//   - R87: There is one result per request, in order, each as Get would
	//     return it. What the server left undone is requested again and is
	//     never ErrNotFound.
	GetMany(ctx context.Context, now time.Time, gets []Get) []BatchResult
}

// BatchOp is one operation of a batch: either Write or Delete is set. Both or
// none is ErrInvalid.
type BatchOp struct {
	Write  *Write
	Delete *Delete
}

// ID returns the id of the operation's record.
func (o BatchOp) ID() string {
	switch {
	case o.Write != nil:
		return o.Write.Record.ID
	case o.Delete != nil:
		return o.Delete.ID
	}
	return ""
}

// BatchWriter is an optional interface of a backend that writes many records
// in few round trips.
type BatchWriter interface {
	// WriteMany carries out each operation under its own condition, with the
	// results of Write and Delete, in any order. The ids are distinct. It is
	// not a transaction.
	//
	//   - R88: There is one result per operation, in order. One that fails
	//     leaves the others as they are.
	//   - R89: An operation whose answer was lost is ErrUnknown. One that was
	//     not sent is not.
	WriteMany(ctx context.Context, now time.Time, ops []BatchOp) []BatchResult
}

// GetMany reads many records with the backend's BatchGetter, or one by one.
func GetMany(ctx context.Context, b ModelExpirySupport, now time.Time, gets []Get) []BatchResult {
	if g, ok := b.(BatchGetter); ok {
		return g.GetMany(ctx, now, gets)
	}
	out := make([]BatchResult, len(gets))
	for i, g := range gets {
		out[i].Record, out[i].Err = b.Get(ctx, now, g)
	}
	return out
}

// WriteMany carries out many operations with the backend's BatchWriter, or one
// by one. Operations that were not begun when the context ends return its
// error, or ErrInvalid if they are invalid.
func WriteMany(ctx context.Context, b ModelExpirySupport, now time.Time, ops []BatchOp) []BatchResult {
	if w, ok := b.(BatchWriter); ok {
		return w.WriteMany(ctx, now, ops)
	}
	out := make([]BatchResult, len(ops))
	for i, op := range ops {
		if out[i].Err = op.checkOne(); out[i].Err != nil {
			continue
		}
		if op.Write != nil {
			out[i].Record, out[i].Err = b.Write(ctx, now, *op.Write)
		} else {
			out[i].Err = b.Delete(ctx, now, *op.Delete)
		}
	}
	return out
}
