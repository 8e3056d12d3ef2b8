package mongo

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// projection says which fields of a document a read asks for.
type projection struct {
	fields bson.D
	whole  bool // the value too
}

// The projections. The copy is never read, and a head has no value.
var (
	withValue = projection{bson.D{{Key: fieldCopy, Value: 0}}, true}
	headOnly  = projection{bson.D{{Key: fieldValue, Value: 0}, {Key: fieldCopy, Value: 0}}, false}
)

// decode returns the record of a document that was read with the projection. A
// whole one without a value is ErrCorrupt.
func (p projection) decode(raw bson.Raw) (model.Record, error) {
	rec, err := decode(raw)
	if err == nil && p.whole && rec.Value == nil {
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	return rec, err
}

func byID(id string) bson.D { return bson.D{{Key: fieldID, Value: id}} }

// readable is what a filter asks of a document, so that a write leaves one that
// decode refuses. The revision lies between two of 16 bytes. MongoDB compares
// lengths and subtypes first, so that one of others does not. Servers that compare
// bytes first find only its type, and reads find the rest. Both bounds have the
// subtype of every revision: a server may know no other.
var readable = bson.D{
	{Key: fieldRevision, Value: bson.D{
		{Key: "$gte", Value: bson.Binary{Data: make([]byte, len(model.Revision{}))}},
		{Key: "$lte", Value: bson.Binary{Data: bytes.Repeat([]byte{0xff}, len(model.Revision{}))}},
	}},
	{Key: fieldEncoding, Value: bson.D{{Key: "$type", Value: "string"}}},
}

// undamaged is what else a filter asks: that the expiry does not contradict ever, and
// that the labels are texts. It is the value of $and: with $or or $nor at its top, a
// filter would make some servers read the whole collection.
func undamaged(labels []string) (bson.RawValue, error) {
	other := func(field, kind string) bson.D {
		return bson.D{{Key: field, Value: bson.D{{Key: "$exists", Value: true}, {Key: "$not", Value: bson.D{{Key: "$type", Value: kind}}}}}}
	}
	list := bson.A{
		other(fieldForever, "bool"),
		bson.D{{Key: fieldForever, Value: true}, {Key: fieldExpiry, Value: bson.D{{Key: "$ne", Value: lastInstant}}}},
		other(fieldLabels, "object"),
	}
	for _, label := range labels {
		list = append(list, other(labelField(label), "string"))
	}
	kind, data, err := bson.MarshalValue(bson.A{bson.D{{Key: "$nor", Value: list}}})
	return bson.RawValue{Type: kind, Value: data}, err
}

// filter matches a readable document with the id and such an expiry.
func (b *Backend) filter(id string, expiry bson.D) bson.D {
	d := make(bson.D, 0, 6)
	d = append(d, bson.E{Key: fieldID, Value: id}, bson.E{Key: fieldFormat, Value: formatVersion}, bson.E{Key: fieldExpiry, Value: expiry})
	return append(append(d, readable...), bson.E{Key: "$and", Value: b.undamaged})
}

// liveFilter matches the live record with the id, under IfMatch only at the
// known revision.
func (b *Backend) liveFilter(now time.Time, id string, c driver.Condition, known model.Revision) bson.D {
	d := b.filter(id, bson.D{{Key: "$gt", Value: dateOf(now)}})
	if c == driver.IfMatch {
		set(d, fieldRevision, bson.Binary{Data: known[:]})
	}
	return d
}

// writeFilter matches the live record that the write may replace.
func (b *Backend) writeFilter(now time.Time, w *driver.Write) bson.D {
	d := b.liveFilter(now, w.Record.ID, w.Cond, w.Known.Revision)
	if w.Encodings != nil {
		set(d, fieldEncoding, bson.D{{Key: "$in", Value: w.Encodings}})
	}
	return d
}

// set replaces what a filter asks of a field.
func set(filter bson.D, field string, value any) {
	for i := range filter {
		if filter[i].Key == field {
			filter[i].Value = value
		}
	}
}

// expiredFilter matches the expired record with the id. A create replaces the
// match and otherwise inserts, which is a duplicate key if a record is live.
func (b *Backend) expiredFilter(now time.Time, id string) bson.D {
	return b.filter(id, bson.D{{Key: "$lte", Value: dateOf(now)}})
}

// Get returns the live record with the id, by one find on _id.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		return model.Record{}, err
	}
	rec, err := b.read(ctx, g.ID, withValue)
	if err == nil && rec.Expired(now) {
		return model.Record{}, model.ErrNotFound
	}
	return rec, err
}

