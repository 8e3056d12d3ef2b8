package dynamodb

import (
	"context"
	"encoding/binary"
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
	// emptyScans is the maximum number of scans without a record for one page.
	emptyScans = 16
	// minScan is the number of items that a scan reads for a small page.
	minScan = 32
	// maxRead is the largest limit that a scan or query sends.
	maxRead = 100_000
	// countPage is the number of label items that Count reads with one Query,
	// and a page with values at most: it may end long before.
	countPage = 1000
)

// Page lists live records. Without a label it takes a consistent Scan, in the
// order of the table's hashes. With a label it takes a consistent Query of the
// label items, in the order of ids, and a BatchGetItem of their records. A scan
// reads at most 1 MB. A page by label ends when its values reach
// driver.PageBytes.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	position, err := b.gate.Page(ctx, &q)
	if err != nil {
		return driver.Page{}, err
	}
	after, err := keyOf(position)
	if err != nil {
		return driver.Page{}, err
	}
	if q.Label != "" {
		return b.pageByLabel(ctx, b.call(now), &q, after)
	}
	var page driver.Page
	c := b.call(now)
	for n := range emptyScans {
		if after, err = b.scanPage(ctx, c.turn(n == 0), &q, after, &page); err != nil {
			return driver.Page{}, err
		}
		if after == nil || len(page.Records)+len(page.Corrupt) > 0 {
			break
		}
	}
	page.Next = b.gate.Token(&q, positionOf(after))
	return page, nil
}

// positionOf returns the position of a key in a page token: the length of the
// partition key and both keys. It is empty for nil, the end of a listing.
func positionOf(key attributes) string {
	if key == nil {
		return ""
	}
	pk, _ := stringOf(key[attrPK])
	sk, _ := stringOf(key[attrSK])
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(pk)))) + pk + sk
}

// keyOf returns the key of a position, and nil for the start of a listing.
func keyOf(position string) (attributes, error) {
	if position == "" {
		return nil, nil //nolint:nilnil // the start
	}
	const head = 2
	if len(position) < head {
		return nil, driverkit.BadToken()
	}
	keys := position[head:]
	size := int(binary.BigEndian.Uint16([]byte(position)))
	if size >= len(keys) {
		return nil, driverkit.BadToken()
	}
	return itemKey(keys[:size], keys[size:]), nil
}

// scanRecords is a filter that leaves out label items.
const scanRecords = "begins_with(#pk, :records)"

// scanPage reads as many items as the page may have records, and at least
// minScan. It returns the key to continue from, and nil at the end.
func (b *Backend) scanPage(ctx context.Context, c *call, q *driver.Query, after attributes, page *driver.Page) (attributes, error) {
	names, projection := b.projection(q.KeysOnly)
	filterNames, values := fill(nil, scanRecords)
	if names == nil {
		names = filterNames
	}
	out, err := b.client.Scan(ctx, &awsdynamodb.ScanInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after,
		Limit: aws.Int32(int32(max(min(q.Limit, maxRead), minScan))), FilterExpression: aws.String(scanRecords),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ProjectionExpression: projection,
	}, c.connection)
	if err != nil {
		return nil, b.readError(ctx, err)
	}
	if !movedOn(after, out.LastEvaluatedKey) {
		return nil, badOrder()
	}
	at := c.at()
	for i, it := range out.Items {
		id, ok := idOf(it)
		if !ok {
			continue // a foreign item
		}
		switch rec, err := decode(id, it, q.KeysOnly); {
		case err != nil:
			page.Corrupt = append(page.Corrupt, id)
		case !rec.Expired(at):
			page.Records = append(page.Records, rec)
		}
		if len(page.Records) == q.Limit && (i+1 < len(out.Items) || len(out.LastEvaluatedKey) > 0) {
			return recordKey(id), nil
		}
	}
	return nextKey(out.LastEvaluatedKey), nil
}

// nextKey returns the key to continue from, and nil at the end.
func nextKey(last attributes) attributes {
	if len(last) == 0 {
		return nil
	}
	return last
}

// movedOn reports whether a response continues somewhere else than its request
// did, or is the last one.
func movedOn(after, last attributes) bool {
	return len(last) == 0 || len(after) == 0 || positionOf(after) != positionOf(last)
}

// badOrder returns the error of a listing that would have no end.
func badOrder() error {
	return model.NewError(model.ErrUnsupported, "the server goes back to the begin of a listing, or lists keys out of order: the package comment lists servers that do", nil)
}

