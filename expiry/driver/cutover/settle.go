package cutover

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// rounds bounds how often one record is copied while others change it.
const rounds = 20

// same reports whether two records are equal, in all that is copied.
func same(a, b *model.Record) bool {
	return sameContent(a, b) && a.ExpiresAt.Equal(b.ExpiresAt)
}

func sameContent(a, b *model.Record) bool {
	return a.Revision == b.Revision && a.Encoding == b.Encoding && maps.Equal(a.Labels, b.Labels) && bytes.Equal(a.Value, b.Value)
}

// find gets a record. An absent one is nil without an error.
func find(ctx context.Context, b driver.ModelExpirySupport, now time.Time, id string) (*model.Record, error) {
	r, err := b.Get(ctx, now, driver.Get{ID: id})
	if errors.Is(err, model.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// settle makes the record in to what it is in from, also if both have none. It
// looks again after each change of its own. So of several that settle a record
// at the same time, the last one sees what the others did. It reports whether
// it changed anything. Without remove, a record that from lacks stays.
func settle(ctx context.Context, from, to driver.ModelExpirySupport, now time.Time, id string, remove bool) (changed bool, err error) {
	for round := range rounds {
		have, err := find(ctx, from, now, id)
		if err != nil {
			return changed, err
		}
		there, err := find(ctx, to, now, id)
		cond := driver.IfAbsent
		switch {
		case errors.Is(err, model.ErrCorrupt):
			cond, there = driver.IfAny, nil // only an upsert replaces it
		case err != nil:
			return changed, err
		case have == nil && (there == nil || !remove), have != nil && there != nil && same(have, there):
			return changed, nil
		}
		if have == nil && there == nil { // absent, and unreadable in to: not ours to remove
			return changed, nil
		}
		err = move(ctx, to, now, have, there, cond)
		switch {
		case err == nil:
			changed = true
		case ctx.Err() == nil && (overtaken(err) || errors.Is(err, model.ErrUnknown)):
			changed = true // perhaps: the next look tells
			if err := driverkit.Pause(ctx, round); err != nil {
				return changed, err
			}
		default:
			return changed, err
		}
	}
	return changed, model.NewError(model.ErrConflict, "the record changes all the time", nil)
}

// overtaken reports whether a write failed because another one was first.
func overtaken(err error) bool {
	return errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrExists) || errors.Is(err, model.ErrConflict)
}

// move makes one change that turns what is there into what from has.
func move(ctx context.Context, to driver.ModelExpirySupport, now time.Time, have, there *model.Record, cond driver.Condition) error {
	if have == nil {
		return to.Delete(ctx, now, driver.Delete{ID: there.ID, Cond: driver.IfMatch, Known: *there})
	}
	if there != nil && sameContent(have, there) {
		t := driver.Touch{ID: have.ID, Mode: driver.TouchSet, ExpiresAt: have.ExpiresAt, Cond: driver.IfMatch, Known: *there}
		if have.ExpiresAt.IsZero() {
			t.Mode = driver.TouchClear
		}
		_, err := to.Touch(ctx, now, t)
		return err
	}
	w := driver.Write{Record: foreign(have), Cond: cond}
	if there != nil {
		w.Cond, w.Known = driver.IfMatch, *there
	}
	_, err := to.Write(ctx, now, w)
	return err
}

// foreign returns the record without what only its own server understands.
func foreign(r *model.Record) model.Record {
	out := *r
	out.ServerVersion = ""
	return out
}
