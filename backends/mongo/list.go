package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// maxPage bounds the records that one find asks for.
const maxPage = 10_000

// Page lists live records in the order of their ids, by one find on the index
// on _id or on the label's index, which ends with the id. The filter excludes
// expired records only, so that documents that cannot be read are found too.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	if ctx, err = b.ready(ctx, &now); err != nil {
		return driver.Page{}, err
	}
	filter, index := ofLabel(&q, idKeys, bson.D{
		{Key: fieldID, Value: bson.D{{Key: "$gt", Value: after}}}, // matches only strings, even after the empty one
		{Key: fieldExpiry, Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$lte", Value: dateOf(now)}}}}},
	})
	read := withValue
	if q.KeysOnly {
		read = headOnly
	}
	limit := min(q.Limit, maxPage)
	cur, err := b.coll.Find(ctx, filter, options.Find().SetProjection(read.fields).SetSort(idKeys).SetHint(index).
		SetLimit(int64(limit)).SetBatchSize(int32(limit)+1))
	if err != nil {
		return driver.Page{}, listError(ctx, err)
	}
	defer closeCursor(ctx, cur)
	list := driverkit.Listing{Query: &q}
	n, last, full := 0, "", false
	// If the documents are large, the server's answer ends early, and so does
	// the page.
	for !full && (n == 0 || cur.RemainingBatchLength() > 0) && cur.Next(ctx) {
		n++
		last = storedID(cur.Current)
		rec, err := read.decode(cur.Current)
		full = list.Add(now, last, &rec, err)
	}
	if err := cur.Err(); err != nil {
		return driver.Page{}, readError(ctx, err)
	}
	if n > 0 && (full || n == limit || cur.ID() != 0) {
		list.Page.Next = b.gate.Token(&q, last)
	}
	return list.Page, nil
}

// Count counts on the server. Without a label it reads the index on the expiry
// alone, else the documents that bear the label value.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &q); err != nil {
		return 0, err
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		return 0, err
	}
	filter, index := ofLabel(&q, expiryKeys, bson.D{{Key: fieldExpiry, Value: bson.D{{Key: "$gt", Value: dateOf(now)}}}})
	n, err := b.coll.CountDocuments(ctx, filter, options.Count().SetHint(index))
	if err != nil {
		return 0, listError(ctx, err)
	}
	return int(n), nil
}

// ofLabel restricts the filter to the query's label value. It also returns the
// index to use: the label's, or the given one for a query without a label.
func ofLabel(q *driver.Query, without, filter bson.D) (restricted, index bson.D) {
	if q.Label == "" {
		return filter, without
	}
	return append(filter, bson.E{Key: labelField(q.Label), Value: q.Value}), labelKeys(q.Label)
}
