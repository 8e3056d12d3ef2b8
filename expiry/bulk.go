package expiry

import (
	"cmp"
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
	var ask []string                       // as the backend knows them
	var of []int                           // the places of their ids
	seen := make(map[string]int, len(ids)) // the first place of each id
	for i, id := range ids {
		if _, again := seen[id]; again {
			continue
		}
		seen[id] = i
		err := model.CheckID(id)
		id = s.storedID(id)
		if err != nil {
			out[i].Err = c.named(id, err)
			continue
		}
		ask, of = append(ask, id), append(of, i)
	}
	for len(ask) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, c.end(err)
		}
		part, places := ask[:min(batchSize, len(ask))], of
		ask, of = ask[len(part):], of[len(part):]
		for i, o := range c.getMany(ctx, part) {
			first := places[i]
			res, err := &out[first], o.Err
			if err == nil {
				res.Item, err = s.open(o.Record)
				res.Item.ID = ids[first]
			}
			res.Err = c.named(part[i], err)
		}
	}
	for i, id := range ids {
		first := seen[id]
		if i == first {
			continue
		}
		if out[i].Err = out[first].Err; out[i].Err == nil {
			out[i].Item, out[i].Err = s.open(out[first].Item.rec.Clone())
			out[i].Item.ID = id
		}
	}
	return out, c.end(nil)
}

// Bulk carries out many operations, in any order. It is not a transaction: an
// operation that fails leaves the others as they are. With ErrUnknown, the item
// of a write has the revision that it would have stored. An id that an earlier
// operation names is ErrInvalid. The error of Bulk itself is that of an ended
// context: the result then has the operations that were carried out, and the
// context's error for the others.
func (s *Store[T]) Bulk(ctx context.Context, ops []Op[T]) (BulkResult[T], error) {
	c := s.begin(ctx, "Bulk", "")
	out := BulkResult[T]{Results: make([]Result[T], len(ops))}
	seen := make(map[string]bool, len(ops))
	for at := 0; at < len(ops); at += batchSize {
		part := ops[at:min(at+batchSize, len(ops))]
		results := out.Results[at : at+len(part)]
		if err := ctx.Err(); err != nil {
			for i := range part {
				results[i].Err = c.named(s.storedID(part[i].ID), err)
			}
			continue
		}
		s.bulkPart(&c, part, seen, results, &out)
	}
	return out, c.end(ctx.Err())
}

// storedID returns the id as the backend knows it.
func (s *Store[T]) storedID(id string) string {
	if s.opts.SecretIDs {
		return SecretID(id)
	}
	return id
}

// bulkOp is an operation of a bulk that can be sent.
type bulkOp[T any] struct {
	kind  OpKind
	id    string // the caller's, or a new one
	value T      // as the hook left it
	batchOp
}

// bulkPart sends the valid operations of one batch and settles each outcome.
func (s *Store[T]) bulkPart(c *call, ops []Op[T], seen map[string]bool, results []Result[T], out *BulkResult[T]) {
	valid := make([]bulkOp[T], 0, len(ops))
	send := make([]batchOp, 0, len(ops))
	index := make([]int, 0, len(ops)) // of the operation in ops
	for i := range ops {
		op := bulkOp[T]{kind: ops[i].Kind, id: ops[i].ID, value: ops[i].Value}
		err := s.bulkOp(c, &op, ops[i].Opts)
		if err == nil && seen[op.id] {
			err = model.NewError(model.ErrInvalid, "an earlier operation of the bulk has the same id", nil)
		}
		if err != nil {
			results[i].Err = s.bulkError(c, op.id, err)
			continue
		}
		seen[op.id] = true
		valid, send, index = append(valid, op), append(send, op.batchOp), append(index, i)
	}
	for k, o := range c.writeMany(send) {
		op, res := &valid[k], &results[index[k]]
		switch res.Err = s.bulkError(c, op.id, o.Err); {
		case o.Err == nil:
			out.count(op.kind)
			res.Item = op.item(o.Record)
		case op.write != nil && errors.Is(o.Err, model.ErrUnknown):
			res.Item.ID, res.Item.Revision = op.id, op.write.Record.Revision
		}
	}
}

// bulkError wraps the error of one operation. That of a hook is unchanged.
func (s *Store[T]) bulkError(c *call, id string, err error) error {
	if own, ok := err.(userError); ok { //nolint:errorlint // never wrapped
		return own.error
	}
	return c.named(s.storedID(id), err)
}

// bulkOp prepares one operation as the method of its kind does.
func (s *Store[T]) bulkOp(c *call, op *bulkOp[T], opts *WriteOptions) error {
	var cond driver.Condition
	switch op.kind {
	case OpCreate:
		cond, op.id = driver.IfAbsent, s.minted(op.id)
	case OpUpdate:
		cond = driver.IfPresent
	case OpUpsert:
		cond, op.id = driver.IfAny, s.minted(op.id)
	case OpDelete:
	default:
		return model.NewError(model.ErrInvalid, "the operation has no kind", nil)
	}
	if err := cmp.Or(s.made(), model.CheckID(op.id)); err != nil {
		return err
	}
	if op.kind == OpDelete {
		var at *Known
		if opts != nil {
			at = opts.IfMatch
		}
		d, err := deleteAt(s.storedID(op.id), at)
		op.del = &d
		return err
	}
	op.write = &pending{}
	one := call{f: c.f, ctx: c.ctx, op: c.op, id: s.storedID(op.id)}
	return s.prepare(&one, op.write, cond, op.id, &op.value, opts)
}

// item returns the item of an operation that succeeded.
func (op *bulkOp[T]) item(rec model.Record) Item[T] {
	if op.del != nil {
		return Item[T]{ID: op.id}
	}
	rec.Value = op.write.Record.Value
	it := itemOf[T](rec)
	it.ID, it.Value = op.id, op.value
	return it
}
