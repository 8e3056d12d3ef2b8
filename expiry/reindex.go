package expiry

import (
	"context"
	"errors"
	"maps"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Reindex gives every live record the labels that the function derives from
// it, by compare-and-set, and returns the number of changed records. Use it
// after declaring a label that existing records lack. It lists all records once
// and writes those whose labels change, in batches. They keep value and expiry.
// Records that cannot be read or written are left, and their errors are joined
// and returned at the end. A nil function means that of Hooks.Labels.
func (s *Store[T]) Reindex(ctx context.Context, labels func(Item[T]) map[string]string) (int, error) {
	c := s.begin(ctx, "Reindex", "")
	if labels == nil && s.hooks.Labels != nil {
		labels = func(it Item[T]) map[string]string { return s.hooks.Labels(&it.Value) }
	}
	if labels == nil {
		return 0, c.end(model.NewError(model.ErrInvalid, "the function that derives labels is nil", nil))
	}
	changed := 0
	var failed []error
	o := ListOptions{PageSize: batchSize}
	for {
		l, err := s.page(&c, &o)
		if err != nil {
			return changed, errors.Join(append(failed, c.end(err))...)
		}
		failed = append(failed, l.Failed...)
		n, errs := s.relabelPage(&c, l.Items, labels)
		changed += n
		failed = append(failed, errs...)
		if o.After = l.Next; l.Next == "" {
			_ = c.end(nil)
			return changed, errors.Join(failed...)
		}
	}
}

// relabelPage writes the items of a page whose labels change, in one batch.
func (s *Store[T]) relabelPage(c *call, items []Item[T], labels func(Item[T]) map[string]string) (changed int, failed []error) {
	var ops []batchOp
	var of []Item[T]
	for _, it := range items {
		if p := relabel(&it.rec, labels(it)); p != nil {
			ops, of = append(ops, batchOp{write: p}), append(of, it)
		}
	}
	for i, o := range c.writeMany(ops) {
		err := o.Err
		did := err == nil
		if errors.Is(err, model.ErrConflict) {
			did, err = s.relabelAgain(c, of[i].ID, labels)
		}
		switch {
		case did:
			c.note(nil)
			changed++
		case err != nil && !errors.Is(err, model.ErrNotFound): // a deleted record needs no labels
			failed = append(failed, c.named(of[i].ID, err))
		}
	}
	return changed, failed
}

// relabel returns the write that gives a record the labels, or nil if it bears
// them already.
func relabel(rec *model.Record, want map[string]string) *pending {
	if maps.Equal(want, rec.Labels) {
		return nil
	}
	p := &pending{
		Write:  driver.Write{Record: *rec, Cond: driver.IfMatch, Known: *rec},
		expiry: Keep(),
	}
	p.Record.Labels = maps.Clone(want) // the function may keep its map
	return p
}

// relabelAgain is the compare-and-set loop for a record that other writers
// change.
func (s *Store[T]) relabelAgain(c *call, id string, labels func(Item[T]) map[string]string) (bool, error) {
	for attempt := range c.f.attempts {
		rec, err := c.get(c.ctx, id)
		if err != nil {
			return false, err
		}
		it, err := s.open(rec)
		if err != nil {
			return false, err
		}
		p := relabel(&it.rec, labels(it))
		if p == nil {
			return false, nil
		}
		if _, err = c.write(p); !errors.Is(err, model.ErrConflict) {
			return err == nil, err
		}
		if err = c.pause(attempt); err != nil {
			return false, err
		}
	}
	return false, model.ErrConflict
}
