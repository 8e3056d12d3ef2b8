package expiry

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/sojourn-go/sojourn/model"
)

// Result is an item or the reason why there is none.
type Result[T any] struct {
	Item Item[T]
	Err  error
}

// GetMany returns one answer per id, in order; an id may be asked for twice.
// The error is for a call that could not be made at all.
//
//   - R80: One answer per id, in order, each with its own error.
func (s *Store[T]) GetMany(ctx context.Context, ids []string) ([]Result[T], error) {
	out := make([]Result[T], len(ids))
	for i, id := range ids {
		c := s.begin(ctx, "GetMany", id)
		it, err := s.get(&c, id)
		out[i] = Result[T]{Item: it, Err: c.end(err)}
		if err := ctx.Err(); err != nil {
			c.id = ""
			return nil, c.end(err)
		}
	}
	return out, nil
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

// Bulk carries out many operations. It is no transaction: those that fail
// leave the others as they are. The error is for a context that ended; the
// result then has the operations that were carried out, and its error for the
// others.
//
//   - R81: Counts by kind, an error for each failed operation by index; the
//     others stand, and only those have a new revision.
//   - R82: An id that was named before in the same call is ErrInvalid.
func (s *Store[T]) Bulk(ctx context.Context, ops []Op[T]) (BulkResult[T], error) {
	out := BulkResult[T]{Results: make([]Result[T], len(ops))}
	seen := make(map[string]bool, len(ops))
	for i, op := range ops {
		res := &out.Results[i]
		if seen[op.ID] {
			c := s.begin(ctx, "Bulk", op.ID)
			res.Err = c.end(model.Fault(model.ErrInvalid, "an id twice in one bulk", nil))
			continue
		}
		seen[op.ID] = true
		switch op.Kind {
		case OpCreate:
			out.Created += done(res, func() (Item[T], error) { return s.put(ctx, "Bulk", model.Absent, op.ID, op.Value, op.Opts) })
		case OpUpdate:
			out.Updated += done(res, func() (Item[T], error) { return s.put(ctx, "Bulk", model.Live, op.ID, op.Value, op.Opts) })
		case OpUpsert:
			out.Upserted += done(res, func() (Item[T], error) { return s.put(ctx, "Bulk", model.Always, op.ID, op.Value, op.Opts) })
		case OpDelete:
			out.Deleted += done(res, func() (Item[T], error) { return s.bulkDelete(ctx, op) })
		default:
			c := s.begin(ctx, "Bulk", op.ID)
			res.Err = c.end(model.Fault(model.ErrInvalid, "an operation without a kind", nil))
		}
	}
	if err := ctx.Err(); err != nil {
		c := s.begin(ctx, "Bulk", "")
		return out, c.end(err)
	}
	return out, nil
}

func done[T any](res *Result[T], do func() (Item[T], error)) int {
	res.Item, res.Err = do()
	if res.Err != nil {
		return 0
	}
	return 1
}

func (s *Store[T]) bulkDelete(ctx context.Context, op Op[T]) (Item[T], error) {
	c := s.begin(ctx, "Bulk", op.ID)
	var opts *DeleteOptions
	if op.Opts != nil {
		opts = &DeleteOptions{If: op.Opts.If}
	}
	err := s.deleteWith(&c, op.ID, opts)
	return Item[T]{ID: op.ID}, c.end(err)
}

// Reindex gives every live record the labels that the function derives from
// it, by compare-and-set, and returns how many it changed. Use it after
// declaring a label that existing records lack. Records that cannot be read
// are left; their errors are joined and returned at the end.
//
//   - R83: Records are found by their new labels, keep value and expiry, and
//     those whose labels are right already are not written.
func (s *Store[T]) Reindex(ctx context.Context, labels func(Item[T]) map[string]string) (int, error) {
	const op = "Reindex"
	if labels == nil {
		c := s.begin(ctx, op, "")
		return 0, c.end(model.Fault(model.ErrInvalid, "no function to derive the labels", nil))
	}
	changed := 0
	var failed []error
	for it, err := range s.All(ctx, nil) {
		if errors.Is(err, model.ErrCorrupt) {
			failed = append(failed, err)
			continue
		}
		if err != nil {
			return changed, errors.Join(append(failed, err)...)
		}
		did, err := s.relabel(ctx, op, it, labels)
		if err != nil {
			failed = append(failed, err)
		}
		if did {
			changed++
		}
	}
	return changed, errors.Join(failed...)
}

// relabel gives one record its labels. One that is gone meanwhile needs none.
func (s *Store[T]) relabel(ctx context.Context, op string, it Item[T], labels func(Item[T]) map[string]string) (bool, error) {
	c := s.begin(ctx, op, it.ID)
	var err error
	for attempt := range c.f.attempts {
		want := labels(it)
		if maps.Equal(want, it.rec.Labels) {
			return false, c.end(nil)
		}
		rec := it.rec
		rec.Labels = want
		w := Write{Record: rec, Cond: model.Match, Prev: it.rec, KeepExpiry: true}
		if _, err = c.write(&w); err == nil {
			return true, c.end(nil)
		}
		if !errors.Is(err, model.ErrConflict) {
			break
		}
		if err = c.pause(attempt); err != nil {
			break
		}
		if it, err = s.get(&c, it.ID); err != nil {
			break
		}
	}
	if errors.Is(err, model.ErrNotFound) {
		err = nil
	}
	return false, c.end(err)
}
