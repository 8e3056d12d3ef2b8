package memory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
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
	rec, err := b.store.shard(g.ID).live(now, g.ID)
	return rec.Clone(), err
}

// Stat returns a live record without its value, and the value's size.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return driver.Stat{}, err
	}
	rec, err := b.store.shard(g.ID).live(now, g.ID)
	return driver.Stat{Record: rec.Head(), Size: len(rec.Value)}, err
}

// live returns the live record with the id. It shares memory with the entry.
func (s *shard) live(now time.Time, id string) (model.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.records.m[id]
	if e == nil || e.rec.Expired(now) {
		return model.Record{}, model.ErrNotFound
	}
	return e.rec, nil
}

// Write stores a record under a condition.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	if v := w.Record.Value; !w.ValueOwned || isSliver(v) {
		w.Record.Value = bytes.Clone(v)
	}
	rec, err := b.write(now, &w)
	if err != nil {
		return rec.Clone(), err // the record that won, or none
	}
	// The labels in force may share memory with the entry.
	rec.Value, rec.Labels = nil, maps.Clone(rec.Labels)
	return rec, nil
}

// isSliver reports whether a value keeps far more memory alive than it has
// bytes.
func isSliver(v []byte) bool { return cap(v) > 2*len(v)+1024 }

func (b *Backend) write(now time.Time, w *driver.Write) (rec model.Record, err error) {
	s := b.store.shard(w.Record.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records.m[w.Record.ID]
	if err = w.Judge(now, e.stored()); err != nil {
		if errors.Is(err, model.ErrConflict) {
			rec = e.rec
		}
		return rec, err
	}
	rec = w.Result(e.stored())
	if e == nil {
		e = &entry{}
	}
	s.own(e, &rec, b.gate.Labels())
	s.put(e, &rec)
	return rec, nil
}

// own replaces the texts of a new record by copies, or by those that the shard
// has already: the caller may use the memory behind its own again.
func (s *shard) own(e *entry, rec *model.Record, names []string) {
	if rec.ID == e.rec.ID {
		rec.ID = e.rec.ID
	} else {
		rec.ID = strings.Clone(rec.ID)
	}
	if rec.Encoding == e.rec.Encoding {
		rec.Encoding = e.rec.Encoding
	} else {
		rec.Encoding = strings.Clone(rec.Encoding)
	}
	if sameLabels(e.rec.Labels, rec.Labels) {
		rec.Labels = e.rec.Labels
		return
	}
	labels := make(map[string]string, len(rec.Labels))
	for name, value := range rec.Labels {
		if ser := s.labels.m[labelKey{name, value}]; ser != nil {
			labels[ser.key.name] = ser.key.value
		} else {
			i, _ := slices.BinarySearch(names, name) // the gate accepts only declared names
			labels[names[i]] = strings.Clone(value)
		}
	}
	rec.Labels = labels
}

// Delete removes a live record under a condition.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	s := b.store.shard(d.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.records.m[d.ID]
	if err := driver.Judge(now, e.stored(), d.Cond, d.Known.Revision); err != nil {
		return err
	}
	s.drop(e)
	return nil
}
