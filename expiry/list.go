package expiry

import (
	"context"
	"errors"
	"iter"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// Listing is one page of a store's records.
type Listing[T any] struct {
	Items []Item[T]
	// Failed has an error for each stored record that could not be read:
	// a *model.Error with its id that matches ErrCorrupt.
	Failed []error
	Next   string // for ListOptions.After; empty at the end
}

// Page returns a page of live records. Only an empty Next is the end: a page
// may have fewer items than asked for, or none. Next stays valid as long as the
// storage exists. A record that is live throughout the listing appears exactly
// once, whatever is written meanwhile.
func (s *Store[T]) Page(ctx context.Context, opts *ListOptions) (Listing[T], error) {
	c := s.begin(ctx, "Page", "")
	l, err := s.page(&c, opts)
	return l, c.end(err)
}

func (s *Store[T]) page(c *call, opts *ListOptions) (Listing[T], error) {
	q, err := c.query(opts)
	if err != nil {
		return Listing[T]{}, err
	}
	p, err := c.page(q)
	if err != nil {
		return Listing[T]{}, err
	}
	l := Listing[T]{Items: make([]Item[T], 0, len(p.Records)), Next: p.Next}
	for _, id := range p.Corrupt {
		l.Failed = append(l.Failed, c.named(id, model.ErrCorrupt))
	}
	for _, rec := range p.Records {
		if q.KeysOnly {
			l.Items = append(l.Items, itemOf[T](rec))
			continue
		}
		it, err := s.open(rec)
		if err != nil {
			l.Failed = append(l.Failed, c.named(rec.ID, err))
			continue
		}
		l.Items = append(l.Items, it)
	}
	return l, nil
}

// query checks the options of a listing.
func (c *call) query(opts *ListOptions) (driver.Query, error) {
	var o ListOptions
	if opts != nil {
		o = *opts
	}
	q := driver.Query{Label: o.Label, Value: o.Value, After: o.After, Limit: o.PageSize, KeysOnly: o.KeysOnly}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Limit < 0 || q.Limit > maxPage {
		return q, model.NewError(model.ErrInvalid, "PageSize must be 1 to 1000", nil)
	}
	if o.Label == "" && o.Value != "" {
		return q, model.NewError(model.ErrInvalid, "Value needs a Label", nil)
	}
	if o.Label != "" {
		return q, c.checkLabel(o.Label, o.Value)
	}
	return q, nil
}

// page returns one page without expired records.
func (c *call) page(q driver.Query) (driver.Page, error) {
	if err := c.ctx.Err(); err != nil {
		return driver.Page{}, err
	}
	c.calls++
	p, err := c.f.b.Page(c.ctx, c.now, q)
	if err != nil {
		return driver.Page{}, classified(err, model.ErrUnavailable)
	}
	live := p.Records[:0]
	for _, rec := range p.Records {
		if !rec.Expired(c.now) {
			live = append(live, rec)
		}
	}
	p.Records = live
	return p, nil
}

// All yields every live record, page by page. A record that cannot be read is
// yielded as an Item with its ID and an error that matches ErrCorrupt, and the
// listing goes on. Any other error ends it. No further page is read after the
// caller stops.
func (s *Store[T]) All(ctx context.Context, opts *ListOptions) iter.Seq2[Item[T], error] {
	return func(yield func(Item[T], error) bool) {
		var o ListOptions
		if opts != nil {
			o = *opts
		}
		for {
			c := s.begin(ctx, "All", "")
			l, err := s.page(&c, &o)
			if err = c.end(err); err != nil {
				yield(Item[T]{}, err)
				return
			}
			for _, failed := range l.Failed {
				var e *model.Error
				errors.As(failed, &e)
				if !yield(Item[T]{ID: e.ID}, failed) {
					return
				}
			}
			for _, it := range l.Items {
				if !yield(it, nil) {
					return
				}
			}
			if l.Next == "" {
				return
			}
			o.After = l.Next
		}
	}
}

// Count returns the number of live records, swept or not. With a label in opts
// it counts only those that bear it.
func (s *Store[T]) Count(ctx context.Context, opts *ListOptions) (int, error) {
	c := s.begin(ctx, "Count", "")
	q, err := c.query(opts)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, c.end(err)
	}
	c.calls++
	n, err := driver.Count(ctx, s.b, c.now, driver.Query{Label: q.Label, Value: q.Value})
	return n, c.end(classified(err, model.ErrUnavailable))
}

// DeleteByLabel removes every live record with that label value. It lists and
// removes until a listing is empty, so that no record that bore the label when
// the call began survives it. It returns ErrConflict if other writers keep
// adding records for StoreOptions.Attempts rounds. If a record with the label
// cannot be read, it returns ErrCorrupt after it has removed the others. The
// count is that of the records that this call removed, with an error too.
func (s *Store[T]) DeleteByLabel(ctx context.Context, label, value string) (int, error) {
	c := s.begin(ctx, "DeleteByLabel", "")
	n, err := c.deleteByLabel(label, value)
	return n, c.end(err)
}

func (c *call) deleteByLabel(label, value string) (int, error) {
	if label == "" {
		return 0, model.NewError(model.ErrInvalid, "the label is empty", nil)
	}
	if err := c.checkLabel(label, value); err != nil {
		return 0, err
	}
	removed := 0
	for range c.f.attempts {
		r, err := c.deleteRound(driver.Query{Label: label, Value: value, Limit: defaultPage, KeysOnly: true})
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
		c.later()
	}
	return removed, model.NewError(model.ErrConflict, "other writers keep writing records with this label", nil)
}

// round is the result of one listing of a DeleteByLabel.
type round struct {
	removed, seen int
	corrupt       string // a record that cannot be read
}

// deleteRound lists once and deletes the records of each page.
func (c *call) deleteRound(q driver.Query) (r round, err error) {
	for {
		p, err := c.page(q)
		if err != nil {
			return r, err
		}
		r.seen += len(p.Records)
		if len(p.Corrupt) > 0 {
			r.corrupt = p.Corrupt[0]
		}
		for _, rec := range p.Records {
			err := c.remove(driver.Delete{ID: rec.ID, Cond: driver.IfMatch, Known: rec})
			switch {
			case err == nil:
				r.removed++
			case errors.Is(err, model.ErrConflict), errors.Is(err, model.ErrNotFound):
			default:
				return r, err
			}
		}
		if p.Next == "" {
			return r, nil
		}
		q.After = p.Next
	}
}
