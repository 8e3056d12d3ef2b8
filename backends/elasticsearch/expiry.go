package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Touch moves the expiry of a live record and sends no value: one _bulk with an
// update of that field where Prev has a hint, else the record's head is read
// first. An extension that changes nothing is one read.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := t.Check(); err != nil {
		return model.Record{}, err
	}
	w := &task{id: t.ID, cond: driver.IfPresent, touch: &t}
	w.begin(now, &t.Known)
	if w.step == send && t.Result(w.cur.ExpiresAt).Equal(w.cur.ExpiresAt) {
		w.step, w.cur = look, nil // whether it is still so
	}
	b.run(ctx, now, []*task{w})
	return w.rec, w.err
}

// sweepStep is how many records one request of a sweep reads at most.
const sweepStep = 500

// DeleteExpired removes due records: one refresh, one search for up to 500 of
// them, the longest expired first, and one _bulk that removes each at the
// version that the search saw. What was written or extended meanwhile has
// another one and stays.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	var swept driver.Swept
	if s.Limit < 1 {
		return swept, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	if err := b.enter(ctx); err != nil {
		return swept, err
	}
	if err := b.refresh(ctx); err != nil {
		return swept, err
	}
	var after []json.RawMessage
	for swept.Removed+swept.Unknown < s.Limit {
		if err := b.enter(ctx); err != nil {
			return swept, err
		}
		size := min(s.Limit-swept.Removed-swept.Unknown, sweepStep)
		hits, err := b.search(ctx, &query{
			filter: []clause{current, dueAt(s.Before)}, sort: []string{fieldExpires, fieldID}, after: after, size: size, head: true,
		})
		if err != nil {
			return swept, err
		}
		if err := b.remove(ctx, b.due(s.Before, hits, s.OnExpire), &swept); err != nil {
			return swept, err
		}
		if len(hits) < size {
			break
		}
		after = hits[len(hits)-1].Sort
	}
	swept.More = swept.Removed+swept.Unknown >= s.Limit
	return swept, nil
}

// due announces what was found, and returns the removals of what may go.
func (b *Backend) due(before time.Time, hits []found, each func(model.Record) error) []action {
	var actions []action
	for i := range hits {
		s := b.stored(&hits[i], true)
		if s.err != nil || !s.rec.Expired(before) || s.at.epoch == "" {
			continue
		}
		if each != nil && each(s.rec) != nil {
			continue
		}
		actions = append(actions, action{verb: "delete", id: s.rec.ID, at: &s.at})
	}
	return actions
}

// remove sends removals and counts them. One whose record is at another version
// by now is none, and no error.
func (b *Backend) remove(ctx context.Context, actions []action, swept *driver.Swept) error {
	if len(actions) == 0 {
		return nil
	}
	var failed error
	for _, r := range b.bulk(ctx, actions) {
		switch {
		case r.ok():
			swept.Removed++
			continue
		case r.conflict():
			continue
		}
		err := b.itemFault(&r)
		unknown := errors.Is(err, model.ErrUnknown)
		if unknown {
			swept.Unknown++
		}
		if failed == nil || unknown && !errors.Is(failed, model.ErrUnknown) {
			failed = err
		}
	}
	return failed
}
