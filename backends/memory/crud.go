package memory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
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
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	s := b.store.shard(g.ID)
	s.mu.RLock()
	e := s.records[g.ID]
	if e == nil || e.rec.Expired(now) {
		s.mu.RUnlock()
		return model.Record{}, model.ErrNotFound
	}
	rec := e.rec
	s.mu.RUnlock()
	return rec.Clone(), nil
}

// Write stores a record under a condition.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	if !w.ValueOwned {
		w.Record.Value = bytes.Clone(w.Record.Value)
	}
	w.Record.Labels = maps.Clone(w.Record.Labels)
	rec, err := b.write(now, &w)
	if err != nil {
		return rec.Clone(), err // the record that won, or none
	}
	// The labels in force may share memory with the entry.
	rec.Value, rec.Labels = nil, maps.Clone(rec.Labels)
	return rec, nil
}

func (b *Backend) write(now time.Time, w *driver.Write) (rec model.Record, err error) {
	s := b.store.shard(w.Record.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records[w.Record.ID]
	if err = driver.Judge(now, e.stored(), w.Cond, w.Known.Revision); err != nil {
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
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	s := b.store.shard(d.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records[d.ID]
	if err := driver.Judge(now, e.stored(), d.Cond, d.Known.Revision); err != nil {
		return err
	}
	s.drop(e)
	return nil
}
