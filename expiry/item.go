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
func (i *Item[T]) Version() *Version { return &Version{prev: i.rec} }

// Version names one version of one record.
type Version struct{ prev model.Record }

// AtRevision is the version of a bare revision, from an ETag of one's own, for
// example. As a condition a zero revision is ErrInvalid.
func AtRevision(r model.Revision) *Version { return &Version{prev: model.Record{Rev: r}} }

// Revision returns the revision that the version stands for.
func (v *Version) Revision() model.Revision { return v.prev.Rev }

// record is what a backend gets to see; v may be nil.
func (v *Version) record() model.Record {
	if v == nil {
		return model.Record{}
	}
	return v.prev
}

// itemOf is an item without its value.
func itemOf[T any](rec model.Record) Item[T] {
	return Item[T]{
		ID:        rec.ID,
		Revision:  rec.Rev,
		ExpiresAt: rec.ExpiresAt,
		Labels:    maps.Clone(rec.Labels),
		rec:       rec,
	}
}

// open decodes a record into an item.
func (s *Store[T]) open(rec model.Record) (Item[T], error) {
	it := itemOf[T](rec)
	var err error
	if it.plain, err = s.unpack(&rec); err != nil {
		return it, err
	}
	return it, decode(s.codec, it.plain, &it.Value)
}
