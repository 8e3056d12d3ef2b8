package sqlite

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record with the id, by one SELECT.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	id := strings.Clone(g.ID)
	return run(ctx, b, false, now, func(ctx context.Context, c conn, now time.Time) (model.Record, error) {
		rec, err := b.stored(ctx, c, id)
		if err == nil && rec.Expired(now) {
			return model.Record{}, model.ErrNotFound
		}
		return rec, err
	})
}

// stored returns the record with the id, live or expired.
func (b *Backend) stored(ctx context.Context, c conn, id string) (rec model.Record, err error) {
	err = model.ErrNotFound
	s := stmt{"SELECT " + whole + " FROM " + b.name + " WHERE id = ?", []any{[]byte(id)}}
	if failed := rows(ctx, c, s, func(_ string, r model.Record, e error) bool { rec, err = r, e; return true }); failed != nil {
		return model.Record{}, failed
	}
	return rec, err
}

// write changes one record if its condition holds.
type write struct {
	id        string
	statement func(now time.Time) stmt
	// judge says why the statement changed nothing, given the stored record or the
	// error of reading it. A record without an error is the result. None means that
	// the condition holds: another connection has changed the record meanwhile.
	judge func(now time.Time, cur *model.Record, err error) (model.Record, error)
}

// attempts bounds how often a write is sent that changes nothing each time,
// because of another connection at the same moment.
const attempts = 8

// on carries out the write and returns the record that it left. It reads the
// record only if the statement has changed nothing.
func (w *write) on(ctx context.Context, b *Backend, c conn, now time.Time) (model.Record, error) {
	for range attempts {
		var left *model.Record
		var bad error
		err := rows(ctx, c, w.statement(now), func(_ string, rec model.Record, e error) bool { left, bad = &rec, e; return true })
		switch {
		case err != nil:
			return model.Record{}, err
		case left != nil:
			return *left, bad
		}
		cur, err := b.stored(ctx, c, w.id)
		if rec, err := w.judge(now, &cur, err); err != nil || rec.ID != "" {
			return rec, err
		}
	}
	return model.Record{}, driverkit.Contended()
}

// apply carries out one write.
func (b *Backend) apply(ctx context.Context, now time.Time, w write) (model.Record, error) {
	return run(ctx, b, true, now, func(ctx context.Context, c conn, now time.Time) (model.Record, error) { return w.on(ctx, b, c, now) })
}

// live adds the condition that a live record can be read, at the revision if cond
// asks for it.
func (s *stmt) live(id string, now time.Time, cond driver.Condition, known model.Revision) {
	s.add(" WHERE id = ? AND (exp IS NULL OR exp > ?) AND "+readable, []byte(id), now.UnixMilli())
	if cond == driver.IfMatch {
		s.add(" AND rev = ?", known[:])
	}
}

// Write stores the record under its condition, by one statement. A second one
// reads why the condition does not hold.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.apply(ctx, now, b.put(w))
}

// put returns the write of a request, with memory of its own.
func (b *Backend) put(w driver.Write) write {
	r := driverkit.Own(w.Record)
	w.Record, w.Encodings = r, slices.Clone(w.Encodings)
	if r.Value == nil {
		r.Value = []byte{} // nil would be NULL
	}
	return write{r.ID, func(now time.Time) (s stmt) {
		if w.Cond == driver.IfAny || w.Cond == driver.IfAbsent {
			s.add("INSERT INTO "+b.name+" ("+whole+") VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "+
				"format = 1, rev = excluded.rev, exp = excluded.exp, lab = excluded.lab, enc = excluded.enc, val = excluded.val",
				[]byte(r.ID), r.Revision[:], millis(r.ExpiresAt), labels(r.Labels), []byte(r.Encoding), r.Value)
			if w.Cond == driver.IfAbsent {
				s.add(" WHERE exp <= ? AND "+readable, now.UnixMilli())
			}
		} else {
			s.add("UPDATE "+b.name+" SET rev = ?, enc = ?, val = ?", r.Revision[:], []byte(r.Encoding), r.Value)
			if !w.Keep.Expiry {
				s.add(", exp = ?", millis(r.ExpiresAt))
			}
			if !w.Keep.Labels {
				s.add(", lab = ?", labels(r.Labels))
			}
			s.live(r.ID, now, w.Cond, w.Known.Revision)
			if w.Encodings != nil {
				s.add(" AND enc IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(w.Encodings)), ", ") + ")")
				for _, e := range w.Encodings {
					s.add("", []byte(e))
				}
			}
		}
		s.add(" RETURNING " + head)
		return s
	}, func(now time.Time, cur *model.Record, err error) (model.Record, error) {
		return driverkit.JudgeWrite(now, cur, err, &w)
	}}
}

// Delete removes a live record, by one statement. A second one reads why the
// condition does not hold.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	_, err := b.apply(ctx, now, b.remove(d))
	return err
}

func (b *Backend) remove(d driver.Delete) write {
	d.ID = strings.Clone(d.ID)
	return write{d.ID, func(now time.Time) (s stmt) {
		s.add("DELETE FROM " + b.name)
		s.live(d.ID, now, d.Cond, d.Known.Revision)
		s.add(" RETURNING " + head)
		return s
	}, func(now time.Time, cur *model.Record, err error) (model.Record, error) {
		return driverkit.Judge(now, cur, err, d.Cond, d.Known.Revision)
	}}
}
