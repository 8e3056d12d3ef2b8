package expiry

import (
	"maps"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Item is a record with its decoded value. Value and Labels belong to the
// caller.
type Item[T any] struct {
	ID        string
	Value     T
	Revision  model.Revision
	ExpiresAt time.Time // zero: never; else whole milliseconds, UTC
	Labels    map[string]string

	rec   model.Record // as the backend returned it; never shared with the caller
	plain []byte       // the encoded value, not sealed; nil if it was not read
}

// Known returns what the caller knows of the record, for IfMatch or Known of a
// later call. It saves some backends a round trip compared to AtRevision.
func (i *Item[T]) Known() *Known { return &Known{known: i.rec} }

// Known is what a caller knows of a record from an earlier call: its revision,
// and more that saves round trips.
type Known struct{ known model.Record }

// AtRevision returns the Known of a revision alone, from a web page's ETag, for
// example. As IfMatch, a zero revision is ErrInvalid.
func AtRevision(r model.Revision) *Known { return &Known{known: model.Record{Revision: r}} }

// Revision returns the known revision.
func (k *Known) Revision() model.Revision { return k.known.Revision }

// record returns what a backend sees; k may be nil.
func (k *Known) record() model.Record {
	if k == nil {
		return model.Record{}
	}
	return k.known
}

// itemOf returns an item without its value.
func itemOf[T any](rec model.Record) (it Item[T]) {
	it.fill(rec)
	return it
}

// fill fills in the item from the record, except its value. Items are large, so
// they are filled in place.
func (i *Item[T]) fill(rec model.Record) {
	i.ID, i.Revision, i.ExpiresAt = rec.ID, rec.Revision, rec.ExpiresAt
	i.Labels = maps.Clone(rec.Labels)
	i.rec = rec
}