// read returns the stored record, live or expired.
func (b *Backend) read(ctx context.Context, id string, p projection) (model.Record, error) {
	raw, err := b.coll.FindOne(ctx, byID(id), options.FindOne().SetProjection(p.fields)).Raw()
	if errors.Is(err, mongodriver.ErrNoDocuments) {
		return model.Record{}, model.ErrNotFound
	}
	if err != nil {
		return model.Record{}, readError(ctx, err)
	}
	return p.decode(raw)
}

// fieldSize is the field in which a stat gets the size of the value.
const fieldSize = "size"

// statOnly is the projection of a stat: the head, and the number of the
// value's bytes, or null if it is neither text nor binary.
var statOnly = bson.D{
	{Key: fieldFormat, Value: 1},
	{Key: fieldRevision, Value: 1},
	{Key: fieldExpiry, Value: 1},
	{Key: fieldForever, Value: 1},
	{Key: fieldLabels, Value: 1},
	{Key: fieldEncoding, Value: 1},
	{Key: fieldSize, Value: bson.D{{Key: "$cond", Value: bson.A{
		bson.D{{Key: "$in", Value: bson.A{bson.D{{Key: "$type", Value: "$" + fieldValue}}, bson.A{"string", "binData"}}}},
		bson.D{{Key: "$binarySize", Value: "$" + fieldValue}}, nil,
	}}}},
}

// Stat returns the live record with the id without its value, and the value's
// size, by one find on _id. The server sends no value. A compatible server that
// knows no expressions in projections is asked twice and sends it.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return driver.Stat{}, err
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		return driver.Stat{}, err
	}
	raw, err := b.coll.FindOne(ctx, byID(g.ID), options.FindOne().SetProjection(statOnly)).Raw()
	switch {
	case errors.Is(err, mongodriver.ErrNoDocuments):
		return driver.Stat{}, model.ErrNotFound
	case err != nil:
		return driver.Stat{}, readError(ctx, err)
	}
	rec, err := decode(raw)
	if err != nil {
		return driver.Stat{}, err
	}
	answer, err := raw.LookupErr(fieldSize)
	if err != nil { // a server without expressions in projections: the value itself tells its size
		rec, err := b.read(ctx, g.ID, withValue)
		if err == nil && rec.Expired(now) {
			err = model.ErrNotFound
		}
		if err != nil {
			return driver.Stat{}, err
		}
		size := len(rec.Value)
		rec.Value = nil
		return driver.Stat{Record: rec, Size: size}, nil
	}
	size, ok := answer.AsInt64OK()
	switch {
	case !ok:
		return driver.Stat{}, driverkit.Corrupt(driverkit.WhyForeign)
	case rec.Expired(now):
		return driver.Stat{}, model.ErrNotFound
	}
	return driver.Stat{Record: rec, Size: int(size)}, nil
}

// Write stores the record under its condition, by one update, replacement or
// findAndModify. If the condition fails, one find tells why.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		return model.Record{}, err
	}
	return b.write(ctx, now, &w)
}

// checkEncoding returns ErrInvalid for a name that BSON cannot store as text.
func checkEncoding(w *driver.Write) error {
	if !utf8.ValidString(w.Record.Encoding) {
		return model.NewError(model.ErrInvalid, "the encoding's name is not UTF-8", nil)
	}
	return nil
}

func (b *Backend) write(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	switch w.Cond {
	case driver.IfAny:
		return b.upsert(ctx, w)
	case driver.IfAbsent:
		return b.create(ctx, now, w)
	}
	for range writeAttempts {
		rec, err := b.update(ctx, now, w)
		if !errors.Is(err, errRaced) {
			return rec, err
		}
	}
	return model.Record{}, driverkit.Contended()
}

// errRaced says that a write changed nothing, and that a read right after it
// found a record that it may replace.
var errRaced = errors.New("another writer changed the record meanwhile")

