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
	if err := c.enter(c.ctx); err != nil {
		return driver.Page{}, err
	}
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
// listing goes on. Any other error ends it, that of an ended context too, which
// is looked at before each record. No further page is read after the caller
// stops.
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
			more := func(it Item[T], err error) bool {
				if ended := ctx.Err(); ended != nil {
					yield(Item[T]{}, &model.Error{Op: c.op, Backend: c.f.desc.Backend, Err: ended})
					return false
				}
				return yield(it, err)
			}
			for _, failed := range l.Failed {
				var e *model.Error
				errors.As(failed, &e)
				if !more(Item[T]{ID: e.ID}, failed) {
					return
				}
			}
			for _, it := range l.Items {
				if !more(it, nil) {
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
	if err != nil {
		return 0, c.end(err)
	}
	n, err := c.count(driver.Query{Label: q.Label, Value: q.Value})
	return n, c.end(err)
}

// count asks the backend, or lists ids page by page.
func (c *call) count(q driver.Query) (n int, err error) {
	if _, counts := c.f.b.(driver.Counter); counts {
		if err := c.enter(c.ctx); err != nil {
			return 0, err
		}
		n, err = driver.Count(c.ctx, c.f.b, c.now, q)
		return n, classified(err, model.ErrUnavailable)
	}
	q.Limit, q.KeysOnly = maxPage, true
	for {
		p, err := c.page(q)
		if err != nil {
			return 0, err
		}
		n += len(p.Records)
		if q.After = p.Next; p.Next == "" {
			return n, nil
		}
	}
}