// pageByLabel reads the ids of a page and their records.
func (b *Backend) pageByLabel(ctx context.Context, c *call, q *driver.Query, after attributes) (driver.Page, error) {
	limit := min(q.Limit, maxRead)
	if !q.KeysOnly {
		limit = min(limit, countPage)
	}
	ids, next, err := b.bearers(ctx, c, q, limit, after)
	if err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	n, err := b.eachBearer(ctx, c, q, ids, func(id string, rec *model.Record) {
		if rec == nil {
			page.Corrupt = append(page.Corrupt, id)
		} else {
			page.Records = append(page.Records, *rec)
		}
	})
	if err != nil {
		return driver.Page{}, err
	}
	if n < len(ids) {
		next = labelKey(q.Label, q.Value, ids[n-1])
	}
	page.Next = b.gate.Token(q, positionOf(next))
	return page, nil
}

// bearers reads ids from the items of a label. It returns the key to continue
// from, and nil at the end.
func (b *Backend) bearers(ctx context.Context, c *call, q *driver.Query, limit int, after attributes) ([]string, attributes, error) {
	const query = "#pk = :label"
	names, values := fill(attributes{":label": str(labelPK(q.Label, q.Value))}, query+" #sk")
	out, err := b.client.Query(ctx, &awsdynamodb.QueryInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after,
		Limit: aws.Int32(int32(limit)), KeyConditionExpression: aws.String(query),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ProjectionExpression: aws.String("#sk"),
	}, c.connection)
	if err != nil {
		return nil, nil, b.readError(ctx, err)
	}
	if !movedOn(after, out.LastEvaluatedKey) {
		return nil, nil, badOrder()
	}
	last, _ := stringOf(after[attrSK])
	ids := make([]string, 0, len(out.Items))
	for _, it := range out.Items {
		id, ok := stringOf(it[attrSK])
		if !ok {
			continue
		}
		if id <= last {
			return nil, nil, badOrder()
		}
		ids, last = append(ids, id), id
	}
	return ids, nextKey(out.LastEvaluatedKey), nil
}

// eachBearer reads the records with the ids and calls visit, in order, for the
// live ones that bear the label. It passes nil for a record that cannot be read. It removes label items without such a record. It returns how
// many ids it read: with values, it may end before the last one.
func (b *Backend) eachBearer(ctx context.Context, c *call, q *driver.Query, ids []string, visit func(id string, rec *model.Record)) (int, error) {
	read, n := make([]driver.BatchResult, len(ids)), len(ids)
	if q.KeysOnly {
		b.fetch(ctx, c, ids, true, read)
	} else {
		n = b.fetchPage(ctx, c, ids, read)
	}
	var stale []string
	for i := range read[:n] {
		rec, err := &read[i].Record, read[i].Err
		expired := errors.Is(err, errExpired)
		switch {
		case errors.Is(err, model.ErrCorrupt):
			visit(ids[i], nil)
		case errors.Is(err, model.ErrNotFound), (err == nil || expired) && !q.Bears(rec):
			stale = append(stale, ids[i])
		case expired: // its label item stays until a sweep
		case err != nil:
			return 0, err
		default:
			visit(ids[i], rec)
		}
	}
	if len(stale) > 0 {
		b.prune(ctx, q.Label, q.Value, stale)
	}
	return n, nil
}

// Count returns the number of live records. With a label it reads the label
// items and their records without the values. Without a label it scans the
// table, and its cost grows with the store.
func (b *Backend) Count(ctx context.Context, now time.Time, query driver.Query) (int, error) {
	if err := b.gate.Count(ctx, &query); err != nil {
		return 0, err
	}
	if query.Label == "" {
		return b.countAll(ctx, b.call(now))
	}
	n, c := 0, b.call(now)
	q := driver.Query{Label: query.Label, Value: query.Value, Limit: countPage, KeysOnly: true}
	var after attributes
	for {
		part := c.turn(after == nil)
		ids, next, err := b.bearers(ctx, part, &q, countPage, after)
		if err != nil {
			return 0, err
		}
		_, err = b.eachBearer(ctx, part, &q, ids, func(_ string, rec *model.Record) {
			if rec != nil {
				n++
			}
		})
		if err != nil || next == nil {
			return n, err
		}
		after = next
	}
}

func (b *Backend) countAll(ctx context.Context, c *call) (int, error) {
	filter := scanRecords + " AND " + condShape + " AND " + condLive
	if b.texts != "" {
		filter += " AND " + b.texts
	}
	names, values := fill(attributes{tokenNow: millis(c.at())}, filter)
	b.nameLabels(names)
	n := 0
	var after attributes
	for {
		part := c.turn(after == nil)
		values[tokenNow] = millis(part.at())
		out, err := b.client.Scan(ctx, &awsdynamodb.ScanInput{
			TableName: &b.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after, Select: types.SelectCount,
			FilterExpression: aws.String(filter), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}, part.connection)
		if err != nil {
			return 0, b.readError(ctx, err)
		}
		if !movedOn(after, out.LastEvaluatedKey) {
			return 0, badOrder()
		}
		n += int(out.Count)
		if after = out.LastEvaluatedKey; len(after) == 0 {
			return n, nil
		}
	}
}
