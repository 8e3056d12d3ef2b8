package dynamodb

import (
	"context"
	"errors"
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
// each consistent BatchGetItem, up to four of them at a time.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok {
		return out
	}
	b.fetch(ctx, b.call(now), driverkit.IDs(gets), false, out)
	for i := range out {
		if errors.Is(out[i].Err, errExpired) {
			out[i] = driver.BatchResult{Err: model.ErrNotFound}
		}
	}
	return out
}

// fetch reads the records with the ids, live or expired, into out. It sets
// errExpired beside those that have expired. The ids are distinct. If heads is
// set, it leaves out the values. Else it reads the first batch alone: the larger
// its values are, the fewer batches are read at a time.
func (b *Backend) fetch(ctx context.Context, c *call, ids []string, heads bool, out []driver.BatchResult) {
	if len(ids) == 0 {
		return
	}
	width, atOnce := batchWidth, batchWidth
	if !heads {
		first := min(batchSize, len(ids))
		b.fetchBatch(ctx, c, ids[:first], false, 0, out[:first])
		atOnce = 0
		width = max(1, min(width, driver.PageBytes/max(1, valueBytes(out[:first]))))
		if ids, out = ids[first:], out[first:]; len(ids) == 0 {
			return
		}
	}
	driverkit.Parallel((len(ids)+batchSize-1)/batchSize, width, func(i int) {
		from, to := i*batchSize, min((i+1)*batchSize, len(ids))
		part := c.turn(i < atOnce)
		b.fetchBatch(ctx, part, ids[from:to], heads, 0, out[from:to])
	})
}

func valueBytes(of []driver.BatchResult) int {
	n := 0
	for i := range of {
		n += len(of[i].Record.Value)
	}
	return n
}

// fetchPage reads records, in the order of the ids, until their values reach
// driver.PageBytes. It returns how many results are set. A BatchGetItem has at
// most 16 MB, so that fetchPage holds the values of two at most.
func (b *Backend) fetchPage(ctx context.Context, c *call, ids []string, out []driver.BatchResult) int {
	size := 0
	for n := 0; n < len(ids); {
		step := min(batchSize, len(ids)-n)
		if size > 0 { // as many as the page has room for, by the average so far
			step = min(step, (driver.PageBytes-size)/(size/n+1)+1)
		}
		part := out[n : n+step]
		b.fetchBatch(ctx, c.turn(n == 0), ids[n:n+step], false, driver.PageBytes-size, part)
		for i := range part {
			if errors.Is(part[i].Err, errUnread) {
				return n + i
			}
			if size += len(part[i].Record.Value); size >= driver.PageBytes {
				return n + i + 1
			}
		}
		n += step
	}
	return len(ids)
}

// What fetchBatch sets for a record that it left out, and beside one that has
// expired.
var (
	errUnread  = errors.New("not read")
	errExpired = errors.New("expired")
)

// fetchBatch reads up to 100 records. DynamoDB leaves keys unprocessed if the
// table is throttled or the response would exceed 16 MB. fetchBatch requests
// those keys again. A budget above zero bounds the bytes of values: fetchBatch
// then marks the records that come after it with errUnread.
func (b *Backend) fetchBatch(ctx context.Context, c *call, ids []string, heads bool, budget int, out []driver.BatchResult) {
	at := make(map[string]int, len(ids))
	keys := make([]attributes, len(ids))
	for i, id := range ids {
		at[id], keys[i] = i, recordKey(id)
		out[i].Err = errUnread
	}
	names, projection := b.projection(heads)
	idle := 0
	for len(keys) > 0 {
		res, err := b.client.BatchGetItem(ctx, &awsdynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{b.table: {
				Keys: keys, ConsistentRead: aws.Bool(true), ExpressionAttributeNames: names, ProjectionExpression: projection,
			}},
		}, c.connection)
		if err != nil {
			failKeys(keys, at, out, b.readError(ctx, err))
			return
		}
		left := settle(res, c.at(), keys, at, heads, out)
		if idle++; len(left) < len(keys) {
			idle = 0
		}
		if budget > 0 && len(left) > 0 {
			left = needed(ids, out, budget)
		}
		if keys = left; len(keys) == 0 {
			return
		}
		if idle >= batchAttempts {
			failKeys(keys, at, out, model.NewError(model.ErrUnavailable, "the table is throttled: DynamoDB leaves keys unprocessed", nil))
			return
		}
		if err := c.wait(ctx, b.pause, idle); err != nil {
			failKeys(keys, at, out, err)
			return
		}
	}
}

// settle takes the results for the keys from a response and returns the keys
// that the server left unprocessed.
func settle(res *awsdynamodb.BatchGetItemOutput, now time.Time, keys []attributes, at map[string]int, heads bool, out []driver.BatchResult) []attributes {
	// The table's name or ARN, as it was asked for, is the only entry.
	var left []attributes
	for _, u := range res.UnprocessedKeys {
		left = append(left, u.Keys...)
	}
	failKeys(keys, at, out, model.ErrNotFound)
	failKeys(left, at, out, errUnread)
	for _, items := range res.Responses {
		for n, it := range items {
			id, _ := idOf(it)
			if i, asked := at[id]; asked {
				if out[i].Record, out[i].Err = decode(id, it, heads); out[i].Err == nil && out[i].Record.Expired(now) {
					out[i].Err = errExpired
				}
			}
			items[n] = nil // the value was copied
		}
	}
	return left
}

// needed returns the keys of the unread records among the first ones whose
// values reach the budget, as far as the average size tells.
func needed(ids []string, out []driver.BatchResult, budget int) (keys []attributes) {
	size, read := 0, 0
	for i := range out {
		if !errors.Is(out[i].Err, errUnread) {
			size += len(out[i].Record.Value)
			read++
		}
	}
	average := size / max(1, read)
	for i := 0; i < len(ids) && budget > 0; i++ {
		if errors.Is(out[i].Err, errUnread) {
			keys = append(keys, recordKey(ids[i]))
			budget -= average
		}
		budget -= len(out[i].Record.Value)
	}
	return keys
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
	c := b.call(now)
	driverkit.Parallel(len(valid), parallelism, func(n int) {
		i, part := valid[n], c.turn(n < parallelism)
		if w := ops[i].Write; w != nil {
			out[i].Record, out[i].Err = b.write(ctx, part, w)
			return
		}
		out[i].Err = b.remove(ctx, part, ops[i].Delete)
	})
	return out
}
