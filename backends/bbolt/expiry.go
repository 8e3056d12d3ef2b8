package bbolt

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record. It writes the record again, or
// nothing if the expiry stays as it is.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	t.ID = strings.Clone(t.ID)
	return update(ctx, b, func(s *store) (model.Record, error) {
		cur, err := s.read(t.ID)
		if err == nil {
			err = t.Judge(s.waited.Now(now), cur)
		}
		if err != nil {
			return model.Record{}, err
		}
		next := *cur
		next.ExpiresAt = model.Millis(t.Result(cur.ExpiresAt))
		if !next.ExpiresAt.Equal(cur.ExpiresAt) {
			if err := s.put(cur, &next); err != nil {
				return model.Record{}, err
			}
		}
		return next.Head(), nil
	})
}

// sweepBatch is the largest number of records that a sweep removes in one
// transaction, during which no other call can write.
const sweepBatch = 500

// due is an entry of the expiry index, and the record's head if the sweep
// announces it.
type due struct {
	key, id string
	head    model.Record
}

// DeleteExpired removes the records that had expired at sw.Before, those that
// expired first ahead of the others. It announces them between two transactions.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &sw)
	if err != nil {
		return driver.Swept{}, err
	}
	after, announced := "", tally.Announces()
	return driverkit.Steps(ctx, tally, sweepBatch, func(n int) ([]due, error) {
		from := after
		found, err := view(ctx, b, func(s *store) ([]due, error) { return s.due(sw.Before, from, n, announced) })
		if len(found) > 0 {
			after = found[len(found)-1].key
		}
		return found, err
	}, func(d *due) bool {
		return !announced || d.head.ID == "" || tally.Accepts(&d.head)
	}, func(found []due) (int, error) {
		return update(ctx, b, func(s *store) (int, error) { return s.sweep(sw.Before, found, announced) })
	})
}

// due returns the first n entries after a key that had expired.
func (s *store) due(before time.Time, after string, n int, heads bool) ([]due, error) {
	if s.top == nil {
		return nil, nil
	}
	var out []due
	end := []byte(expiryKey(before.Add(time.Millisecond)))
	c := s.expiry.Cursor()
	key, id := c.Seek([]byte(after))
	if string(key) == after {
		key, id = c.Next()
	}
	for ; key != nil && bytes.Compare(key, end) < 0 && len(out) < n; key, id = c.Next() {
		d := due{key: string(key), id: string(id)}
		if heads {
			if rec, err := s.read(d.id); err == nil && rec != nil && rec.Expired(before) {
				d.head = rec.Head()
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// sweep removes the records of the entries that are still due, and entries
// without a record.
func (s *store) sweep(before time.Time, list []due, announced bool) (removed int, err error) {
	if s.top == nil {
		return 0, nil
	}
	for i := range list {
		d := &list[i]
		rec, readErr := s.read(d.id)
		switch {
		case readErr != nil: // it stays
		case rec == nil || expiryKey(rec.ExpiresAt)+rec.ID != d.key:
			err = s.drop([]entry{{expiryBucket, d.key}})
		case rec.Expired(before) && (!announced || rec.Revision == d.head.Revision):
			removed++
			err = s.remove(rec)
		}
		if err != nil {
			return 0, err
		}
	}
	return removed, nil
}
