package mongo

import (
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

// What answers leave out: the copy is never read, and heads have no value.
var (
	withValue = bson.D{{Key: fieldCopy, Value: 0}}
	headOnly  = bson.D{{Key: fieldValue, Value: 0}, {Key: fieldCopy, Value: 0}}
)

func byID(id string) bson.D { return bson.D{{Key: fieldID, Value: id}} }

// liveFilter is the condition of a write on a live record.
func liveFilter(now time.Time, id string, c driver.Condition, prev model.Revision) bson.D {
	d := bson.D{
		{Key: fieldID, Value: id},
		{Key: fieldFormat, Value: formatVersion},
		{Key: fieldExpiry, Value: bson.D{{Key: "$gt", Value: dateOf(now)}}},
	}
	if c == driver.IfMatch {
		d = append(d, bson.E{Key: fieldRev, Value: bson.Binary{Data: prev[:]}})
	}
	return d
}

// expiredFilter is the condition of a create, with an insert where nothing
// matches: a live record makes that a duplicate key.
func expiredFilter(now time.Time, id string) bson.D {
	return bson.D{
		{Key: fieldID, Value: id},
		{Key: fieldFormat, Value: formatVersion},
		{Key: fieldExpiry, Value: bson.D{{Key: "$lte", Value: dateOf(now)}}},
	}
}

// Get returns the live record: one find by _id.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	ctx, err := b.enter(ctx)
	if err != nil {
		return model.Record{}, err
	}
	rec, err := b.stored(ctx, g.ID, withValue)
	if err == nil && rec.Expired(now) {
		return model.Record{}, model.ErrNotFound
	}
	return rec, err
}

// stored is the record, live or not.
func (b *Backend) stored(ctx context.Context, id string, projection bson.D) (model.Record, error) {
	raw, err := b.coll.FindOne(ctx, byID(id), options.FindOne().SetProjection(projection)).Raw()
	if errors.Is(err, mongodriver.ErrNoDocuments) {
		return model.Record{}, model.ErrNotFound
	}
	if err != nil {
		return model.Record{}, readFault(ctx, err)
	}
	return decode(raw)
}

// Write stores the record under its condition: one update, replacement or
// findAndModify, and one more find where the condition has failed.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.checkWrite(&w); err != nil {
		return model.Record{}, err
	}
	ctx, err := b.enter(ctx)
	if err != nil {
		return model.Record{}, err
	}
	return b.write(ctx, now, &w)
}

// checkWrite refuses what could not be stored or found again.
func (b *Backend) checkWrite(w *driver.Write) error {
	if err := w.Check(); err != nil {
		return err
	}
	if err := driverkit.CheckRecord(&w.Record, b.labels, b.maxValue); err != nil {
		return err
	}
	if !utf8.ValidString(w.Record.Encoding) {
		return model.NewError(model.ErrInvalid, "the encoding's name is not UTF-8", nil)
	}
	return nil
}

func (b *Backend) write(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	switch {
	case w.Cond == driver.IfAny:
		return b.upsert(ctx, w)
	case w.Cond == driver.IfAbsent:
		return b.create(ctx, now, w)
	case w.Keep.Expiry || w.Keep.Labels:
		return b.updateKeeping(ctx, now, w)
	}
	return b.update(ctx, now, w)
}

// inForce is the answer to a write that replaced all there was.
func inForce(w *driver.Write) model.Record {
	rec := w.Record
	rec.Labels, rec.Value = maps.Clone(rec.Labels), nil
	return rec
}

// upsertAttempts bounds an upsert that met a concurrent insert of the same id
// each time: a refusal, so that sending it again resends nothing blindly.
const upsertAttempts = 4

func (b *Backend) upsert(ctx context.Context, w *driver.Write) (model.Record, error) {
	doc, _ := b.document(&w.Record)
	var err error
	for range upsertAttempts {
		if _, err = b.coll.ReplaceOne(ctx, byID(w.Record.ID), doc, options.Replace().SetUpsert(true)); !taken(err) {
			break
		}
	}
	if err != nil {
		return model.Record{}, writeFault(ctx, err)
	}
	return inForce(w), nil
}

func (b *Backend) create(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	doc, _ := b.document(&w.Record)
	_, err := b.coll.ReplaceOne(ctx, expiredFilter(now, w.Record.ID), doc, options.Replace().SetUpsert(true))
	switch {
	case taken(err):
		return b.whyNot(ctx, now, w.Record.ID, driver.IfAbsent, model.Revision{})
	case err != nil:
		return model.Record{}, writeFault(ctx, err)
	}
	return inForce(w), nil
}

func (b *Backend) update(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	doc, _ := b.document(&w.Record)
	res, err := b.coll.ReplaceOne(ctx, liveFilter(now, w.Record.ID, w.Cond, w.Known.Revision), doc)
	switch {
	case err != nil:
		return model.Record{}, writeFault(ctx, err)
	case res.MatchedCount == 0:
		return b.whyNot(ctx, now, w.Record.ID, w.Cond, w.Known.Revision)
	}
	return inForce(w), nil
}

func (b *Backend) updateKeeping(ctx context.Context, now time.Time, w *driver.Write) (model.Record, error) {
	return b.modify(ctx, now, w.Record.ID, w.Cond, w.Known.Revision, b.change(&w.Record, w.Keep.Expiry, w.Keep.Labels))
}

// modify changes some fields of a live record and returns its head as it is
// then.
func (b *Backend) modify(ctx context.Context, now time.Time, id string, c driver.Condition, prev model.Revision, update bson.D) (model.Record, error) {
	raw, err := b.coll.FindOneAndUpdate(ctx, liveFilter(now, id, c, prev), update,
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(headOnly)).Raw()
	switch {
	case errors.Is(err, mongodriver.ErrNoDocuments):
		return b.whyNot(ctx, now, id, c, prev)
	case err != nil:
		return model.Record{}, writeFault(ctx, err)
	}
	return decode(raw)
}

// whyNot says why a condition has failed, by what is stored a moment later.
// Nothing was changed, whatever becomes of this read.
func (b *Backend) whyNot(ctx context.Context, now time.Time, id string, c driver.Condition, prev model.Revision) (model.Record, error) {
	projection := headOnly
	if c == driver.IfMatch {
		projection = withValue // the winner's
	}
	cur, err := b.stored(ctx, id, projection)
	switch {
	case errors.Is(err, model.ErrNotFound) && c == driver.IfAbsent:
		return model.Record{}, model.ErrExists // it was there when it counted
	case err != nil:
		return model.Record{}, err
	case c == driver.IfAbsent:
		return model.Record{}, model.ErrExists
	case c == driver.IfMatch && !cur.Expired(now) && cur.Revision != prev:
		return cur, model.ErrConflict
	}
	return model.Record{}, model.ErrNotFound
}

// Delete removes a live record: one delete, and one find where the condition
// has failed.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := d.Check(); err != nil {
		return err
	}
	ctx, err := b.enter(ctx)
	if err != nil {
		return err
	}
	return b.remove(ctx, now, &driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known})
}

func (b *Backend) remove(ctx context.Context, now time.Time, d *driver.Delete) error {
	res, err := b.coll.DeleteOne(ctx, liveFilter(now, d.ID, d.Cond, d.Known.Revision))
	switch {
	case err != nil:
		return writeFault(ctx, err)
	case res.DeletedCount == 0:
		_, err = b.whyNot(ctx, now, d.ID, d.Cond, d.Known.Revision)
		return err
	}
	return nil
}
