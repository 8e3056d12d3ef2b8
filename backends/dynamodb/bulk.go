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
	// batchSize is the maximum number of items in a BatchGetItem.
	batchSize = 100
	// batchWidth is the maximum number of BatchGetItem requests that one call
	// sends concurrently.
	batchWidth = 4
	// batchAttempts limits how often in a row a BatchGetItem is repeated
	// without progress.
	batchAttempts = 10
)

// GetMany returns the live records with the ids. It reads 100 records with
// each consistent BatchGetItem.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok {
		return out
	}
	b.fetch(ctx, driverkit.IDs(gets), false, out)
	for i := range out {
		if out[i].Err == nil && out[i].Record.Expired(now) {
			out[i] = driver.BatchResult{Err: model.ErrNotFound}
		}
	}
	return out
}

// fetch reads the records with the ids, live or expired, into out. The ids are
// distinct. If heads is set, it leaves out the values.
func (b *Backend) fetch(ctx context.Context, ids []string, heads bool, out []driver.BatchResult) {
	driverkit.Parallel((len(ids)+batchSize-1)/batchSize, batchWidth, func(i int) {
		from, to := i*batchSize, min((i+1)*batchSize, len(ids))
		b.fetchBatch(ctx, ids[from:to], heads, out[from:to])
	})
}

// fetchBatch reads up to 100 records. DynamoDB leaves keys unprocessed if the
// table is throttled or the response would exceed 16 MB. fetchBatch requests
// those keys again.
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
			failKeys(keys, at, out, b.readError(ctx, err))
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
			failKeys(keys, at, out, model.NewError(model.ErrUnavailable, "the table is throttled: DynamoDB leaves keys unprocessed", nil))
			return
		}
		if err := wait(ctx, idle); err != nil {
			failKeys(keys, at, out, err)
			return
		}
	}
}

// failKeys sets err as the result of the keys.
func failKeys(keys []attributes, at map[string]int, out []driver.BatchResult, err error) {
	for _, key := range keys {
		id, _ := idOf(key)
		if i, asked := at[id]; asked {
			out[i] = driver.BatchResult{Err: err}
		}
	}
}

// WriteMany carries out each operation with the requests of Write or Delete,
// 16 at a time. BatchWriteItem has no conditions, and a transaction would fail
// as a whole.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	driverkit.Parallel(len(valid), parallelism, func(n int) {
		i := valid[n]
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.write(ctx, now, w)
			return
		}
		out[i].Err = b.remove(ctx, now, ops[i].Delete)
	})
	return out
}
