package expiry

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// batchSize is how many items go to the backend in one call.
const batchSize = 500

// GetMany returns one result per id, in order, each with its own error. An id
// may appear twice. The error of GetMany itself is that of an ended context.
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

// Bulk carries out many operations, in any order. It is not a transaction: an
// operation that fails leaves the others as they are. An id that an earlier
// operation names is ErrInvalid. The error of Bulk itself is that of an ended
// context: the result then has the operations that were carried out, and the
// context's error for the others.
func (s *Store[T]) Bulk(ctx context.Context, ops []Op[T]) (BulkResult[T], error) {
	c := s.begin(ctx, "Bulk", "")
	out := BulkResult[T]{Results: make([]Result[T], len(ops))}
	send := make([]driver.BatchOp, 0, len(ops))
	index := make([]int, 0, len(ops)) // of the operation in ops
	seen := make(map[string]bool, len(ops))
	for i := range ops {
		op, err := s.batchOp(&c, &ops[i])
		if err == nil && seen[ops[i].ID] {
			err = model.NewError(model.ErrInvalid, "an earlier operation of the bulk has the same id", nil)
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

// batchOp checks one operation as the method of its kind does.
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
		return driver.BatchOp{}, model.NewError(model.ErrInvalid, "the operation has no kind", nil)
	}
	w := &driver.Write{}
	err := s.prepare(c, w, cond, op.ID, op.Value, op.Opts)
	if err == nil {
		err = c.checkWrite(w)
	}
	w.Record.Revision = model.NewRevision()
	return driver.BatchOp{Write: w}, err
}

// sendBatch sends one batch and settles each outcome, also of lost answers.
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