func (b *Backend) update(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	if w.Keep.Expiry || w.Keep.Labels {
		return b.modify(ctx, now, w, b.updateOf(w))
	}
	return b.replace(ctx, now, w)
}

// result returns the head in force after a write that kept nothing.
func result(w *driver.Write) model.Record {
	rec := w.Result(nil)
	rec.Labels, rec.Value = maps.Clone(rec.Labels), nil
	return rec
}

// writeAttempts bounds the attempts of an upsert that meets concurrent inserts of
// its id, and of an update that meets a change of the encoding. The server
// refuses each of these attempts, so the write is still applied at most once.
const writeAttempts = 4

func (b *Backend) upsert(ctx context.Context, w *driver.Write) (model.Record, error) {
	doc, _ := b.document(&w.Record)
	var err error
	for range writeAttempts {
		if _, err = b.coll.ReplaceOne(ctx, byID(w.Record.ID), doc, options.Replace().SetUpsert(true)); !idExists(err) {
			break
		}
	}
	if err != nil {
		return model.Record{}, writeError(ctx, err)
	}
	return result(w), nil
}

func (b *Backend) create(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	doc, _ := b.document(&w.Record)
	_, err := b.coll.ReplaceOne(ctx, b.expiredFilter(now, w.Record.ID), doc, options.Replace().SetUpsert(true))
	switch {
	case idExists(err):
		return b.conditionError(ctx, now, w)
	case err != nil:
		return model.Record{}, writeError(ctx, err)
	}
	return result(w), nil
}

// replace is an update that keeps nothing.
func (b *Backend) replace(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	doc, _ := b.document(&w.Record)
	res, err := b.coll.ReplaceOne(ctx, b.writeFilter(now, w), doc)
	switch {
	case err != nil:
		return model.Record{}, writeError(ctx, err)
	case res.MatchedCount == 0:
		return b.conditionError(ctx, now, w)
	}
	return result(w), nil
}

// modify changes some fields of the live record that the write may replace, and
// returns the changed head.
func (b *Backend) modify(ctx context.Context, now time.Time, w *driver.Write, update bson.D) (model.Record, error) {
	raw, err := b.coll.FindOneAndUpdate(ctx, b.writeFilter(now, w), update,
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(headOnly.fields)).Raw()
	switch {
	case errors.Is(err, mongodriver.ErrNoDocuments):
		return b.conditionError(ctx, now, w)
	case err != nil:
		return model.Record{}, writeError(ctx, err)
	}
	return decode(raw)
}

// conditionError reads the record to tell why a condition failed. It returns
// ErrExists, ErrNotFound, ErrConflict with the winner, ErrCorrupt for another
// encoding, or the error of the read. The write changed nothing in any case.
func (b *Backend) conditionError(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	id, c := w.Record.ID, w.Cond
	fields := headOnly
	if c == driver.IfMatch {
		fields = withValue // the winner's
	}
	cur, err := b.read(ctx, id, fields)
	switch {
	case c == driver.IfAbsent && (err == nil || errors.Is(err, model.ErrNotFound)):
		return model.Record{}, model.ErrExists // the record was live when the create ran
	case err != nil:
		return model.Record{}, err
	}
	switch err := w.Judge(now, &cur); {
	case errors.Is(err, model.ErrConflict):
		return cur, err
	case errors.Is(err, model.ErrCorrupt):
		return model.Record{}, err
	case err == nil && w.Encodings != nil:
		return model.Record{}, errRaced // it may have been live all the time, of another encoding
	}
	return model.Record{}, model.ErrNotFound // even if a record is live by now
}

// Delete removes a live record, by one delete. If the condition fails, one
// find tells why.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		return err
	}
	return b.remove(ctx, now, &d)
}

func (b *Backend) remove(ctx context.Context, now time.Time, d *driver.Delete) error {
	res, err := b.coll.DeleteOne(ctx, b.liveFilter(now, d.ID, d.Cond, d.Known.Revision))
	switch {
	case err != nil:
		return writeError(ctx, err)
	case res.DeletedCount == 0:
		_, err = b.conditionError(ctx, now, &driver.Write{Record: model.Record{ID: d.ID}, Cond: d.Cond, Known: d.Known})
		return err
	}
	return nil
}
