package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// Map is the data, a map behind a mutex; any number of backends share it.
type Map struct {
	mu      sync.Mutex
	records map[string]model.Record
}

// MapBackend is the least that a backend can be. Every rule that needs a
// decision is decided by package expiry.
type MapBackend struct {
	*Map
	closed bool
}

var _ expiry.ModelExpirySupport = (*MapBackend)(nil)

// NewMap returns an empty map.
func NewMap() *Map { return &Map{records: map[string]model.Record{}} }

// locked runs do under the lock, unless the context has ended or the backend is closed.
func (b *MapBackend) locked(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return model.ErrClosed
	}
	return do()
}

// judged runs do with what is stored under the id, once the condition holds.
func (b *MapBackend) judged(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Revision, do func(cur *model.Record)) (winner model.Record, err error) {
	err = b.locked(ctx, func() error {
		var cur *model.Record
		if r, ok := b.records[id]; ok {
			cur = &r
		}
		err := expiry.Judge(now, cur, c, prev)
		if err == nil {
			do(cur)
		} else if errors.Is(err, model.ErrConflict) {
			winner = cur.Clone()
		}
		return err
	})
	return winner, err
}

func (b *MapBackend) Get(ctx context.Context, now time.Time, id string) (rec model.Record, err error) {
	_, err = b.judged(ctx, now, id, model.Live, model.Revision{}, func(cur *model.Record) { rec = cur.Clone() })
	return rec, err
}

func (b *MapBackend) Write(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
	if err := expiry.CheckWrite(&w); err != nil {
		return model.Record{}, err
	}
	var next model.Record
	winner, err := b.judged(ctx, now, w.ID, w.Cond, w.Prev.Rev, func(cur *model.Record) {
		next = w.Result(cur)
		b.records[w.ID] = next.Clone()
	})
	if err != nil {
		return winner, err
	}
	return next.Head(), nil
}

func (b *MapBackend) Touch(ctx context.Context, now time.Time, t expiry.Touch) (rec model.Record, err error) {
	if err := expiry.CheckTouch(&t); err != nil {
		return rec, err
	}
	_, err = b.judged(ctx, now, t.ID, model.Live, model.Revision{}, func(cur *model.Record) {
		cur.ExpiresAt = t.Result(cur.ExpiresAt)
		b.records[t.ID] = *cur
		rec = cur.Head()
	})
	return rec, err
}

func (b *MapBackend) Delete(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
	if err := expiry.CheckDelete(c, prev.Rev); err != nil {
		return err
	}
	_, err := b.judged(ctx, now, id, c, prev.Rev, func(*model.Record) { delete(b.records, id) })
	return err
}

func (b *MapBackend) Page(ctx context.Context, now time.Time, q expiry.Query) (p expiry.Page, err error) {
	err = b.locked(ctx, func() (err error) {
		p, err = expiry.SortedPage(b.Describe(), now, q, maps.Values(b.records))
		return err
	})
	return p, err
}

func (b *MapBackend) DeleteExpired(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (s expiry.Swept, err error) {
	var due []model.Record
	err = b.locked(ctx, func() error {
		for _, r := range b.records {
			if r.Expired(before) {
				due = append(due, r.Head())
			}
		}
		return nil
	})
	for _, r := range due {
		if s.More = s.Removed == limit; s.More || err != nil {
			break
		}
		if each != nil && each(r) != nil {
			continue
		}
		err = b.locked(ctx, func() error {
			if cur, ok := b.records[r.ID]; ok && cur.Rev == r.Rev && cur.Expired(before) {
				delete(b.records, r.ID)
				s.Removed++
			}
			return nil
		})
	}
	return s, err
}

func (b *MapBackend) Describe() expiry.Description {
	return expiry.Description{Backend: "map", Labels: []string{"principal"}}
}

func (b *MapBackend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
