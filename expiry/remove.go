package expiry

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// DeleteByLabel removes every live record with that label value. It lists and
// removes until a listing is empty, so that no record that bore the label when
// the call began survives it. It returns ErrConflict if other writers keep
// adding records for StoreOptions.Attempts rounds. If a record with the label
// cannot be read, it returns ErrCorrupt after it has removed the others. The
// count is that of the records that this call removed, with an error too. If the
// outcome of one removal is unknown, the error is ErrUnknown, however others failed.
func (s *Store[T]) DeleteByLabel(ctx context.Context, label, value string) (int, error) {
	c := s.begin(ctx, "DeleteByLabel", "")
	if label == "" {
		return 0, c.end(model.NewError(model.ErrInvalid, "the label is empty", nil))
	}
	if err := c.checkLabel(label, value); err != nil {
		return 0, c.end(err)
	}
	n, err := c.removeAll(driver.Query{Label: label, Value: value})
	return n, c.end(err)
}

// DeleteAll removes every live record, as DeleteByLabel does for those with a
// label, page by page. It needs no right to drop storage, and after an error
// another call goes on. Expired records are left to DeleteExpired.
func (s *Store[T]) DeleteAll(ctx context.Context) (int, error) {
	c := s.begin(ctx, "DeleteAll", "")
	n, err := c.removeAll(driver.Query{})
	return n, c.end(err)
}

// removeAll removes the records of a listing until the listing is empty.
func (c *call) removeAll(q driver.Query) (int, error) {
	q.Limit, q.KeysOnly = defaultPage, true
	removed := 0
	// The listing that finds nothing does not count.
	for failed := 0; ; failed++ {
		r, err := c.removeRound(q)
		removed += r.removed
		if err != nil {
			return removed, err
		}
		if r.seen == 0 {
			if r.corrupt != "" {
				c.id, err = r.corrupt, model.ErrCorrupt
			}
			return removed, err
		}
		if failed >= c.f.attempts {
			return removed, model.NewError(model.ErrConflict, "other writers keep writing records of this listing", nil)
		}
	}
}

// round is the result of one listing of a removal.
type round struct {
	removed, seen int
	corrupt       string // a record that cannot be read
}

// removeRound lists once and deletes the records of each page.
func (c *call) removeRound(q driver.Query) (r round, err error) {
	for {
		p, err := c.page(q)
		if err != nil {
			return r, err
		}
		r.seen += len(p.Records)
		if len(p.Corrupt) > 0 {
			r.corrupt = p.Corrupt[0]
		}
		for rest := p.Records; len(rest) > 0; {
			part := rest[:min(c.removals(), len(rest))]
			rest = rest[len(part):]
			if err := c.removePart(part, &r); err != nil {
				return r, err
			}
		}
		if p.Next == "" {
			return r, nil
		}
		q.After = p.Next
	}
}

// removalBatch is how many records are deleted at a time. A backend that fails
// has been sent no more of them.
const removalBatch = 50

// removals returns how many records are deleted at a time: one, if the backend
// would delete them one by one in any case.
func (c *call) removals() int {
	if _, batched := c.f.b.(driver.BatchWriter); !batched {
		return 1
	}
	return removalBatch
}

// removePart deletes records, at their revisions, and adds the outcomes to the
// round. It returns the first error that ends the removal, and ErrUnknown before
// all others: it alone says that a removal may have been applied.
func (c *call) removePart(part []model.Record, r *round) (end error) {
	list := make([]batchOp, len(part))
	for i := range part {
		list[i].del = &driver.Delete{ID: part[i].ID, Cond: driver.IfMatch, Known: part[i]}
	}
	for i, o := range c.writeMany(list) {
		c.note(o.Err)
		switch {
		case o.Err == nil:
			r.removed++
		case errors.Is(o.Err, model.ErrConflict), errors.Is(o.Err, model.ErrNotFound):
		case errors.Is(o.Err, model.ErrCorrupt): // the listing did not need to read it
			r.seen--
			r.corrupt = part[i].ID
		case end == nil, errors.Is(o.Err, model.ErrUnknown) && !errors.Is(end, model.ErrUnknown):
			end = o.Err
		}
	}
	return end
}
