package mongo

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Touch moves the expiry of a live record: one findAndModify of the expiry
// alone. An extension is $max, which leaves the last instant, never, alone.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := t.Check(); err != nil {
		return model.Record{}, err
	}
	ctx, err := b.enter(ctx)
	if err != nil {
		return model.Record{}, err
	}
	var update bson.D
	switch t.Mode {
	case driver.TouchExtend:
		update = bson.D{{Key: "$max", Value: bson.D{{Key: fieldExpiry, Value: dateOf(t.ExpiresAt)}}}}
	case driver.TouchSet:
		update = bson.D{
			{Key: "$set", Value: bson.D{{Key: fieldExpiry, Value: dateOf(t.ExpiresAt)}}},
			{Key: "$unset", Value: bson.D{{Key: fieldEver, Value: ""}}},
		}
	default:
		update = bson.D{{Key: "$set", Value: bson.D{{Key: fieldExpiry, Value: lastInstant}, {Key: fieldEver, Value: true}}}}
	}
	return b.modify(ctx, now, t.ID, driver.IfPresent, model.Revision{}, update)
}

// sweepStep is how many records are read and removed at once.
const sweepStep = 1000

// sweep is where a DeleteExpired stands.
type sweep struct {
	driver.Swept
	from   bson.RawValue   // the expiry up to which it has come; zero: none yet
	stayed map[string]bool // the ids of documents with that expiry that have stayed
}

// rawID is the id of a document, whatever its type.
func rawID(doc bson.Raw) string { return string(doc.Lookup(fieldID).Value) }

// comes to a document.
func (s *sweep) comes(doc bson.Raw) {
	if at := doc.Lookup(fieldExpiry); !at.Equal(s.from) {
		s.from, s.stayed = at, map[string]bool{}
	}
}

// DeleteExpired removes due records, in steps: one find of their heads by the
// index on the expiry, one delete of many statements, each of which removes
// the document only as it was seen.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	var s sweep
	if sw.Limit < 1 {
		return s.Swept, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	ctx, err := b.enter(ctx)
	if err != nil {
		return s.Swept, err
	}
	for more := true; more && s.Removed+s.Unknown < sw.Limit; {
		if err := ctx.Err(); err != nil {
			return s.Swept, err
		}
		more, err = b.sweepStep(ctx, sw.Before, min(sw.Limit-s.Removed-s.Unknown, sweepStep), sw.OnExpire, &s)
		if err != nil {
			return s.Swept, err
		}
	}
	s.More = s.Removed+s.Unknown >= sw.Limit
	return s.Swept, nil
}

// sweepStep removes up to n due records, and reports whether there may be
// more.
func (b *Backend) sweepStep(ctx context.Context, before time.Time, n int, each func(model.Record) error, s *sweep) (more bool, err error) {
	found, more, err := b.due(ctx, before, n, s)
	if err != nil {
		return false, err
	}
	var deletes []mongodriver.WriteModel
	for _, raw := range found {
		s.comes(raw)
		rec, err := decode(raw)
		if err != nil || each != nil && each(rec) != nil {
			s.stayed[rawID(raw)] = true
			continue
		}
		exp, _ := expiryFields(rec.ExpiresAt)
		deletes = append(deletes, mongodriver.NewDeleteOneModel().SetFilter(bson.D{
			{Key: fieldID, Value: rec.ID},
			{Key: fieldRev, Value: bson.Binary{Data: rec.Revision[:]}},
			{Key: fieldExpiry, Value: exp},
		}))
	}
	if len(deletes) == 0 {
		return more, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	res, err := b.coll.BulkWrite(ctx, deletes, options.BulkWrite().SetOrdered(false))
	if err == nil {
		s.Removed += int(res.DeletedCount)
		return more, nil
	}
	var partly mongodriver.BulkWriteException
	fault := writeFault(ctx, err)
	if errors.As(err, &partly) && partly.WriteConcernError == nil && res != nil {
		// Each statement has its own outcome; those with an error did nothing.
		s.Removed += int(res.DeletedCount)
		return false, model.NewError(model.ErrUnavailable, words(codeOf(err)), err)
	}
	if errors.Is(fault, model.ErrUnknown) {
		s.Unknown += len(deletes)
	}
	return false, fault
}

// due reads the heads of documents that have expired and that the sweep has not
// come to, at most n, and reports whether there may be more.
func (b *Backend) due(ctx context.Context, before time.Time, n int, s *sweep) (found []bson.Raw, more bool, err error) {
	span := bson.D{{Key: "$lte", Value: dateOf(before)}}
	if !s.from.IsZero() {
		span = append(span, bson.E{Key: "$gte", Value: s.from})
	}
	limit := n + len(s.stayed)
	cur, err := b.coll.Find(ctx,
		bson.D{{Key: fieldExpiry, Value: span}, {Key: fieldFormat, Value: formatVersion}},
		options.Find().SetProjection(headOnly).SetSort(expiryKeys).SetHint(expiryKeys).
			SetLimit(int64(limit)).SetBatchSize(int32(limit)+1))
	if err != nil {
		return nil, false, hintedFault(ctx, err)
	}
	found, err = drain(ctx, cur)
	more = len(found) == limit
	found = slices.DeleteFunc(found, func(doc bson.Raw) bool { return s.stayed[rawID(doc)] })
	if len(found) > n {
		found, more = found[:n], true
	}
	return found, more, err
}

// drain reads a cursor to its end, and closes it. The documents are copies.
func drain(ctx context.Context, cur *mongodriver.Cursor) ([]bson.Raw, error) {
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	var found []bson.Raw
	for cur.Next(ctx) {
		found = append(found, append(bson.Raw(nil), cur.Current...))
	}
	if err := cur.Err(); err != nil {
		return found, readFault(ctx, err)
	}
	return found, nil
}
