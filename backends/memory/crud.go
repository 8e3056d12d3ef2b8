package memory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// stored returns the record of an entry, which may be nil.
func (e *entry) stored() *model.Record {
	if e == nil {
		return nil
	}
	return &e.rec
}

// Get returns a live record.
func (b *Backend) Get(ctx context.Context, now time.Time, id string) (model.Record, error) {
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	s := b.store.shard(id)
	s.mu.RLock()
	e := s.records[id]
	if e == nil || e.rec.Expired(now) {
		s.mu.RUnlock()
		return model.Record{}, model.ErrNotFound
	}
	rec := e.rec
	s.mu.RUnlock()
	return rec.Clone(), nil
}

// Write stores a record under a condition.
func (b *Backend) Write(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
	if err := expiry.CheckWrite(&w); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	if !w.Owned {
		w.Value = bytes.Clone(w.Value)
	}
	w.Labels = maps.Clone(w.Labels)
	rec, err := b.write(now, &w)
	if err != nil {
		return rec.Clone(), err // the winner, or nothing
	}
	// The labels in force may be those of the entry.
	rec.Value, rec.Labels = nil, maps.Clone(rec.Labels)
	return rec, nil
}

func (b *Backend) write(now time.Time, w *expiry.Write) (rec model.Record, err error) {
	s := b.store.shard(w.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records[w.ID]
	if err = expiry.Judge(now, e.stored(), w.Cond, w.Prev.Rev); err != nil {
		if errors.Is(err, model.ErrConflict) {
			rec = e.rec
		}
		return rec, err
	}
	rec = w.Result(e.stored())
	if e == nil {
		e = &entry{}
	}
	s.put(e, &rec)
	return rec, nil
}

// Delete removes a live record under a condition.
func (b *Backend) Delete(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
	if err := expiry.CheckDelete(c, prev.Rev); err != nil {
		return err
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	s := b.store.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records[id]
	if err := expiry.Judge(now, e.stored(), c, prev.Rev); err != nil {
		return err
	}
	s.drop(e)
	return nil
}
