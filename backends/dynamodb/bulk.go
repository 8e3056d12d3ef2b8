package dynamodb

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	// batchSize is how many items BatchGetItem takes.
	batchSize = 100
	// batchWidth is how many BatchGetItems one call has under way at most.
	batchWidth = 4
	// batchAttempts bounds how often in a row what is left of a batch is asked
	// for without any of it being answered.
	batchAttempts = 10
)

// GetMany reads records, 100 with each consistent BatchGetItem.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	if err := b.enter(ctx); err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	out = b.fetch(ctx, driverkit.IDs(gets), false)
	for i := range out {
		if out[i].Err == nil && out[i].Record.Expired(now) {
			out[i] = driver.BatchResult{Err: model.ErrNotFound}
		}
	}
	return out
}

// fetch reads distinct records, live or not; heads without their values.
func (b *Backend) fetch(ctx context.Context, ids []string, heads bool) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ids))
	driverkit.Parallel((len(ids)+batchSize-1)/batchSize, batchWidth, func(i int) {
		from, to := i*batchSize, min((i+1)*batchSize, len(ids))
		b.fetchBatch(ctx, ids[from:to], heads, out[from:to])
	})
	return out
}

// fetchBatch reads up to 100 records. What DynamoDB leaves undone, for want of
// throughput or because the answer would be over 16 MB, is asked for again.
func (b *Backend) fetchBatch(ctx context.Context, ids []string, heads bool, out []driver.BatchResult) {
	at := make(map[string]int, len(ids))
	keys := make([]attributes, len(ids))
	for i, id := range ids {
		at[id], keys[i] = i, recordKey(id)
		out[i].Err = model.ErrNotFound
	}
	names, projection := b.projection(heads)
	idle := 0
	for len(keys) > 0 {
		res, err := b.client.BatchGetItem(ctx, &awsdynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{b.table: {
				Keys: keys, ConsistentRead: aws.Bool(true), ExpressionAttributeNames: names, ProjectionExpression: projection,
			}},
		})
		if err != nil {
			failKeys(keys, at, out, b.readFault(ctx, err))
			return
		}
		for _, it := range res.Responses[b.table] {
			id, _ := idOf(it)
			if i, asked := at[id]; asked {
				out[i].Record, out[i].Err = decode(id, it, heads)
			}
		}
		left := res.UnprocessedKeys[b.table].Keys
		if idle++; len(left) < len(keys) {
			idle = 0
		}
		if keys = left; len(keys) == 0 {
			return
		}
		if idle >= batchAttempts {
			failKeys(keys, at, out, model.NewError(model.ErrUnavailable, "the table is throttled: the service leaves keys unprocessed", nil))
			return
		}
		if err := wait(ctx, idle); err != nil {
			failKeys(keys, at, out, err)
			return
		}
	}
}

func failKeys(keys []attributes, at map[string]int, out []driver.BatchResult, err error) {
	for _, key := range keys {
		id, _ := idOf(key)
		if i, asked := at[id]; asked {
			out[i] = driver.BatchResult{Err: err}
		}
	}
}

// WriteMany carries out the operations as Write and Delete do, 16 at a time:
// BatchWriteItem knows no conditions, and a transaction fails as a whole.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	driverkit.Parallel(len(ops), parallelism, func(i int) {
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.Write(ctx, now, *w)
			return
		}
		d := ops[i].Delete
		out[i].Err = b.Delete(ctx, now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known})
	})
	return out
}
