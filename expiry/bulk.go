package expiry

import (
	"context"
	"errors"
	"fmt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// batchSize is how many items go to the backend in one call.
const batchSize = 500

// Result is an item or the reason why there is none.
type Result[T any] struct {
	Item Item[T]
	Err  error
}

// GetMany returns one answer per id, in order; an id may be asked for twice.
// The error is that of a context that ended.
func (s *Store[T]) GetMany(ctx context.Context, ids []string) ([]Result[T], error) {
	c := s.begin(ctx, "GetMany", "")
	out := make([]Result[T], len(ids))
	var ask []string
	at := make(map[string]int, len(ids)) // the first place of each id
	for i, id := range ids {
		if _, seen := at[id]; seen {
			continue
		}
		at[id] = i
		if err := model.CheckID(id); err != nil {
			out[i].Err = c.named(id, err)
			continue
		}
		ask = append(ask, id)
	}
	for len(ask) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, c.end(err)
		}
		part := ask[:min(batchSize, len(ask))]
		ask = ask[len(part):]
		c.calls++
		for i, o := range driver.GetMany(ctx, s.b, c.now, driver.Gets(part...)) {
			rec, err := c.checked(part[i], o.Record, o.Err)
			res := &out[at[part[i]]]
			if err == nil {
				res.Item, err = s.open(rec)
			}
			res.Err = c.named(part[i], err)
		}
	}
	for i, id := range ids {
		first := at[id]
		if i == first {
			continue
		}
		if out[i].Err = out[first].Err; out[i].Err == nil {
			out[i].Item, out[i].Err = s.open(out[first].Item.rec.Clone())
		}
	}
	return out, c.end(nil)
}

// OpKind is what one operation of a Bulk does.
type OpKind uint8

// The kinds of bulk operations.
const (
	_ OpKind = iota
	OpCreate
	OpUpdate
	OpUpsert
	OpDelete
)

// Op is one operation of a Bulk. Opts.If is the version for an OpUpdate or
// OpDelete.
type Op[T any] struct {
	Kind  OpKind
	ID    string
	Value T
	Opts  *WriteOptions
}

// BulkResult says what a Bulk did: counts by kind, the items in force, and an
// error for each operation that failed.
type BulkResult[T any] struct {
	Created, Updated, Upserted, Deleted int

	// Results has one entry per operation, in order. The Item of a delete has
	// its ID alone.
	Results []Result[T]
}

// Err joins the errors of the failed operations, each with its index; nil
// where none failed.
func (r *BulkResult[T]) Err() error {
	var all []error
	for i, res := range r.Results {
		if res.Err != nil {
			all = append(all, fmt.Errorf("operation %d: %w", i, res.Err))
		}
	}
	return errors.Join(all...)
}

// Bulk carries out many operations, in no promised order. It is no
// transaction: those that fail leave the others as they are. The error is that
// of a context that ended; the result then has the operations that were
// carried out, and the context's error for the others.
func (s *Store[T]) Bulk(ctx context.Context, ops []Op[T]) (BulkResult[T], error) {
	c := s.begin(ctx, "Bulk", "")
	out := BulkResult[T]{Results: make([]Result[T], len(ops))}
	send := make([]driver.BatchOp, 0, len(ops))
	index := make([]int, 0, len(ops)) // of the operation in ops
	seen := make(map[string]bool, len(ops))
	for i := range ops {
		op, err := s.batchOp(&c, &ops[i])
		if err == nil && seen[ops[i].ID] {
			err = model.NewError(model.ErrInvalid, "an id twice in one bulk", nil)
		}
		if err != nil {
			out.Results[i].Err = c.named(ops[i].ID, err)
			continue
		}
		seen[ops[i].ID] = true
		send, index = append(send, op), append(index, i)
	}
	for len(send) > 0 {
		n := min(batchSize, len(send))
		if err := ctx.Err(); err != nil {
			for _, i := range index {
				out.Results[i].Err = c.named(ops[i].ID, err)
			}
			break
		}
		s.sendBatch(&c, ops, send[:n], index[:n], &out)
		send, index = send[n:], index[n:]
	}
	return out, c.end(ctx.Err())
}

// batchOp checks one operation as its single form would be.
func (s *Store[T]) batchOp(c *call, op *Op[T]) (driver.BatchOp, error) {
	var cond driver.Condition
	switch op.Kind {
	case OpCreate:
		cond = driver.IfAbsent
	case OpUpdate:
		cond = driver.IfPresent
	case OpUpsert:
		cond = driver.IfAny
	case OpDelete:
		var at *Known
		if op.Opts != nil {
			at = op.Opts.IfMatch
		}
		d, err := deleteAt(op.ID, at)
		return driver.BatchOp{Delete: &d}, err
	default:
		return driver.BatchOp{}, model.NewError(model.ErrInvalid, "an operation without a kind", nil)
	}
	w := &driver.Write{}
	err := s.prepare(c, w, cond, op.ID, op.Value, op.Opts)
	if err == nil {
		err = c.checkWrite(w)
	}
	w.Record.Revision = model.NewRevision()
	return driver.BatchOp{Write: w}, err
}

// sendBatch sends one batch and settles each outcome, lost answers included.
func (s *Store[T]) sendBatch(c *call, ops []Op[T], send []driver.BatchOp, index []int, out *BulkResult[T]) {
	c.calls++
	for i, o := range driver.WriteMany(c.ctx, s.b, c.now, send) {
		op, res := &ops[index[i]], &out.Results[index[i]]
		err := classified(o.Err, model.ErrUnknown)
		rec := o.Record
		if errors.Is(err, model.ErrUnknown) {
			if send[i].Write != nil {
				rec, err = c.settleWrite(*send[i].Write, err)
			} else {
				err = c.settleDelete(send[i].Delete, err)
			}
		}
		if err != nil {
			res.Err = c.named(op.ID, err)
			continue
		}
		if op.Kind == OpDelete {
			res.Item = Item[T]{ID: op.ID}
			out.Deleted++
			continue
		}
		rec.Value = send[i].Write.Record.Value
		res.Item = itemOf[T](rec)
		res.Item.Value = op.Value
		switch op.Kind {
		case OpCreate:
			out.Created++
		case OpUpdate:
			out.Updated++
		case OpUpsert:
			out.Upserted++
		}
	}
}
