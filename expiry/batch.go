package expiry

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Outcome is what a batch made of one of its items.
type Outcome struct {
	Record model.Record
	Err    error
}

// BatchGetter is an optional interface of a backend that reads many records in
// few round trips.
type BatchGetter interface {
	// GetMany does Get for each id; the ids are distinct.
	//
	//   - R87: One outcome per id, in order, each as Get would answer; what
	//     the server left undone is asked for again and never ErrNotFound.
	GetMany(ctx context.Context, now time.Time, ids []string) []Outcome
}

// Delete is a delete within a batch.
type Delete struct {
	ID   string
	Cond model.Cond
	Prev model.Record
}

// BatchOp is one operation of a batch: a Write or a Delete, the other is nil.
type BatchOp struct {
	Write  *Write
	Delete *Delete
}

// ID returns the id that the operation is about.
func (o BatchOp) ID() string {
	if o.Write != nil {
		return o.Write.ID
	}
	return o.Delete.ID
}

// BatchWriter is an optional interface of a backend that writes many records
// in few round trips.
type BatchWriter interface {
	// WriteMany carries out each operation under its own condition, with the
	// same answers as Write and Delete, and no order among them; the ids are
	// distinct. It is no transaction.
	//
	//   - R88: One outcome per operation, in order; one that fails leaves the
	//     others as they are.
	//   - R89: An operation whose answer was lost is ErrUnknown, and none that
	//     was not sent is.
	WriteMany(ctx context.Context, now time.Time, ops []BatchOp) []Outcome
}

// GetMany reads many records by the backend's BatchGetter, or one by one.
func GetMany(ctx context.Context, b ModelExpirySupport, now time.Time, ids []string) []Outcome {
	if g, ok := b.(BatchGetter); ok {
		return g.GetMany(ctx, now, ids)
	}
	out := make([]Outcome, len(ids))
	for i, id := range ids {
		out[i].Record, out[i].Err = b.Get(ctx, now, id)
	}
	return out
}

// WriteMany carries out many operations by the backend's BatchWriter, or one
// by one. What was not begun when the context ends has the context's error.
func WriteMany(ctx context.Context, b ModelExpirySupport, now time.Time, ops []BatchOp) []Outcome {
	if w, ok := b.(BatchWriter); ok {
		return w.WriteMany(ctx, now, ops)
	}
	out := make([]Outcome, len(ops))
	for i, op := range ops {
		switch err := ctx.Err(); {
		case err != nil:
			out[i].Err = err
		case op.Write != nil:
			out[i].Record, out[i].Err = b.Write(ctx, now, *op.Write)
		default:
			out[i].Err = b.Delete(ctx, now, op.Delete.ID, op.Delete.Cond, op.Delete.Prev)
		}
	}
	return out
}
