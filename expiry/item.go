package expiry

import (
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Item is a record as a Store gives it out. Its Value and Labels are the
// caller's own.
type Item[T any] struct {
	ID        string
	Value     T
	Revision  model.Revision
	ExpiresAt time.Time // zero: never; else whole milliseconds, UTC
	Labels    map[string]string

	rec   model.Record // what the backend gave; nothing in it is handed out
	plain []byte       // the encoded value, opened where it was sealed; nil where it was not read
}

// Version is what the item was read or written as, for the If and Prev of a
// later call. It spares some backends a round trip over AtRevision.
func (i *Item[T]) Known() *Known { return &Known{known: i.rec} }

// Version names one version of one record.
type Known struct{ known model.Record }

// AtRevision is the version of a bare revision, from an ETag of one's own, for
// example. As a condition a zero revision is ErrInvalid.
func AtRevision(r model.Revision) *Known { return &Known{known: model.Record{Revision: r}} }

// Revision returns the revision that the version stands for.
func (k *Known) Revision() model.Revision { return k.known.Revision }

// record is what a backend gets to see; v may be nil.
func (k *Known) record() model.Record {
	if k == nil {
		return model.Record{}
	}
	return k.known
}

// itemOf is an item without its value.
func itemOf[T any](rec model.Record) (it Item[T]) {
	it.fill(rec)
	return it
}

// fill makes the item that of the record, but for its value. Items are large:
// they are filled in place rather than copied.
func (i *Item[T]) fill(rec model.Record) {
	i.ID, i.Revision, i.ExpiresAt = rec.ID, rec.Revision, rec.ExpiresAt
	i.Labels = maps.Clone(rec.Labels)
	i.rec = rec
}

// open decodes a record into an item.
func (s *Store[T]) open(rec model.Record) (it Item[T], err error) {
	it.fill(rec)
	if it.plain, err = s.unpack(&it.rec); err != nil {
		return it, err
	}
	return it, decode(s.codec, it.plain, &it.Value)
}
