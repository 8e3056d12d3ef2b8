package bbolt

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns a live record, in one transaction that only reads.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	id := strings.Clone(g.ID)
	return view(ctx, b, func(s *store) (model.Record, error) { return s.get(s.waited.Now(now), id) })
}

// Write stores a record under a condition, with its index entries in the same
// transaction.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	w = own(w)
	return update(ctx, b, func(s *store) (model.Record, error) { return s.write(s.waited.Now(now), &w) })
}

// Delete removes a live record under a condition, with its index entries in the
// same transaction.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	d.ID = strings.Clone(d.ID)
	_, err := update(ctx, b, func(s *store) (struct{}, error) { return struct{}{}, s.delete(s.waited.Now(now), &d) })
	return err
}

// own copies what a call gives: its transaction may outlive it.
func own(w driver.Write) driver.Write {
	w.Record, w.Encodings = driverkit.Own(w.Record), slices.Clone(w.Encodings)
	return w
}

func (s *store) get(now time.Time, id string) (model.Record, error) {
	rec, err := s.live(now, id)
	if err != nil {
		return model.Record{}, err
	}
	rec.Value = bytes.Clone(rec.Value) // it lies in the file's memory
	return *rec, nil
}

// live returns the live record with the id, or ErrNotFound. Its value is only
// valid during the transaction.
func (s *store) live(now time.Time, id string) (*model.Record, error) {
	cur, err := s.read(id)
	_, err = driverkit.Judge(now, cur, err, driver.IfPresent, model.Revision{})
	return cur, err
}

func (s *store) write(now time.Time, w *driver.Write) (model.Record, error) {
	if w.Cond == driver.IfAny || w.Cond == driver.IfAbsent {
		if err := s.create(); err != nil {
			return model.Record{}, err
		}
	}
	cur, readErr := s.read(w.Record.ID)
	if winner, err := driverkit.JudgeWrite(now, cur, readErr, w); err != nil {
		return winner, err
	}
	if readErr != nil { // an upsert over what cannot be read
		if err := s.purge(w.Record.ID); err != nil {
			return model.Record{}, err
		}
	}
	next := w.Result(cur)
	next.ServerVersion, next.ExpiresAt = "", model.Millis(next.ExpiresAt)
	if err := s.put(cur, &next); err != nil {
		return model.Record{}, err
	}
	return next.Head(), nil
}

func (s *store) delete(now time.Time, d *driver.Delete) error {
	cur, err := s.read(d.ID)
	if _, err = driverkit.Judge(now, cur, err, d.Cond, d.Known.Revision); err != nil {
		return err
	}
	return s.remove(cur)
}
