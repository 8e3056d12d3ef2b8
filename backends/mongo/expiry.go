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
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record, by one findAndModify of the
// expiry alone. An extension is a $max, which never shortens and keeps
// lastInstant.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	ctx, err := b.ready(ctx, &now)
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
			{Key: "$unset", Value: bson.D{{Key: fieldForever, Value: ""}}},
		}
	default:
		update = bson.D{{Key: "$set", Value: bson.D{{Key: fieldExpiry, Value: lastInstant}, {Key: fieldForever, Value: true}}}}
	}
	cond := t.Cond
	if cond != driver.IfMatch {
		cond = driver.IfPresent
	}
	rec, err := b.modify(ctx, now, &driver.Write{Record: model.Record{ID: t.ID}, Cond: cond, Known: t.Known}, update)
	rec.Value = nil // of the record that won
	return rec, err
}

// sweepStep is the largest number of records that a step of a sweep removes.
const sweepStep = 1000

// sweep is the state of a DeleteExpired. It visits documents in the order of
// their expiries.
type sweep struct {
	*driverkit.Tally
	before time.Time
	from   bson.RawValue   // the last expiry visited; zero at the start
	stayed map[string]bool // the ids of visited documents with that expiry that stay
}

// rawID returns the id of a document, of whatever type.
func rawID(doc bson.Raw) string { return string(doc.Lookup(fieldID).Value) }

// visit moves the sweep on to a document.
func (s *sweep) visit(doc bson.Raw) {
	if at := doc.Lookup(fieldExpiry); !at.Equal(s.from) {
		s.from, s.stayed = at, map[string]bool{}
	}
}

// DeleteExpired removes expired records in steps. A step is one find of their
// heads by the index on the expiry, and one delete with a statement for each
// record, which removes the document only if it is unchanged.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	if ctx, err = b.ready(ctx, nil); err != nil {
		return driver.Swept{}, err
	}
	state := sweep{Tally: tally, before: s.Before}
	return tally.Run(ctx, func(n int) (more bool, err error) { return b.sweepStep(ctx, min(n, sweepStep), &state) })
}

// sweepStep removes up to n expired records and reports whether more may be
// left.
func (b *Backend) sweepStep(ctx context.Context, n int, s *sweep) (more bool, err error) {
	found, more, err := b.due(ctx, n, s)
	if err != nil {
		return false, err
	}
	var deletes []mongodriver.WriteModel
	for _, raw := range found {
		s.visit(raw)
		rec, err := decode(raw)
		if err != nil || !s.Accepts(&rec) {
			s.stayed[rawID(raw)] = true
			continue
		}
		exp, _ := expiryFields(rec.ExpiresAt)
		deletes = append(deletes, mongodriver.NewDeleteOneModel().SetFilter(bson.D{
			{Key: fieldID, Value: rec.ID},
			{Key: fieldRevision, Value: bson.Binary{Data: rec.Revision[:]}},
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
	var bulk mongodriver.BulkWriteException
	switch {
	case err == nil:
		s.Removed(int(res.DeletedCount))
	case errors.As(err, &bulk) && bulk.WriteConcernError == nil && res != nil:
		s.Removed(int(res.DeletedCount)) // by the statements without an error
		for _, e := range bulk.WriteErrors {
			s.Failed(1, writeError(ctx, statementError(&bulk, &e)))
		}
	default:
		s.Failed(len(deletes), writeError(ctx, err))
	}
	return more, nil
}

// due returns the heads of up to n expired documents that the sweep has not
// visited, and reports whether more may be left.
func (b *Backend) due(ctx context.Context, n int, s *sweep) (found []bson.Raw, more bool, err error) {
	span := bson.D{{Key: "$lte", Value: dateOf(s.before)}}
	if !s.from.IsZero() {
		span = append(span, bson.E{Key: "$gte", Value: s.from})
	}
	limit := n + len(s.stayed)
	cur, err := b.coll.Find(ctx,
		bson.D{{Key: fieldExpiry, Value: span}, {Key: fieldFormat, Value: formatVersion}},
		options.Find().SetProjection(headOnly.fields).SetSort(expiryKeys).SetHint(expiryKeys).
			SetLimit(int64(limit)).SetBatchSize(int32(limit)+1))
	if err != nil {
		return nil, false, listError(ctx, err)
	}
	found, err = readAll(ctx, cur)
	more = len(found) == limit
	found = slices.DeleteFunc(found, func(doc bson.Raw) bool { return s.stayed[rawID(doc)] })
	if len(found) > n {
		found, more = found[:n], true
	}
	return found, more, err
}

// cursorPatience bounds how long a call whose context has ended waits for the
// server to close a cursor. The server closes it by itself later.
const cursorPatience = 50 * time.Millisecond

// closeCursor closes a cursor, on the server too if that has more documents.
func closeCursor(ctx context.Context, cur *mongodriver.Cursor) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cursorPatience)
		defer cancel()
	}
	_ = cur.Close(ctx)
}

// readAll reads a cursor to its end and closes it. The documents are copies.
func readAll(ctx context.Context, cur *mongodriver.Cursor) ([]bson.Raw, error) {
	defer closeCursor(ctx, cur)
	var found []bson.Raw
	for cur.Next(ctx) {
		found = append(found, append(bson.Raw(nil), cur.Current...))
	}
	if err := cur.Err(); err != nil {
		return found, readError(ctx, err)
	}
	return found, nil
}
